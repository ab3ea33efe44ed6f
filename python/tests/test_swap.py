"""`dynamo_metrics.prometheus` beside `prometheus_client`, and its own promises. ci/python_swap.sh runs that package's own tests."""

import asyncio
import gc
import math
import os
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import prometheus_client as theirs
import prometheus_client.openmetrics.exposition as their_openmetrics
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString as their_text

import dynamo_metrics.prometheus as ours
import dynamo_metrics.prometheus.openmetrics.exposition as our_openmetrics
from dynamo_metrics import DistributedRuntime
from dynamo_metrics.prometheus.core import GaugeMetricFamily, Metric, Sample
from dynamo_metrics.prometheus.utils import floatToGoString

# Their annotations differ in places, so what both packages have is read without types.
BOTH: tuple[Any, Any] = (ours, theirs)


@pytest.fixture
def registry() -> ours.CollectorRegistry:
    return ours.CollectorRegistry()


def text(registry: Any) -> str:
    return ours.generate_latest(registry).decode()


@given(st.floats())
@example(8796093022208.3125)  # halfway between two texts of 16 digits
@example(-8796093022208.3125)
@example(-0.0)
@example(0.0001)
@example(0.00001234)
@example(-1e6)
@example(-9007199254740993.0)
@example(1e16)
@example(-1.5e16)
@example(5e-324)
@example(1234567.0)
def test_numbers_have_the_same_text(value: float) -> None:
    assert floatToGoString(value) == their_text(value)  # type: ignore[no-untyped-call]


amounts = st.one_of(st.floats(min_value=0), st.integers(0, 1000), st.just(math.nan))
values = st.one_of(st.floats(), st.integers(-1000, 1000), st.sampled_from([0.1, 0.25, 1, 2.5, 1e6, 1e16]))
labels = st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=2, max_size=2)
# Bounds that the core's table takes, and bounds that it refuses.
buckets = st.sampled_from([[0.1, 1, 1e6], [-1, 0, 1], [1, 1, 2], [-math.inf, 0, math.inf], [0.5, math.inf]])
records = st.lists(
    st.one_of(
        st.tuples(st.just("counter"), labels, amounts),
        st.tuples(st.sampled_from(["inc", "dec", "set"]), labels, values),
        st.tuples(st.sampled_from(["histogram", "summary", "plain"]), labels, values),
        st.tuples(st.sampled_from(["remove", "info", "enum", "reset"]), labels, st.just(0)),
    ),
    max_size=30,
)


def registry_of(package: Any, help: str, bounds: list[float], steps: Iterable[tuple[str, list[str], float]]) -> Any:
    registry = package.CollectorRegistry(target_info={"env": "test"})
    # In the order of names `le` is between these two.
    names = ["z", "a"]
    counter = package.Counter("c_total", help, names, namespace="ns", unit="seconds", registry=registry)
    gauge = package.Gauge("g", help, names, registry=registry)
    histogram = package.Histogram("h", help, names, buckets=bounds, registry=registry)
    plain = package.Histogram("p", help, buckets=bounds, registry=registry)
    summary = package.Summary("s", help, names, subsystem="sub", registry=registry)
    info = package.Info("i", help, names, registry=registry)
    enum = package.Enum("e", help, names, states=["b", "a"], registry=registry)
    package.Counter("dotted.name", help, ["dotted.label"], registry=registry).labels("x").inc()
    for step, of, value in steps:
        if step == "counter":
            counter.labels(*of).inc(value)
        elif step in ("inc", "dec", "set"):
            getattr(gauge.labels(z=of[0], a=of[1]), step)(value)
        elif step == "histogram":
            histogram.labels(*of).observe(value)
        elif step == "plain":
            plain.observe(value)
        elif step == "summary":
            summary.labels(*of).observe(value)
        elif step == "info":
            info.labels(*of).info({"x": of[0]})
        elif step == "enum":
            enum.labels(*of).state("a")
        elif step == "reset":
            gauge.clear()
        else:
            counter.remove(*of)
    return registry


