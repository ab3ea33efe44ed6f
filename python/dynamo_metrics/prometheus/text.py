"""The text format of Prometheus, 0.0.4 and 1.0.0."""

from .escaping import UNDERSCORES, escape_help, escape_metric_name, series
from .metrics_core import Metric
from .pages import page
from .registry import REGISTRY, Collector
from .samples import Sample
from .utils import floatToGoString

CONTENT_TYPE_PLAIN_0_0_4 = "text/plain; version=0.0.4; charset=utf-8"
CONTENT_TYPE_PLAIN_1_0_0 = "text/plain; version=1.0.0; charset=utf-8"
CONTENT_TYPE_LATEST = CONTENT_TYPE_PLAIN_1_0_0

# Types that the format does not have, as those that it has.
_TYPES = {"info": "gauge", "stateset": "gauge", "gaugehistogram": "histogram", "unknown": "untyped"}
# Ends of the name of a type's family.
_ENDS = {"counter": "_total", "info": "_info"}
# Samples that only OpenMetrics has; here each is a gauge behind its family.
_GAUGES = ("_created", "_gcount", "_gsum")


def generate_latest(registry: Collector = REGISTRY, escaping: str = UNDERSCORES) -> bytes:
    """Returns the page of a registry.

    >>> from dynamo_metrics.prometheus import CollectorRegistry, Gauge, generate_latest
    >>> registry = CollectorRegistry()
    >>> Gauge("queue", "Waiting.", registry=registry).set(3)
    >>> print(generate_latest(registry).decode(), end="")
    # HELP queue Waiting.
    # TYPE queue gauge
    queue 3.0
    """
    return b"".join(page(registry, escaping, False, lambda metric: _family(metric, escaping)))


def _family(metric: Metric, escaping: str) -> str:
    kind = _TYPES.get(metric.type, metric.type)
    lines = [_header(metric, metric.name + _ENDS.get(metric.type, ""), kind, escaping)]
    gauges: dict[str, list[str]] = {}
    for sample in metric.samples:
        suffix = sample.name.removeprefix(metric.name)
        own = gauges.setdefault(suffix, []) if suffix in _GAUGES else lines
        own.append(_line(sample, escaping))
    for suffix, samples in sorted(gauges.items()):
        lines += [_header(metric, metric.name + suffix, "gauge", escaping), *samples]
    return "".join(lines)


def _header(metric: Metric, name: str, kind: str, escaping: str) -> str:
    name = escape_metric_name(name, escaping)
    return f"# HELP {name} {escape_help(metric.documentation)}\n# TYPE {name} {kind}\n"


def _line(sample: Sample, escaping: str) -> str:
    milliseconds = "" if sample.timestamp is None else f" {int(float(sample.timestamp) * 1000)}"
    return f"{series(sample.name, sample.labels, escaping)} {floatToGoString(sample.value)}{milliseconds}\n"
