"""A metric: names, labels, series and registration, for all kinds."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

from .._native import Labelled
from .metrics_core import Metric
from .overrides import Originals
from .registry import REGISTRY, CollectorRegistry
from .samples import Sample
from .validation import check_label_names, check_metric_name, is_legacy_label_name, is_legacy_metric_name

# Methods of which an override changes the samples; then the text comes from them and not from the native half.
SAMPLING = ("collect", "_get_metric", "_samples", "_multi_samples", "_child_samples")


def _get_use_created() -> bool:
    """Tells whether series of times of creation are asked for: by this variable set to `False`."""
    return os.environ.get("PROMETHEUS_DISABLE_CREATED_SERIES", "").lower() in ("false", "0", "f")


class Header(NamedTuple):
    """The parts of a metric's text that the native half does not know."""

    name: str
    help: str
    unit: str
    openmetrics: bool
    created: bool


def full_name(kind: str, name: str, namespace: str, subsystem: str, unit: str) -> str:
    """Returns the name of the family: its parts joined, without `_total`, with its unit."""
    if not name:
        raise ValueError("the name of a metric is empty")
    whole = "_".join(part for part in (namespace, subsystem, name) if part)
    if kind == "counter":
        whole = whole.removesuffix("_total")
    if unit and kind in ("info", "stateset"):
        raise ValueError(f"metric {whole}: a metric of type {kind} has no unit")
    if unit and not whole.endswith("_" + unit):
        whole += "_" + unit
    return whole


def _check_texts(name: object, **texts: object) -> None:
    for argument, text in {"name": name, **texts}.items():
        if not isinstance(text, str):
            raise TypeError(f"metric {name!r}: {argument} must be str, not {type(text).__name__}")


class MetricWrapperBase(Labelled):
    """A metric of any kind: one series, or with label names a family of them, which are objects of the same class."""

    _type: ClassVar[str] = ""
    _reserved_labelnames: ClassVar[Sequence[str]] = ()
    # Methods whose samples the native half writes as text, of the kinds that it knows.
    _originals: ClassVar[Originals | None] = None
    # Whether all names are of the old set of characters; False for a series of a family.
    _is_plain = False

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: CollectorRegistry | None = REGISTRY,
        _labelvalues: Sequence[str] | None = None,
        _kwargs: dict[str, Any] | None = None,
    ) -> None:
        unit = unit or ""
        if not _labelvalues:  # a series has those of its family
            _check_texts(
                name, documentation=documentation, namespace=namespace or "", subsystem=subsystem or "", unit=unit
            )
        self._name = full_name(self._type, name, namespace, subsystem, unit)
        check_metric_name(self._name)
        self._labelnames = check_label_names(labelnames, self._reserved_labelnames)
        self._labelvalues = tuple(_labelvalues or ())
        self._documentation = documentation
        self._unit = unit
        self._kwargs = _kwargs or {}
        if self._is_parent():
            self._metrics: dict[tuple[str, ...], Any] = {}
            self._set_family(self._labelnames, self._metrics)
            self._names = (name, namespace, subsystem)
        else:
            self._metric_init()
        if not self._labelvalues:
            self._is_plain = (
                is_legacy_metric_name(self._name)
                and all(map(is_legacy_label_name, self._labelnames))
                and len(set(self._labelnames)) == len(self._labelnames)
            )
            if registry:
                registry.register(self)

    def _metric_init(self) -> None:
        """Makes the value of a series."""
        raise NotImplementedError(f"{type(self).__name__} has no _metric_init()")

    def _child_samples(self) -> Iterable[Sample]:
        """Returns the samples of a series, without its labels; their names are suffixes."""
        raise NotImplementedError(f"{type(self).__name__} has no _child_samples()")

    def _identity(self) -> tuple[str, str, str, tuple[str, ...], tuple[str, ...]]:
        """Returns what a series is called on a page of many processes."""
        return self._name, self._documentation, self._unit, self._labelnames, self._labelvalues

    def _make_series(self, labelvalues: tuple[str, ...]) -> "MetricWrapperBase":
        name, namespace, subsystem = self._names
        return type(self)(
            name,
            documentation=self._documentation,
            labelnames=self._labelnames,
            namespace=namespace,
            subsystem=subsystem,
            unit=self._unit,
            _labelvalues=labelvalues,
            **self._kwargs,
        )

    def _is_parent(self) -> bool:
        return bool(self._labelnames) and not self._labelvalues

    def _is_observable(self) -> bool:
        return not self._is_parent()

    def _raise_if_not_observable(self) -> None:
        if self._is_parent():
            raise ValueError(f"{self._type} metric is missing label values: call labels(...) first")

    def _check_family(self) -> None:
        if not self._is_parent():
            raise ValueError(f"metric {self} has no labels, or its labels are set already")

    def remove(self, *labelvalues: object) -> None:
        """Removes the series of these label values, if there is one."""
        self._check_family()
        if len(labelvalues) != len(self._labelnames):
            raise ValueError(
                f"metric {self} has the labels {self._labelnames}, but was given {len(labelvalues)} values"
            )
        self._remove(tuple(map(str, labelvalues)))

    def _remove(self, labelvalues: tuple[str, ...]) -> None:
        series = self._metrics.pop(labelvalues, None)
        if series is not None:
            series._remove_shared()

    def remove_by_labels(self, labels: dict[str, str]) -> None:
        """Removes the series that have all of these labels; none remove nothing."""
        self._check_family()
        if not isinstance(labels, dict):
            raise TypeError(f"metric {self}: labels must be a dict of label names and values")
        unknown = [name for name in labels if name not in self._labelnames]
        if unknown:
            raise ValueError(f"metric {self} has the labels {self._labelnames}, but was given {unknown}")
        wanted = [(self._labelnames.index(name), str(value)) for name, value in labels.items()]
        for values in list(self._metrics) if wanted else ():
            if all(values[at] == value for at, value in wanted):
                self._remove(values)

    def clear(self) -> None:
        """Removes all series; without labels, does nothing."""
        if self._is_parent():
            for values in list(self._metrics):
                self._remove(values)

    def _get_metric(self) -> Metric:
        return Metric(self._name, self._documentation, self._type, self._unit)

    def describe(self) -> Iterable[Metric]:
        """Returns the family without its samples."""
        return [self._get_metric()]

    def collect(self) -> Iterable[Metric]:
        """Returns the family with its samples."""
        metric = self._get_metric()
        for sample in self._samples():
            metric.samples.append(sample._replace(name=self._name + sample.name))
        return [metric]

    def _samples(self) -> Iterable[Sample]:
        return self._multi_samples() if self._is_parent() else self._child_samples()

    def _multi_samples(self) -> Iterator[Sample]:
        for values, series in self._metrics.copy().items():
            labels = dict(zip(self._labelnames, values))
            for sample in series._child_samples():
                yield sample._replace(labels={**labels, **sample.labels})

    def __copy__(self) -> "MetricWrapperBase":
        """Returns the metric itself: a copy would have the same series and values."""
        return self

    def __str__(self) -> str:
        return f"{self._type}:{self._name}"

    def __repr__(self) -> str:
        return f"{type(self).__module__}.{type(self).__name__}({self._name})"
