"""OpenMetrics 1.0, and of 2.0 the native histograms of custom collectors."""

from collections.abc import Iterable

from ..escaping import (
    ALLOWUTF8,
    DOTS,
    UNDERSCORES,
    VALUES,
    escape_label_name,
    escape_metric_name,
    escape_value,
    series,
)
from ..metrics_core import Metric
from ..pages import page
from ..registry import REGISTRY, Collector
from ..samples import Exemplar, NativeHistogram, Sample
from ..utils import floatToGoString

__all__ = [
    "ALLOWUTF8",
    "CONTENT_TYPE_LATEST",
    "CONTENT_TYPE_LATEST_2_0",
    "DOTS",
    "ESCAPING_HEADER_TAG",
    "UNDERSCORES",
    "VALUES",
    "escape_label_name",
    "escape_metric_name",
    "exemplar_text",
    "generate_latest",
]

CONTENT_TYPE_LATEST = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CONTENT_TYPE_LATEST_2_0 = "application/openmetrics-text; version=2.0.0; charset=utf-8"
ESCAPING_HEADER_TAG = "escaping"


def generate_latest(
    registry: Collector = REGISTRY, escaping: str = UNDERSCORES, version: str = "1.0.0"
) -> bytes:
    """Returns the page of a registry."""
    native_histograms = not version.startswith("1.")
    families = page(registry, escaping, True, lambda metric: _family(metric, escaping, native_histograms))
    return b"".join(families) + b"# EOF\n"


def exemplar_text(exemplar: Exemplar) -> str:
    """Returns the end of a line that has an exemplar."""
    labels = ",".join(f'{name}="{escape_value(value)}"' for name, value in sorted(exemplar.labels.items()))
    timestamp = "" if exemplar.timestamp is None else f" {exemplar.timestamp}"
    return f" # {{{labels}}} {floatToGoString(exemplar.value)}{timestamp}"


def _family(metric: Metric, escaping: str, native_histograms: bool) -> str:
    name = escape_metric_name(metric.name, escaping)
    lines = [f"# HELP {name} {escape_value(metric.documentation)}\n", f"# TYPE {name} {metric.type}\n"]
    if metric.unit:
        lines.append(f"# UNIT {name} {metric.unit}\n")
    for sample in metric.samples:
        if sample.native_histogram is None or native_histograms:
            lines.append(_line(metric, sample, escaping))
    return "".join(lines)


def _line(metric: Metric, sample: Sample, escaping: str) -> str:
    exemplars = [sample.exemplar] if sample.exemplar else []
    if sample.native_histogram is not None:
        value = _native(sample.native_histogram)
        exemplars += sample.native_histogram.nh_exemplars or ()
    else:
        value = "" if sample.value is None else floatToGoString(sample.value)
    if exemplars and not _can_have_exemplars(metric, sample):
        raise ValueError(f"metric {metric.name}: {sample.name} has an exemplar, and is neither a counter nor a bucket")
    timestamp = "" if sample.timestamp is None else f" {sample.timestamp}"
    ends = "".join(map(exemplar_text, exemplars))
    return f"{series(sample.name, sample.labels, escaping)} {value}{timestamp}{ends}\n"


def _can_have_exemplars(metric: Metric, sample: Sample) -> bool:
    if metric.type == "counter":
        return sample.name.endswith("_total")
    if metric.type == "histogram" and sample.name == metric.name:
        return True
    return metric.type in ("histogram", "gaugehistogram") and sample.name.endswith("_bucket")


def _native(histogram: NativeHistogram) -> str:
    fields: list[tuple[str, object]] = [
        ("count", histogram.count_value),
        ("sum", histogram.sum_value),
        ("schema", histogram.schema),
        ("zero_threshold", histogram.zero_threshold),
        ("zero_count", histogram.zero_count),
    ]
    for sign, spans, deltas in (
        ("negative", histogram.neg_spans, histogram.neg_deltas),
        ("positive", histogram.pos_spans, histogram.pos_deltas),
    ):
        if spans:
            fields.append((f"{sign}_spans", _list(f"{offset}:{length}" for offset, length in spans)))
            fields.append((f"{sign}_deltas", _list(map(str, deltas or ()))))
    return "{" + ",".join(f"{name}:{value}" for name, value in fields) + "}"


def _list(items: Iterable[str]) -> str:
    return "[" + ",".join(items) + "]"
