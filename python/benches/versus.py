"""Prints nanoseconds of one recording, and milliseconds of a page, beside `prometheus_client`; recordings also beside an empty
method call of the same shape.

Rounds of all rows are interleaved; each row is the median of its rounds. `swap` is `dynamo_metrics.prometheus`. Needs the wheel and
`prometheus_client`. Takes 30 seconds.
"""

import statistics
import timeit
from collections.abc import Callable

from typing import Any

import prometheus_client
import prometheus_client.openmetrics.exposition as their_openmetrics

import dynamo_metrics.prometheus as swap
import dynamo_metrics.prometheus.openmetrics.exposition as swap_openmetrics
from dynamo_metrics import DistributedRuntime, Frontend

CALLS = 20_000
ROUNDS = 21
SERIES = 10_000
PAGES = 11
# Buckets, count and sum of a histogram with the default bounds.
HISTOGRAM_LINES = 17

Row = tuple[str, Callable[..., object], tuple[object, ...]]


def rows() -> list[Row]:
    runtime = DistributedRuntime()
    metrics = runtime.metrics
    registry = prometheus_client.CollectorRegistry()
    whole = metrics.create_intcounter("a_total", "A.")
    labelled = metrics.create_intcountervec("b_total", "B.", ["model"])
    histogram = metrics.create_histogram("c", "C.")
    frontend = Frontend(runtime)
    frontend.add_model("m")
    request = frontend.request(model="m")
    theirs = prometheus_client.Counter("a", "A.", registry=registry)
    their_labelled = prometheus_client.Counter("b", "B.", ["model"], registry=registry)
    their_histogram = prometheus_client.Histogram("c", "C.", registry=registry)
    nothing: dict[str, object] = {}

    def their_token() -> None:
        their_labelled.labels("m").inc()
        their_histogram.observe(0.5)

    return [
        ("floor: an empty method, no argument (dict.clear of an empty one)", nothing.clear, ()),
        ("floor: an empty method, one argument (dict.get of an empty one)", nothing.get, (0.5,)),
        ("counter, inc: ours", whole.inc, ()),
        ("counter, inc: prometheus_client", theirs.inc, ()),
        ("counter, labels(...).inc: ours", lambda: labelled.labels("m").inc(), ()),
        ("counter, labels(...).inc: prometheus_client", lambda: their_labelled.labels("m").inc(), ()),
        ("histogram, observe: ours", histogram.observe, (0.5,)),
        ("histogram, observe: prometheus_client", their_histogram.observe, (0.5,)),
        ("a token, request.tokens(1): ours", request.tokens, (1,)),
        ("a token, a labelled counter and a histogram: prometheus_client", their_token, ()),
    ]


def swap_rows() -> list[Row]:
    table: list[Row] = []
    packages: list[tuple[str, Any]] = [("swap", swap), ("prometheus_client", prometheus_client)]
    kinds: dict[str, list[Row]] = {}
    for name, package in packages:
        registry = package.CollectorRegistry()
        counter = package.Counter("a", "A.", registry=registry)
        labelled = package.Counter("b", "B.", ["model"], registry=registry)
        child = labelled.labels("m")
        gauge = package.Gauge("g", "G.", registry=registry)
        histogram = package.Histogram("h", "H.", ["model"], registry=registry).labels("m")
        summary = package.Summary("s", "S.", registry=registry)
        for what, call, arguments in [
            ("Counter.inc()", counter.inc, ()),
            ("Counter.inc(2.5)", counter.inc, (2.5,)),
            ("child.inc()", child.inc, ()),
            ("labels('m').inc()", lambda of=labelled: of.labels("m").inc(), ()),
            ("labels(model='m').inc()", lambda of=labelled: of.labels(model="m").inc(), ()),
            ("Gauge.set(1.5)", gauge.set, (1.5,)),
            ("Histogram child.observe(0.3)", histogram.observe, (0.3,)),
            ("Summary.observe(0.3)", summary.observe, (0.3,)),
        ]:
            kinds.setdefault(what, []).append((f"{what}: {name}", call, arguments))
    for of in kinds.values():
        table += of
    return table


def pages() -> list[Row]:
    table: list[Row] = []
    for kind, number in [("Counter", SERIES), ("Histogram", SERIES // HISTOGRAM_LINES)]:
        for name, package, openmetrics in [
            ("swap", swap, swap_openmetrics),
            ("prometheus_client", prometheus_client, their_openmetrics),
        ]:
            package.disable_created_metrics()
            registry = package.CollectorRegistry()
            family = getattr(package, kind)("a", "A.", ["model", "status"], registry=registry)
            for i in range(number):
                series = family.labels(f"model-{i}", "ok")
                (series.inc if kind == "Counter" else series.observe)(0.3)
            what = f"{number} {kind}s"
            table.append((f"{what}, generate_latest: {name}", package.generate_latest, (registry,)))
            table.append((f"{what}, OpenMetrics: {name}", openmetrics.generate_latest, (registry,)))
    return table


def measure(table: list[Row], calls: int, rounds_of: int, unit: float, name_of_unit: str) -> None:
    timers = []
    for _, call, arguments in table:
        names = {"call": call, **{f"a{i}": value for i, value in enumerate(arguments)}}
        timers.append(timeit.Timer(f"call({', '.join(f'a{i}' for i in range(len(arguments)))})", globals=names))
    rounds: list[list[float]] = [[] for _ in table]
    for _ in range(rounds_of):
        for measured, timer in zip(rounds, timers):
            measured.append(timer.timeit(calls) / calls * unit)
    for (name, _, _), measured in zip(table, rounds):
        print(f"{statistics.median(measured):8.1f} {name_of_unit}  {name}")


def main() -> None:
    measure(rows() + swap_rows(), CALLS, ROUNDS, 1e9, "ns")
    measure(pages(), 1, PAGES, 1e3, "ms")


if __name__ == "__main__":
    main()
