"""The kinds of metrics. Each records by the native methods of its base; `inc`, `set`, `observe` and `labels` are there."""

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias, get_args

from .._native import Bounds, SwapCounter, SwapGauge, SwapHistogram, SwapSummary
from .context_managers import ExceptionCounter, InprogressTracker, Timer
from .metrics_base import SAMPLING, Header, MetricWrapperBase, _get_use_created
from .overrides import Originals
from .registry import REGISTRY, CollectorRegistry
from .samples import Sample
from .utils import INF, floatToGoString

__all__ = ["Counter", "Enum", "Gauge", "Histogram", "Info", "MetricWrapperBase", "Summary"]

_use_created = _get_use_created()


def disable_created_metrics() -> None:
    """Leaves out the series of times of creation, as is the default."""
    global _use_created
    _use_created = False


def enable_created_metrics() -> None:
    """Writes a series `_created` for each counter, histogram and summary."""
    global _use_created
    _use_created = True


def native_text(collector: object, openmetrics: bool) -> bytes | None:
    """Returns the text of a metric which the native half can write, or `None`."""
    if not isinstance(collector, MetricWrapperBase) or not collector._is_plain:
        return None
    if collector._originals is None or not collector._originals.are_those_of(collector):
        return None
    header = Header(collector._name, collector._documentation, collector._unit, openmetrics, _use_created)
    text: bytes = collector._text(header)  # type: ignore[attr-defined]
    return text


class _Number:
    """A number of a metric, as the tests of programs read it: `counter._value.get()`."""

    def __init__(self, get: Callable[[], float], set: Callable[[float], None] | None = None) -> None:
        self.get = get
        if set is not None:
            self.set = set


class Counter(MetricWrapperBase, SwapCounter):
    """A number of events, or a total, that only rises.

    >>> from dynamo_metrics.prometheus import CollectorRegistry, Counter
    >>> failures = Counter("failures", "Failures.", ["kind"], registry=CollectorRegistry())
    >>> failures.labels(kind="timeout").inc()
    """

    _type = "counter"

    def _metric_init(self) -> None:
        self._set_cells(self._identity())
        self._created = time.time()

    @property
    def _value(self) -> _Number:
        return _Number(self._get, self._set)

    def _set(self, value: float) -> None:
        self._reset()
        self.inc(value)

    def reset(self) -> None:
        """Sets the counter to zero, for a new beginning of the program's work."""
        self._reset()
        self._created = time.time()

    def count_exceptions(
        self, exception: type[BaseException] | tuple[type[BaseException], ...] = Exception
    ) -> ExceptionCounter:
        """Counts the exceptions that leave a block or a function."""
        self._raise_if_not_observable()
        return ExceptionCounter(self, exception)

    def _child_samples(self) -> Iterable[Sample]:
        yield Sample("_total", {}, self._get(), None, self._exemplar())
        if _use_created:
            yield Sample("_created", {}, self._created)


_Mode: TypeAlias = Literal[
    "all", "liveall", "min", "livemin", "max", "livemax", "sum", "livesum", "mostrecent", "livemostrecent"
]


class Gauge(MetricWrapperBase, SwapGauge):
    """A value that rises and falls. `multiprocess_mode` says how the values of processes that share it become one."""

    _type = "gauge"
    _function: Callable[[], float]

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
        multiprocess_mode: _Mode = "all",
    ) -> None:
        if multiprocess_mode not in get_args(_Mode):
            raise ValueError(f"metric {name}: {multiprocess_mode!r} is not one of {', '.join(get_args(_Mode))}")
        kwargs = {"multiprocess_mode": multiprocess_mode}
        super().__init__(
            name, documentation, labelnames, namespace, subsystem, unit, registry, _labelvalues, kwargs
        )

    def _metric_init(self) -> None:
        self._set_cells(self._identity(), self._kwargs["multiprocess_mode"])

    @property
    def _value(self) -> _Number:
        return _Number(self._get, self.set)

    def set_to_current_time(self) -> None:
        """Sets the gauge to the seconds since 1970."""
        self.set(time.time())

    def track_inprogress(self) -> InprogressTracker:
        """Counts the blocks or calls in progress."""
        self._raise_if_not_observable()
        return InprogressTracker(self)

    def time(self) -> Timer:
        """Sets the gauge to the seconds of a block or call."""
        return Timer(self, "set")

    def set_function(self, f: Callable[[], float]) -> None:
        """Takes the value from a function at each collection; the gauge's own value is not seen any more."""
        self._raise_if_not_observable()
        self._function = f
        self._set_pulled()

    def _child_samples(self) -> Iterable[Sample]:
        yield Sample("", {}, self._get())


