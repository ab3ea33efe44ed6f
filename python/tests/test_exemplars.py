"""Exemplars of the hierarchy's metrics and of requests, on the page that a scraper of OpenMetrics gets; and engines by URL."""

import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from running import eventually

from dynamo_metrics import DistributedRuntime, Frontend

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def scrape(runtime: DistributedRuntime, accept: str = OPENMETRICS) -> str:
    with runtime.serve(0, "127.0.0.1") as server:
        request = urllib.request.Request(server.url + "/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=60) as answer:
            page: str = answer.read().decode()
    if accept == OPENMETRICS:
        list(text_string_to_metric_families(page))  # type: ignore[no-untyped-call]  # a parser of its own finds no fault
    return page


def exemplars(page: str, name: str) -> list[str]:
    """Returns the exemplars of the samples whose lines begin with this text, without their times."""
    lines = [line for line in page.splitlines() if line.startswith(name) and " # " in line]
    return [line.split(" # ")[1].rsplit(" ", 1)[0] for line in lines]


@pytest.mark.parametrize("kind, amount", [("counter", 1.5), ("intcounter", 3)])
def test_a_counter_has_the_trace_of_its_last_increment(kind: str, amount: float) -> None:
    runtime = DistributedRuntime()
    metrics: Any = runtime.metrics
    one = getattr(metrics, f"create_{kind}")("a_total", "A.", exemplars=True)
    one.inc_with_exemplar(1, "00000000000000000000000000000001")
    one.inc_with_exemplar(amount, trace_id=TRACE, span_id=SPAN)
    family = getattr(metrics, f"create_{kind}vec")("b_total", "B.", ["model"], exemplars=True)
    family.labels("m").inc_with_exemplar(amount, TRACE)
    without = getattr(metrics, f"create_{kind}")("c_total", "C.")
    without.inc_with_exemplar(amount, TRACE)
    assert (one.get(), family.labels("m").get(), without.get()) == (1 + amount, amount, amount)
    page = scrape(runtime)
    prefix = "dynamo_component_"
    assert exemplars(page, prefix + "a_total") == [f'{{trace_id="{TRACE}",span_id="{SPAN}"}} {amount}']
    assert exemplars(page, prefix + 'b_total{model="m"}') == [f'{{trace_id="{TRACE}"}} {amount}']
    assert exemplars(page, prefix + "c_total") == []
    assert TRACE not in scrape(runtime, "text/plain; version=0.0.4")


def test_a_bucket_has_the_trace_of_its_last_value() -> None:
    runtime = DistributedRuntime()
    metrics = runtime.metrics
    one = metrics.create_histogram("a_seconds", "A.", buckets=[1, 2], exemplars=True)
    one.observe_with_exemplar(0.5, TRACE)
    one.observe_with_exemplar(5, trace_id=TRACE, span_id=SPAN)
    one.observe(1.5)
    family = metrics.create_histogramvec("b_seconds", "B.", ["step"], buckets=[1], exemplars=True)
    family.labels("prefill").observe_with_exemplar(0.25, TRACE)
    page = scrape(runtime)
    assert exemplars(page, 'dynamo_component_a_seconds_bucket{le="1') == [f'{{trace_id="{TRACE}"}} 0.5']
    assert exemplars(page, 'dynamo_component_a_seconds_bucket{le="2') == []
    assert exemplars(page, 'dynamo_component_a_seconds_bucket{le="+Inf"}') == [
        f'{{trace_id="{TRACE}",span_id="{SPAN}"}} 5'
    ]
    assert exemplars(page, "dynamo_component_b_seconds_bucket") == [f'{{trace_id="{TRACE}"}} 0.25']


@pytest.mark.parametrize(
    "trace, span, error, named",
    [
        ("", None, ValueError, "trace"),
        ("a" * 65, None, ValueError, "trace"),
        ('x"}', None, ValueError, "trace"),
        (TRACE, "s" * 65, ValueError, "span"),
        (TRACE, "\ud800", ValueError, "span_id is not valid Unicode"),
        (5, None, TypeError, "trace_id must be str, not int"),
        (TRACE, 5, TypeError, "span_id must be str, not int"),
    ],
)
def test_bad_identifiers_are_refused_and_count_nothing(trace: Any, span: Any, error: type[Exception], named: str) -> None:
    metrics = DistributedRuntime().metrics
    counter = metrics.create_intcounter("a_total", "A.", exemplars=True)
    histogram = metrics.create_histogram("b_seconds", "B.", buckets=[1], exemplars=True)
    with pytest.raises(error, match=f'metric "a_total": .*{named}'):
        counter.inc_with_exemplar(1, trace, span)
    with pytest.raises(error, match=f'metric "b_seconds": .*{named}'):
        histogram.observe_with_exemplar(1, trace, span)
    assert (counter.get(), histogram.get()[0]) == (0, [0, 0])


def test_bad_values_with_an_exemplar_are_refused() -> None:
    metrics = DistributedRuntime().metrics
    with pytest.raises(ValueError, match="a_total"):
        metrics.create_intcounter("a_total", "A.", exemplars=True).inc_with_exemplar(-1, TRACE)
    with pytest.raises(ValueError, match="b_total"):
        metrics.create_counter("b_total", "B.", exemplars=True).inc_with_exemplar(float("nan"), TRACE)
    with pytest.raises(ValueError, match="c_seconds"):
        metrics.create_histogram("c_seconds", "C.", exemplars=True).observe_with_exemplar(float("nan"), TRACE)


def test_a_sampled_trace_is_the_exemplar_of_a_requests_times() -> None:
    runtime = DistributedRuntime()
    frontend = Frontend(runtime)
    frontend.add_model("m")
    with frontend.request(model="m") as request:
        assert request.trace(f"00-{TRACE}-{SPAN}-01")
        request.input_tokens(3)
        request.tokens(1)
    with pytest.raises(ValueError, match="ended"):
        request.trace(f"00-{TRACE}-{SPAN}-01")
    page = scrape(runtime)
    for name in ("time_to_first_token_seconds", "request_duration_seconds"):
        [found] = exemplars(page, f"dynamo_frontend_{name}_bucket")
        assert f'trace_id="{TRACE}"' in found, found


@pytest.mark.parametrize("header", ["", "00", f"00-{TRACE}-{SPAN}-00", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01"])
def test_a_trace_that_is_not_sampled_or_not_valid_leaves_no_exemplar(header: str) -> None:
    runtime = DistributedRuntime()
    frontend = Frontend(runtime)
    frontend.add_model("m")
    with frontend.request(model="m") as request:
        assert not request.trace(header)
        request.tokens(1)
        with pytest.raises(TypeError, match="traceparent must be str, not int"):
            request.trace(5)  # type: ignore[arg-type]
    assert "trace_id" not in scrape(runtime)


@pytest.fixture
def engine() -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"# TYPE vllm:running gauge\nvllm:running 3\n# TYPE other gauge\nother 1\n"
            self.send_response(200 if self.path == "/metrics" else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_page_of_an_engine_by_url_is_merged_by_its_prefixes(engine: str) -> None:
    runtime = DistributedRuntime()
    metrics = runtime.metrics
    metrics.register_engine_url(engine + "/metrics", prefixes=["vllm:"], name="vllm", timeout=5)
    eventually(lambda: "vllm:running 3\n" in runtime.exposition(), runtime.exposition)
    assert "\nother " not in runtime.exposition()
    assert runtime.remove_engine("vllm") == 1
    assert "vllm:running" not in runtime.exposition()
    # An engine that answers with an error has no page, and costs nothing else.
    metrics.register_engine_url(engine + "/nothing", timeout=0.001)
    assert "dynamo_component_uptime_seconds" in runtime.exposition()


@pytest.mark.parametrize(
    "call, named",
    [
        (lambda m: m.register_engine_url("https://localhost:1/metrics"), "https"),
        (lambda m: m.register_engine_url("localhost:8000"), "localhost:8000"),
        (lambda m: m.register_engine_url("http://localhost/", timeout=0), 'engine "engine": the timeout is 0 s'),
        (lambda m: m.register_engine_url("http://localhost/", name="vllm", timeout=31), 'engine "vllm": the timeout is 31 s'),
        (lambda m: m.register_engine_url("http://localhost/", timeout=float("nan")), "the timeout is NaN s"),
    ],
)
def test_addresses_and_timeouts_that_cannot_be_are_refused(call: Callable[[Any], None], named: str) -> None:
    runtime = DistributedRuntime()
    with pytest.raises(ValueError, match=named):
        call(runtime.metrics)
    assert runtime.remove_engine("engine") + runtime.remove_engine("vllm") == 0