@settings(max_examples=200, deadline=None)
@given(help=st.text(st.characters(codec="utf-8"), max_size=8), bounds=buckets, steps=records)
def test_the_same_calls_give_the_same_pages_in_each_format_and_escaping(
    help: str, bounds: list[float], steps: list[tuple[str, list[str], float]]
) -> None:
    theirs.disable_created_metrics()  # type: ignore[no-untyped-call]
    mine, other = (registry_of(package, help, bounds, steps) for package in BOTH)
    for escaping in ("underscores", "allow-utf-8", "dots", "values"):
        assert ours.generate_latest(mine, escaping).decode() == theirs.generate_latest(other, escaping).decode()
    for escaping in ("underscores", "allow-utf-8"):
        page = our_openmetrics.generate_latest(mine, escaping)
        assert page.decode() == their_openmetrics.generate_latest(other, escaping).decode()  # type: ignore[no-untyped-call]


def test_times_of_creation_and_exemplars_give_the_same_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 123.5)
    pages = []
    for package, openmetrics in zip(BOTH, (our_openmetrics, their_openmetrics)):
        package.enable_created_metrics()
        registry = package.CollectorRegistry()
        counter = package.Counter("c", "C.", ["l"], registry=registry)
        counter.labels("x").inc(2, {"trace": 'a"b'})
        counter.labels("y").inc(exemplar={})
        histogram = package.Histogram("h", "H.", registry=registry)
        histogram.observe(0.3, exemplar={"trace": "1"})
        histogram.observe(1e9, {"trace": "2", "span": "3"})
        package.Summary("s", "S.", registry=registry)
        pages.append([package.generate_latest(registry), openmetrics.generate_latest(registry)])
        package.disable_created_metrics()
    assert pages[0] == pages[1]
    assert b"c_created" in pages[0][0] and b'# {trace="a\\"b"}' in pages[0][1]


def test_times_of_creation_are_left_out_by_default(registry: ours.CollectorRegistry) -> None:
    ours.Counter("c", "C.", registry=registry)
    assert "_created" not in text(registry)


def test_the_methods_that_record_are_native() -> None:
    recording = (
        ours.Counter.inc, ours.Gauge.inc, ours.Gauge.dec, ours.Gauge.set,
        ours.Histogram.observe, ours.Summary.observe, ours.Counter.labels,
    )  # fmt: skip
    assert all(isinstance(method, types.MethodDescriptorType) for method in recording)


def test_threads_lose_no_recording_and_share_their_series(registry: ours.CollectorRegistry) -> None:
    counter = ours.Counter("c", "C.", ["l"], registry=registry)
    histogram = ours.Histogram("h", "H.", ["l"], registry=registry)
    series = []

    def record() -> None:
        for _ in range(1000):
            counter.labels("x").inc()
            histogram.labels("x").observe(0.5)
        series.append(counter.labels("x"))

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, series))) == 1
    assert registry.get_sample_value("c_total", {"l": "x"}) == 8000
    assert registry.get_sample_value("h_sum", {"l": "x"}) == 4000
    assert registry.get_sample_value("h_bucket", {"l": "x", "le": "0.5"}) == 8000


def test_a_reset_counter_begins_at_zero_whatever_was_added(registry: ours.CollectorRegistry) -> None:
    counter = ours.Counter("c", "C.", registry=registry)
    for amount in (0.1, 1e300, math.inf, math.nan):
        counter.inc(amount)
        counter.reset()
        assert counter._value.get() == 0
    counter.inc(3)
    assert (counter._value.get(), registry.get_sample_value("c_total")) == (3, 3)


def test_bad_values_raise_and_change_nothing(registry: ours.CollectorRegistry) -> None:
    counter = ours.Counter("c", "C.", registry=registry)
    histogram = ours.Histogram("h", "H.", registry=registry)
    with pytest.raises(ValueError, match="not negative"):
        counter.inc(-1)
    with pytest.raises(ValueError, match="128"):
        counter.inc(1, {"a": "x" * 128})
    with pytest.raises(ValueError, match="reserved"):
        histogram.observe(1, {"__a": "x"})
    for record in (counter.inc, histogram.observe):
        with pytest.raises(TypeError):
            record("1")  # type: ignore[arg-type]
        with pytest.raises(OverflowError):
            record(10**400)
    assert (counter._value.get(), histogram._sum.get()) == (0, 0)