class Summary(MetricWrapperBase, SwapSummary):
    """The number and the sum of observations."""

    _type = "summary"
    _reserved_labelnames = ("quantile",)

    def _metric_init(self) -> None:
        self._set_cells(self._identity())
        self._created = time.time()

    @property
    def _count(self) -> _Number:
        return _Number(lambda: float(self._get()[0]))

    @property
    def _sum(self) -> _Number:
        return _Number(lambda: self._get()[1])

    def time(self) -> Timer:
        """Observes the seconds of a block or call."""
        return Timer(self, "observe")

    def _child_samples(self) -> Iterable[Sample]:
        count, total = self._get()
        yield Sample("_count", {}, float(count))
        yield Sample("_sum", {}, total)
        if _use_created:
            yield Sample("_created", {}, self._created)


@functools.lru_cache(maxsize=256)
def _bounds(upper: tuple[float, ...]) -> Bounds:
    """Returns the one object of these bounds, which has the table that finds a value's bucket."""
    return Bounds(list(upper))


class Histogram(MetricWrapperBase, SwapHistogram):
    """Observations counted in buckets."""

    _type = "histogram"
    _reserved_labelnames = ("le",)
    DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, INF)

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
        buckets: Iterable[float | str] = DEFAULT_BUCKETS,
    ) -> None:
        bounds = [float(bound) for bound in buckets]
        if bounds != sorted(bounds):
            raise ValueError(f"histogram {name}: the buckets are not in increasing order")
        if bounds and bounds[-1] != INF:
            bounds.append(INF)
        if len(bounds) < 2:
            raise ValueError(f"histogram {name} must have two buckets at least")
        self._upper_bounds = bounds
        # For the series: `buckets` may be an iterator, or a list that the program changes.
        kwargs = {"buckets": tuple(bounds)}
        super().__init__(
            name, documentation, labelnames, namespace, subsystem, unit, registry, _labelvalues, kwargs
        )

    def _metric_init(self) -> None:
        self._set_cells(self._identity(), _bounds(tuple(self._upper_bounds)))
        self._created = time.time()

    @property
    def _sum(self) -> _Number:
        return _Number(lambda: self._get()[1])

    @property
    def _buckets(self) -> list[_Number]:
        return [_Number(functools.partial(self._bucket, at)) for at in range(len(self._upper_bounds))]

    def _bucket(self, at: int) -> float:
        return float(self._get()[0][at])

    def time(self) -> Timer:
        """Observes the seconds of a block or call."""
        return Timer(self, "observe")

    def _child_samples(self) -> Iterable[Sample]:
        counts, total = self._get()
        count = 0.0
        for at, bound in enumerate(self._upper_bounds):
            count += counts[at]
            yield Sample("_bucket", {"le": floatToGoString(bound)}, count, None, self._exemplar(at))
        yield Sample("_count", {}, count)
        # A sum of negative values may fall, so it is no counter.
        if self._upper_bounds[0] >= 0:
            yield Sample("_sum", {}, total)
        if _use_created:
            yield Sample("_created", {}, self._created)


for _kind in (Counter, Gauge, Summary, Histogram):
    _kind._originals = Originals(_kind, *SAMPLING)


class Info(MetricWrapperBase):
    """Labels that say something about the program, with the value 1."""

    _type = "info"

    def _metric_init(self) -> None:
        self._value: dict[str, str] = {}

    def info(self, val: dict[str, str]) -> None:
        """Replaces the labels."""
        self._raise_if_not_observable()
        if overlap := [name for name in val if name in self._labelnames]:
            raise ValueError(f"info {self._name}: {overlap} are labels of the metric already")
        if empty := [name for name, value in val.items() if value is None]:
            raise ValueError(f"info {self._name}: the values of {empty} are None")
        self._value = dict(val)

    def _child_samples(self) -> Iterable[Sample]:
        yield Sample("_info", self._value, 1.0)


class Enum(MetricWrapperBase):
    """One of a set of states, at first the first of them."""

    _type = "stateset"

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
        states: Iterable[str] | None = None,
    ) -> None:
        labelnames = tuple(labelnames)
        if name in labelnames:
            raise ValueError(f"enum {name}: its name is the label of its states, so no other label can have it")
        self._states = list(states or ())
        if not self._states:
            raise ValueError(f"enum {name} has no states")
        # For the series: `states` may be an iterator, or a list that the program changes.
        kwargs = {"states": tuple(self._states)}
        super().__init__(
            name, documentation, labelnames, namespace, subsystem, unit, registry, _labelvalues, kwargs
        )

    def _metric_init(self) -> None:
        self._value = 0

    def state(self, state: str) -> None:
        """Sets the state; raises `ValueError` for one that the metric does not have."""
        self._raise_if_not_observable()
        if state not in self._states:
            raise ValueError(f"enum {self._name}: {state!r} is not one of {', '.join(self._states)}")
        self._value = self._states.index(state)

    def _child_samples(self) -> Iterable[Sample]:
        current = self._value
        for at, state in enumerate(self._states):
            yield Sample("", {self._name: state}, 1 if at == current else 0)
