"""Registries: collectors by the names of their series."""

from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Any, Protocol

from .metrics_core import Metric

# Names of samples of a type that no other metric of the registry may have.
_SUFFIXES = {
    "counter": ("_total", "_created"),
    "summary": ("_sum", "_count", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "info": ("_info",),
}
_TARGET_INFO = "target_info"


class Collector(Protocol):
    """An object whose `collect` returns families; `describe`, where it has it, returns them without their values."""

    def collect(self) -> Iterable[Metric]:
        """Returns the families with their values."""


class _TargetInfo:
    """The labels of the target as a collector."""

    def __init__(self, labels: dict[str, str]) -> None:
        self._labels = labels

    def collect(self) -> Iterable[Metric]:
        family = Metric("target", "Target metadata", "info")
        family.add_sample(_TARGET_INFO, self._labels, 1)
        return [family]


class DuplicateTimeseries(ValueError):
    """The registry has a metric of one of these names."""

    def __init__(self, duplicates: set[str]) -> None:
        super().__init__(
            f"the registry has metrics with the names {sorted(duplicates)} already: unregister them, or choose other names"
        )
        self.duplicates = duplicates


class CollectorRegistry:
    """Collectors whose names do not clash. `auto_describe` reads the names of collectors without `describe` by `collect`."""

    def __init__(
        self,
        auto_describe: bool = False,
        target_info: dict[str, str] | None = None,
        support_collectors_without_names: bool = False,
    ) -> None:
        self._collector_to_names: dict[Collector, list[str]] = {}
        self._names_to_collectors: dict[str, Collector] = {}
        self._auto_describe = auto_describe
        self._lock = Lock()
        self._target_info: dict[str, str] | None = None
        self._support_collectors_without_names = support_collectors_without_names
        self._collectors_without_names: list[Collector] = []
        self.set_target_info(target_info)

    def register(self, collector: Collector) -> None:
        """Adds a collector; raises `DuplicateTimeseries` where one of its names is taken."""
        names = self._get_names(collector)
        with self._lock:
            taken = set(names).intersection(self._names_to_collectors)
            if taken:
                raise DuplicateTimeseries(taken)
            self._names_to_collectors.update(dict.fromkeys(names, collector))
            self._collector_to_names[collector] = names
            if self._support_collectors_without_names and not names:
                self._collectors_without_names.append(collector)

    def unregister(self, collector: Collector) -> None:
        """Removes a collector; raises `KeyError` for one that is not registered."""
        with self._lock:
            for name in self._collector_to_names.pop(collector):
                self._names_to_collectors.pop(name, None)
            if collector in self._collectors_without_names:
                self._collectors_without_names.remove(collector)

    def _get_names(self, collector: Any) -> list[str]:
        describe = getattr(collector, "describe", None)
        if describe is None and self._auto_describe:
            describe = collector.collect
        names = []
        for metric in describe() if describe is not None else ():
            names += [metric.name + suffix for suffix in ("", *_SUFFIXES.get(metric.type, ()))]
        return names

    def _sources(self) -> list[Collector]:
        """Returns the collectors, and before them the target's labels."""
        with self._lock:
            target: list[Collector] = [_TargetInfo(self._target_info)] if self._target_info else []
            return target + list(self._collector_to_names)

    def collect(self) -> Iterator[Metric]:
        """Yields the families of all collectors."""
        for source in self._sources():
            yield from source.collect()

    def restricted_registry(self, names: Iterable[str]) -> "RestrictedRegistry":
        """Returns a registry of the samples with these names; collectors of other names are not asked."""
        return RestrictedRegistry(names, self)

    def set_target_info(self, labels: dict[str, str] | None) -> None:
        """Sets the labels of the series `target_info`; none remove it."""
        with self._lock:
            if labels:
                if not self._target_info and _TARGET_INFO in self._names_to_collectors:
                    raise ValueError(f"the registry has a metric {_TARGET_INFO} already: unregister it")
                self._names_to_collectors[_TARGET_INFO] = _TargetInfo(labels)
            elif self._target_info:
                self._names_to_collectors.pop(_TARGET_INFO, None)
            self._target_info = labels

    def get_target_info(self) -> dict[str, str] | None:
        """Returns the labels of the series `target_info`."""
        with self._lock:
            return self._target_info

    def get_sample_value(self, name: str, labels: dict[str, str] | None = None) -> float | None:
        """Returns the value of a sample, or `None`. For tests: it collects everything."""
        for metric in self.collect():
            for sample in metric.samples:
                if sample.name == name and sample.labels == (labels or {}):
                    return sample.value
        return None


class RestrictedRegistry:
    """The samples of a registry that have one of these names."""

    def __init__(self, names: Iterable[str], registry: CollectorRegistry) -> None:
        self._name_set = set(names)
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """Yields the families that have such samples."""
        registry = self._registry
        with registry._lock:
            named = [by for name, by in registry._names_to_collectors.items() if name in self._name_set]
            # A dictionary, which keeps the order and each collector once.
            sources = dict.fromkeys(named + registry._collectors_without_names)
        for source in sources:
            for metric in source.collect():
                if restricted := metric._restricted_metric(self._name_set):
                    yield restricted


REGISTRY = CollectorRegistry(auto_describe=True)