def test_label_values_that_do_not_fit_raise_with_the_metrics_name(registry: ours.CollectorRegistry) -> None:
    gauge = ours.Gauge("g", "G.", ["a", "b"], registry=registry)
    for values, by_name in [((), {}), (("x",), {}), (("x", "y"), {"a": "x"}), ((), {"a": "x", "c": "y"})]:
        with pytest.raises(ValueError, match="gauge:g"):
            gauge.labels(*values, **by_name)
    with pytest.raises(ValueError, match="missing label values"):
        gauge.inc()
    with pytest.raises(ValueError, match="set already"):
        gauge.labels("x", "y").labels("x", "y")
    with pytest.raises(ValueError, match="gauge:g.*'c'"):
        gauge.remove_by_labels({"c": "x"})


def test_a_lone_surrogate_does_not_break_the_page(registry: ours.CollectorRegistry) -> None:
    gauge = ours.Gauge("g", "G.", ["l"], registry=registry)
    gauge.labels("\ud800").set(1)
    gauge.labels("x").set(2)
    ours.Info("i", "\ud800", registry=registry)
    assert 'g{l="x"} 2.0\n' in text(registry)
    assert "i_info 1.0\n" in text(registry)


def test_a_lone_surrogate_is_the_same_series_on_each_page(registry: ours.CollectorRegistry) -> None:
    ours.Gauge("g", "G.", ["l"], registry=registry).labels("\ud800").set(1)
    [series] = [line for line in text(registry).splitlines() if line.startswith("g{")]
    restricted: Any = registry.restricted_registry(["g"])
    for page in (ours.generate_latest(restricted), our_openmetrics.generate_latest(restricted)):
        assert series in page.decode().splitlines()


