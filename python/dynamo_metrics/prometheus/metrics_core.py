"""Families of samples: the values that `collect` returns, one class for each type."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from .samples import Exemplar, NativeHistogram, Sample, Timestamp
from .validation import check_metric_name

METRIC_TYPES = (
    "counter", "gauge", "summary", "histogram", "gaugehistogram", "unknown", "info", "stateset",
)  # fmt: skip

_Time: TypeAlias = float | Timestamp | None
_Bucket: TypeAlias = tuple[str, float] | tuple[str, float, Exemplar]


class Metric:
    """A family: its name, help, type and unit, and its samples."""

    def __init__(self, name: str, documentation: str, typ: str, unit: str = "") -> None:
        if unit and not name.endswith("_" + unit):
            name += "_" + unit
        check_metric_name(name)
        if typ == "untyped":
            typ = "unknown"
        if typ not in METRIC_TYPES:
            raise ValueError(f"metric {name}: type {typ!r} is not one of {', '.join(METRIC_TYPES)}")
        self.name = name
        self.documentation = documentation
        self.unit = unit
        self.type = typ
        self.samples: list[Sample] = []

    def add_sample(
        self,
        name: str,
        labels: dict[str, str],
        value: float,
        timestamp: _Time = None,
        exemplar: Exemplar | None = None,
        native_histogram: NativeHistogram | None = None,
    ) -> None:
        """Adds a sample, whose name has its suffix."""
        self.samples.append(Sample(name, labels, value, timestamp, exemplar, native_histogram))

    def _parts(self) -> tuple[object, ...]:
        return self.name, self.documentation, self.type, self.unit, self.samples

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Metric) and self._parts() == other._parts()

    def __repr__(self) -> str:
        return "Metric({}, {}, {}, {}, {})".format(*self._parts())

    def _restricted_metric(self, names: Iterable[str]) -> "Metric | None":
        """Returns a family with the samples of these names only, or `None` where there are none."""
        samples = [sample for sample in self.samples if sample.name in names]
        if not samples:
            return None
        restricted = Metric(self.name, self.documentation, self.type, self.unit)
        restricted.samples = samples
        return restricted


class _Family(Metric):
    """A family of a custom collector: one value, or label names and values that are added."""

    def __init__(
        self, name: str, documentation: str, typ: str, unit: str, labels: Iterable[str] | None, has_value: bool
    ) -> None:
        super().__init__(name, documentation, typ, unit)
        if labels is not None and has_value:
            raise ValueError(f"metric {self.name} is given a value and label names; it can have one of them")
        self._labelnames = tuple(labels or ())

    def _add(
        self,
        suffix: str,
        labels: Sequence[str],
        value: Any,
        timestamp: _Time = None,
        exemplar: Exemplar | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        named = dict(zip(self._labelnames, labels))
        if more:
            named.update(more)
        self.samples.append(Sample(self.name + suffix, named, value, timestamp, exemplar))


class UnknownMetricFamily(_Family):
    """Values of unknown type."""

    def __init__(
        self,
        name: str,
        documentation: str,
        value: float | None = None,
        labels: Iterable[str] | None = None,
        unit: str = "",
    ) -> None:
        super().__init__(name, documentation, "unknown", unit, labels, value is not None)
        if value is not None:
            self.add_metric([], value)

    def add_metric(self, labels: Sequence[str], value: float, timestamp: _Time = None) -> None:
        """Adds a value of these label values."""
        self._add("", labels, value, timestamp)


UntypedMetricFamily = UnknownMetricFamily


class CounterMetricFamily(_Family):
    """Counters; a name may end with `_total`."""

    def __init__(
        self,
        name: str,
        documentation: str,
        value: float | None = None,
        labels: Iterable[str] | None = None,
        created: float | None = None,
        unit: str = "",
        exemplar: Exemplar | None = None,
    ) -> None:
        super().__init__(name.removesuffix("_total"), documentation, "counter", unit, labels, value is not None)
        if value is not None:
            self.add_metric([], value, created, exemplar=exemplar)

    def add_metric(
        self,
        labels: Sequence[str],
        value: float,
        created: float | None = None,
        timestamp: _Time = None,
        exemplar: Exemplar | None = None,
    ) -> None:
        """Adds a counter of these label values, with its time of creation where there is one."""
        self._add("_total", labels, value, timestamp, exemplar)
        if created is not None:
            self._add("_created", labels, created, timestamp)


class GaugeMetricFamily(_Family):
    """Gauges."""

    def __init__(
        self,
        name: str,
        documentation: str,
        value: float | None = None,
        labels: Iterable[str] | None = None,
        unit: str = "",
    ) -> None:
        super().__init__(name, documentation, "gauge", unit, labels, value is not None)
        if value is not None:
            self.add_metric([], value)

    def add_metric(self, labels: Sequence[str], value: float, timestamp: _Time = None) -> None:
        """Adds a gauge of these label values."""
        self._add("", labels, value, timestamp)


class SummaryMetricFamily(_Family):
    """Summaries without quantiles."""

    def __init__(
        self,
        name: str,
        documentation: str,
        count_value: int | None = None,
        sum_value: float | None = None,
        labels: Iterable[str] | None = None,
        unit: str = "",
    ) -> None:
        super().__init__(name, documentation, "summary", unit, labels, count_value is not None)
        if (count_value is None) != (sum_value is None):
            raise ValueError(f"metric {self.name}: count_value and sum_value belong together")
        if count_value is not None and sum_value is not None:
            self.add_metric([], count_value, sum_value)

    def add_metric(
        self, labels: Sequence[str], count_value: int, sum_value: float, timestamp: _Time = None
    ) -> None:
        """Adds a summary of these label values."""
        self._add("_count", labels, count_value, timestamp)
        self._add("_sum", labels, sum_value, timestamp)


class HistogramMetricFamily(_Family):
    """Histograms, of pairs of bound and cumulative count, or of triples with an exemplar. The last bound is `+Inf`."""

    def __init__(
        self,
        name: str,
        documentation: str,
        buckets: Sequence[_Bucket] | None = None,
        sum_value: float | None = None,
        labels: Iterable[str] | None = None,
        unit: str = "",
    ) -> None:
        super().__init__(name, documentation, "histogram", unit, labels, buckets is not None)
        if sum_value is not None and buckets is None:
            raise ValueError(f"metric {self.name} is given a sum without buckets")
        if buckets is not None:
            self.add_metric([], buckets, sum_value)

    def add_metric(
        self,
        labels: Sequence[str],
        buckets: Sequence[_Bucket],
        sum_value: float | None,
        timestamp: _Time = None,
    ) -> None:
        """Adds a histogram of these label values; one with negative bounds has no sum, because it may fall."""
        for bucket in buckets:
            exemplar = bucket[2] if len(bucket) == 3 else None
            self._add("_bucket", labels, bucket[1], timestamp, exemplar, {"le": bucket[0]})
        if float(buckets[0][0]) >= 0 and sum_value is not None:
            self._add("_count", labels, buckets[-1][1], timestamp)
            self._add("_sum", labels, sum_value, timestamp)


class GaugeHistogramMetricFamily(_Family):
    """Histograms whose counts may fall."""

    def __init__(
        self,
        name: str,
        documentation: str,
        buckets: Sequence[tuple[str, float]] | None = None,
        gsum_value: float | None = None,
        labels: Iterable[str] | None = None,
        unit: str = "",
    ) -> None:
        super().__init__(name, documentation, "gaugehistogram", unit, labels, buckets is not None)
        if buckets is not None:
            self.add_metric([], buckets, gsum_value)

    def add_metric(
        self,
        labels: Sequence[str],
        buckets: Sequence[tuple[str, float]],
        gsum_value: float | None,
        timestamp: _Time = None,
    ) -> None:
        """Adds a histogram of these label values."""
        for bound, count in buckets:
            self._add("_bucket", labels, count, timestamp, more={"le": bound})
        self._add("_gcount", labels, buckets[-1][1], timestamp)
        self._add("_gsum", labels, gsum_value, timestamp)


class InfoMetricFamily(_Family):
    """Infos: labels with the value 1."""

    def __init__(
        self,
        name: str,
        documentation: str,
        value: dict[str, str] | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        super().__init__(name, documentation, "info", "", labels, value is not None)
        if value is not None:
            self.add_metric([], value)

    def add_metric(self, labels: Sequence[str], value: dict[str, str], timestamp: _Time = None) -> None:
        """Adds an info of these label values."""
        self._add("_info", labels, 1, timestamp, more=value)


class StateSetMetricFamily(_Family):
    """State sets: for each state, whether it is true."""

    def __init__(
        self,
        name: str,
        documentation: str,
        value: dict[str, bool] | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        super().__init__(name, documentation, "stateset", "", labels, value is not None)
        if value is not None:
            self.add_metric([], value)

    def add_metric(self, labels: Sequence[str], value: dict[str, bool], timestamp: _Time = None) -> None:
        """Adds a state set of these label values."""
        for state, enabled in sorted(value.items()):
            self._add("", labels, 1 if enabled else 0, timestamp, more={self.name: state})
