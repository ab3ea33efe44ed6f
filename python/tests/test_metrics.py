"""Every kind of metric, its labels, its page, and the errors of bad input."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_metrics import DistributedRuntime, Metrics


@pytest.fixture
def runtime() -> DistributedRuntime:
    return DistributedRuntime()


@pytest.fixture
def metrics(runtime: DistributedRuntime) -> Metrics:
    return runtime.namespace("ns").component("worker").endpoint("generate").metrics


LEVEL = 'dynamo_namespace="ns",dynamo_component="worker",dynamo_endpoint="generate"'


def test_each_kind_is_on_the_page_with_its_labels(runtime: DistributedRuntime, metrics: Metrics) -> None:
    metrics.create_counter("seconds_total", "Seconds.", {"zone": "eu"}).inc_by(1.5)
    metrics.create_intcounter("calls_total", "Calls.").inc_by(2**64 - 1)
    metrics.create_gauge("temperature", "Degrees.").set(-2.5)
    gauge = metrics.create_intgauge("queue", "Waiting.", [("zone", "eu")])
    gauge.set(7)
    gauge.dec()
    metrics.create_histogram("size", "Bytes.", buckets=[1, 2, math.inf]).observe_n(2, 3)
    page = runtime.exposition()
    for line in [
        f'dynamo_component_seconds_total{{{LEVEL},zone="eu"}} 1.5',
        f"dynamo_component_calls_total{{{LEVEL}}} {2**64 - 1}",
        f"dynamo_component_temperature{{{LEVEL}}} -2.5",
        f'dynamo_component_queue{{{LEVEL},zone="eu"}} 6',
        f'dynamo_component_size_bucket{{{LEVEL},le="1"}} 0',
        f'dynamo_component_size_bucket{{{LEVEL},le="2"}} 3',
        f"dynamo_component_size_sum{{{LEVEL}}} 6",
        f"dynamo_component_size_count{{{LEVEL}}} 3",
    ]:
        assert line + "\n" in page


def test_label_values_by_name_and_by_position_are_one_series_in_any_order(metrics: Metrics) -> None:
    calls = metrics.create_intcountervec("calls_total", "Calls.", ["model", "status"])
    calls.labels("foo", "ok").inc()
    calls.labels(status="ok", model="foo").inc()
    calls.labels({"status": "ok", "model": "foo"}).inc()
    assert calls.labels("foo", "ok").get() == 3
    assert (len(calls), calls.label_names) == (1, ["model", "status"])
    assert calls.remove("foo", "ok") and not calls.remove("foo", "ok")


@pytest.mark.parametrize("count", range(1, 9))
def test_families_of_each_number_of_labels(metrics: Metrics, count: int) -> None:
    names = [f"label{i}" for i in range(count)]
    values = [str(i) for i in range(count)]
    family = metrics.create_gaugevec("values", "Values.", names)
    family.labels(*values).set(count)
    assert family.labels(**dict(zip(names, values))).get() == count


def test_families_have_one_to_eight_labels(metrics: Metrics) -> None:
    for names in [[], [f"l{i}" for i in range(9)]]:
        with pytest.raises(ValueError, match="calls.*1 to 8"):
            metrics.create_gaugevec("calls", "Calls.", names)


def test_bad_labels_are_refused_by_an_error_that_names_metric_and_label(metrics: Metrics) -> None:
    calls = metrics.create_intcountervec("calls_total", "Calls.", ["model"])
    for values, by_name in [((), {}), (("a", "b"), {}), (("a",), {"model": "a"}), ((), {"mode": "a"})]:
        with pytest.raises(ValueError, match="calls_total.*model"):
            calls.labels(*values, **by_name)
    with pytest.raises(ValueError, match="calls_total.*model.*surrogate"):
        calls.labels("\ud800")
    with pytest.raises(ValueError, match="dynamo_namespace"):
        metrics.create_counter("x", "X.", {"dynamo_namespace": "a"})
    with pytest.raises(TypeError, match='"x"'):
        metrics.create_counter("x", "X.", {"a": 1})  # type: ignore[dict-item]


def test_bad_numbers_are_refused_by_an_error_that_names_the_metric(metrics: Metrics) -> None:
    counter = metrics.create_counter("a_total", "A.")
    whole = metrics.create_intcounter("b_total", "B.")
    gauge = metrics.create_intgauge("c", "C.")
    histogram = metrics.create_histogram("d", "D.")
    refused: list[tuple[Callable[[], None], str]] = [
        (lambda: counter.inc_by(-1), "a_total"),
        (lambda: counter.inc_by(math.nan), "a_total"),
        (lambda: counter.inc_by(10**400), "a_total"),
        (lambda: whole.inc_by(-1), "b_total"),
        (lambda: whole.inc_by(2**64), "b_total"),
        (lambda: gauge.set(2**53 + 1), '"c"'),
        (lambda: gauge.set(10**40), '"c"'),
        (lambda: histogram.observe(math.nan), '"d"'),
    ]
    for call, name in refused:
        with pytest.raises(ValueError, match=name):
            call()
    mistyped: list[tuple[Callable[[], None], str]] = [
        (lambda: counter.inc_by("1"), "a_total.*str"),  # type: ignore[arg-type]
        (lambda: whole.inc_by(1.5), "b_total.*float"),  # type: ignore[arg-type]
        (lambda: histogram.observe(None), "d.*NoneType"),  # type: ignore[arg-type]
    ]
    for call, name in mistyped:
        with pytest.raises(TypeError, match=name):
            call()
    assert (counter.get(), whole.get(), gauge.get(), histogram.get()[1]) == (0, 0, 0, 0)


def test_bad_buckets_and_conflicts_are_refused(metrics: Metrics) -> None:
    refused: list[list[float]] = [[], [2, 1], [math.nan]]
    for buckets in refused:
        with pytest.raises(ValueError, match='"d"'):
            metrics.create_histogram("d", "D.", buckets=buckets)
    metrics.create_counter("e", "E.")
    with pytest.raises(ValueError, match="dynamo_component_e"):
        metrics.create_gauge("e", "E.")


anything = st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers()))


@settings(max_examples=300, deadline=None)
@given(name=st.text(), help=st.text(), value=anything, label=st.text(), text=st.text(st.characters()))
def test_whatever_is_given_raises_value_or_type_errors_and_leaves_a_page(
    name: str, help: str, value: object, label: str, text: str
) -> None:
    runtime = DistributedRuntime()
    metrics = runtime.namespace("ns").metrics
    refused = (ValueError, TypeError)
    try:
        family = metrics.create_histogramvec(name, help, [label], buckets=[1.0])
        family.labels(text).observe(value)  # type: ignore[arg-type]
    except refused:
        pass
    for kind in ("counter", "intcounter", "gauge", "intgauge"):
        try:
            metric = getattr(metrics, f"create_{kind}")(name + kind, help, {label: text})
            metric.inc_by(value)
        except refused:
            pass
    assert "dynamo_component_uptime_seconds" in runtime.exposition()