def test_a_gauges_function_may_make_series_and_its_failure_is_the_pages(registry: ours.CollectorRegistry) -> None:
    gauge = ours.Gauge("g", "G.", ["l"], registry=registry)

    def value() -> float:
        gauge.labels("new").set(1)
        return 7

    gauge.labels("x").set_function(value)
    assert text(registry).endswith('g{l="x"} 7.0\n')
    assert registry.get_sample_value("g", {"l": "new"}) == 1
    gauge.labels("x").set_function(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        text(registry)


def test_a_metric_in_a_cycle_is_collected() -> None:
    gauge = ours.Gauge("g", "G.", ["l"], registry=None)
    gauge.labels("x").set_function(lambda: len(gauge._labelnames))
    gone = weakref.ref(gauge)
    del gauge
    gc.collect()
    assert gone() is None


def test_the_samples_of_a_subclass_are_those_of_its_page(registry: ours.CollectorRegistry) -> None:
    class Doubled(ours.Gauge):
        def _child_samples(self) -> Iterable[Sample]:
            return [Sample("", {}, 2 * self._get())]

    class Named(ours.Counter):
        def __init__(self, name: str, documentation: str = "Named.", **kwargs: Any) -> None:
            super().__init__(name, documentation, **kwargs)

    Doubled("d", "D.", registry=registry).set(2)
    named = Named("n", labelnames=["l"], registry=registry)
    named.labels("x").inc()
    assert isinstance(named.labels("x"), Named)
    assert "d 4.0\n" in text(registry) and 'n_total{l="x"} 1.0\n' in text(registry)


def test_metrics_and_collectors_of_both_packages_work_in_either_registry() -> None:
    class Custom:
        def collect(self) -> Iterable[Metric]:
            yield GaugeMetricFamily("custom", "Custom.", value=3)

    pages = []
    for package, other in (BOTH, BOTH[::-1]):
        registry = package.CollectorRegistry()
        registry.register(Custom())
        other.Counter("c", "C.", ["l"], registry=registry).labels("x").inc()
        with pytest.raises(ValueError, match="c_total"):
            other.Gauge("c_total", "C.", registry=registry)
        pages.append(package.generate_latest(registry))
    assert pages[0] == pages[1] and b'c_total{l="x"} 1.0' in pages[0]


def test_a_registry_is_merged_into_the_runtimes_page(registry: ours.CollectorRegistry) -> None:
    ours.Gauge("vllm:running", "Running.", registry=registry).set(3)
    runtime = DistributedRuntime()
    runtime.metrics.register_engine_registry(registry, prefixes=["vllm:"])
    assert "vllm:running 3.0\n" in runtime.exposition()


def test_timers_take_the_time_of_coroutines_and_the_last_labels(registry: ours.CollectorRegistry) -> None:
    summary = ours.Summary("s", "S.", ["l"], registry=registry)
    failures = ours.Counter("f", "F.", registry=registry)

    @failures.count_exceptions(KeyError)
    @summary.labels("x").time()
    async def work(fail: bool) -> None:
        await asyncio.sleep(0)
        if fail:
            raise KeyError

    asyncio.run(work(False))
    with pytest.raises(KeyError):
        asyncio.run(work(True))
    with summary.time() as timer:
        timer.labels("y")
    assert (summary.labels("x")._count.get(), summary.labels("y")._count.get()) == (2, 1)
    assert failures._value.get() == 1


def test_a_served_page_has_the_format_that_is_asked_for(registry: ours.CollectorRegistry) -> None:
    ours.Counter("dotted.c", "C.", registry=registry).inc()
    ours.Counter("other", "O.", registry=registry).inc()
    server, thread = ours.start_http_server(0, "127.0.0.1", registry)
    try:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,text/plain;version=0.0.4;q=0.1"
        with urlopen(Request(url, headers={"Accept": accept})) as answer:
            page = answer.read().decode()
            assert answer.headers["Content-Type"].endswith("escaping=allow-utf-8")
        assert '{"dotted.c_total"} 1.0\n' in page and page.endswith("# EOF\n")
        with urlopen(url + "?name[]=other_total") as answer:
            assert answer.read().decode().splitlines()[-1] == "other_total 1.0"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_text_file_is_whole_or_absent(registry: ours.CollectorRegistry, tmp_path: Path) -> None:
    gauge = ours.Gauge("g", "G.", registry=registry)
    path = tmp_path / "page.prom"
    ours.write_to_textfile(str(path), registry)
    gauge.set_function(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        ours.write_to_textfile(str(path), registry)
    assert [file.name for file in tmp_path.iterdir()] == ["page.prom"]
    assert path.read_text().endswith("g 0.0\n")


def test_an_asgi_application_answers_with_the_page(registry: ours.CollectorRegistry) -> None:
    ours.Counter("c", "C.", registry=registry).inc()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"Accept", b"text/plain;version=1.0.0")], "query_string": b""}
    asyncio.run(ours.make_asgi_app(registry)(scope, receive, send))
    assert sent[0]["status"] == 200
    assert sent[0]["headers"] == [(b"Content-Type", b"text/plain; version=1.0.0; charset=utf-8; escaping=underscores")]
    assert sent[1]["body"] == ours.generate_latest(registry)


def test_pushes_have_the_method_the_groups_and_the_page(registry: ours.CollectorRegistry) -> None:
    ours.Gauge("g", "G.", registry=registry).set(2)
    pushed: list[dict[str, Any]] = []

    def handler(**request: Any) -> Any:
        return lambda: pushed.append(request)

    ours.push_to_gateway("gateway:9091/", "a/job", registry, {"zone": "eu", "empty": ""}, handler=handler)
    ours.pushadd_to_gateway("https://gateway", "job", registry, handler=handler, timeout=1)
    ours.delete_from_gateway("http://gateway", "job", {"instance": 1}, handler=handler)
    assert [(request["method"], request["url"], request["timeout"]) for request in pushed] == [
        ("PUT", "http://gateway:9091/metrics/job@base64/YS9qb2I=/empty@base64/=/zone/eu", 30),
        ("POST", "https://gateway/metrics/job/job", 1),
        ("DELETE", "http://gateway/metrics/job/job/instance/1", 30),
    ]
    assert [request["data"] for request in pushed] == [ours.generate_latest(registry)] * 2 + [b""]


def test_the_environment_asks_for_times_of_creation() -> None:
    program = (
        "from dynamo_metrics.prometheus import Counter, generate_latest\n"
        "Counter('c', 'C.')\n"
        "page = generate_latest()\n"
        "print(b'python_info' in page, b'c_created' in page)"
    )
    environment = {"PROMETHEUS_DISABLE_CREATED_SERIES": "False"}
    for variables, created in [({}, "False"), (environment, "True")]:
        done = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, **variables}, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["True", created]
