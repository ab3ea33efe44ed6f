"""A worker's and a frontend's requests, health, engines and the system server."""

import asyncio
import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

import prometheus_client
import pytest
from running import eventually

from dynamo_metrics import DYNAMO_WORKER_FAMILIES, DistributedRuntime, Frontend


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_system_server_has_metrics_and_health() -> None:
    runtime = DistributedRuntime()
    runtime.metrics.create_intcounter("calls_total", "Calls.").inc()
    with runtime.serve(0, "127.0.0.1") as server:
        assert server.url.endswith(f":{server.port}")
        status, page = fetch(server.url + "/metrics")
        assert status == 200 and "dynamo_component_calls_total 1\n" in page
        assert fetch(server.url + "/health")[0] == 503
        runtime.set_health_status("ready")
        status, body = fetch(server.url + "/health")
        assert status == 200 and json.loads(body)["status"] == "ready"
        assert fetch(server.url + "/live")[0] == 200
        with runtime.serve(0, "127.0.0.1") as beside:
            assert fetch(beside.url + "/live")[0] == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(server.url, timeout=10)
    with pytest.raises(ValueError, match="ready"):
        runtime.set_health_status("perhaps")


def test_a_server_may_follow_one_that_was_closed_or_did_not_start() -> None:
    runtime = DistributedRuntime()
    runtime.serve(0, "127.0.0.1").close()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=str(port)):
            runtime.serve(port, "127.0.0.1")
    with pytest.raises(OSError, match="no.host.invalid"):
        runtime.serve(port, "no.host.invalid")
    with runtime.serve(port, "127.0.0.1") as server:
        assert server.port == port
        assert "dynamo_component_uptime_seconds" in fetch(server.url + "/metrics")[1]


def test_requests_of_a_worker_are_counted_however_they_end() -> None:
    runtime = DistributedRuntime()
    component = runtime.namespace("ns").component("backend")
    handler = component.endpoint("generate").serve({"model": "m"})
    with handler.begin(100) as request:
        assert handler.inflight == 1
        request.response_bytes(50)
    with pytest.raises(RuntimeError), handler.begin(1):
        raise RuntimeError("the engine failed")
    dropped = handler.begin(1)
    del dropped
    assert (handler.requests, handler.inflight) == (3, 0)
    with pytest.raises(ValueError, match="finished"):
        request.response_bytes(1)
    with pytest.raises(ValueError, match="generate"):
        request.error("weather")
    component.kv_stats().publish(active_blocks=5, total_blocks=10, gpu_cache_usage=0.5)
    page = runtime.exposition()
    for name, value in [
        ("request_bytes_total", "102"),
        ("response_bytes_total", "50"),
        ("request_duration_seconds_count", "3"),
        ("kvstats_active_blocks", "5"),
    ]:
        assert any(line.startswith(f"dynamo_component_{name}{{") and line.endswith(" " + value) for line in page.splitlines())
    assert 'error_type="generate"} 1\n' in page


def test_a_frontends_requests_move_every_metric() -> None:
    runtime = DistributedRuntime()
    frontend = Frontend(runtime)
    frontend.add_model("m", context_length=4096)
    with frontend.request(model="m") as request:
        request.input_tokens(24)
        request.tokens(1)
        request.tokens(2)
    with pytest.raises(RuntimeError), frontend.request(model="m", stream=False):
        raise RuntimeError("no")

    async def cancelled() -> None:
        with frontend.request(model="m") as request:
            request.tokens(1)
            await asyncio.sleep(3600)

    async def cancel() -> None:
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    frontend.request(model="absent", endpoint="completions").reject("not_found")
    page = runtime.exposition()
    for part in [
        'dynamo_frontend_output_tokens_total{model="m"} 4',
        'dynamo_frontend_inflight_requests{model="m"} 0',
        'dynamo_frontend_disconnected_clients 1',
        'request_type="stream",status="success"} 1',
        'request_type="unary",status="error"} 1',
    ]:
        assert part + "\n" in page
    refused: list[Callable[[], object]] = [
        lambda: frontend.request(model="m", endpoint="x"),
        lambda: frontend.reject("completions", "x"),
    ]
    for call in refused:
        with pytest.raises(ValueError, match="'x'|\"x\""):
            call()


def test_a_registry_of_prometheus_client_is_merged_by_its_prefixes() -> None:
    runtime = DistributedRuntime()
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Gauge("vllm:running", "Running.", registry=registry).set(3)
    prometheus_client.Gauge("other", "Other.", registry=registry).set(1)
    runtime.metrics.register_engine_registry(registry, prefixes=["vllm:"], name="vllm")
    page = runtime.exposition()
    assert "vllm:running 3.0\n" in page or "vllm:running 3\n" in page
    assert "\nother " not in page
    assert runtime.remove_engine("vllm") == 1


def test_a_callback_that_fails_or_hangs_costs_only_itself() -> None:
    runtime = DistributedRuntime()
    release = threading.Event()

    def fails() -> str:
        raise RuntimeError("the engine is gone")

    def hangs() -> str:
        release.wait()
        return "late 1\n"

    runtime.metrics.register_prometheus_expfmt_callback(fails, name="fails")
    runtime.metrics.register_prometheus_expfmt_callback(hangs, name="hangs")
    runtime.metrics.register_prometheus_expfmt_callback(lambda: "good 1\n", name="good")
    runtime.metrics.register_prometheus_expfmt_callback(lambda: 7, name="seven")  # type: ignore[arg-type, return-value]
    try:
        page = runtime.exposition()
        assert "good 1\n" in page and "dynamo_component_uptime_seconds" in page
        for name, up in [("fails", 0), ("hangs", 0), ("seven", 0), ("good", 1)]:
            assert f'dynamo_engine_metrics_up{{source="{name}"}} {up}\n' in page
    finally:
        release.set()


@pytest.mark.parametrize("raised", [ValueError, SystemExit, RecursionError])
def test_an_engine_goes_on_after_an_exception_without_a_text(raised: type[BaseException]) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise raised("no text")

    good = threading.Event()

    def engine() -> str:
        if not good.is_set():
            raise Mute
        return "steps 1\n"

    runtime = DistributedRuntime()
    runtime.metrics.register_prometheus_expfmt_callback(engine, name="mute")
    assert "steps 1\n" not in runtime.exposition()
    good.set()
    eventually(lambda: "steps 1\n" in runtime.exposition(), runtime.exposition)


def test_a_text_for_another_page_lacks_the_families_of_that_page_and_nothing_else() -> None:
    runtime = DistributedRuntime()
    component = runtime.namespace("dynamo").component("backend")
    with component.endpoint("generate").serve({"model": "m"}).begin(100) as request:
        request.response_bytes(50)
    component.kv_stats().publish(active_blocks=5, total_blocks=10, gpu_cache_usage=0.5)
    component.metrics.create_histogram("step_seconds", 'A "step" \\ of\nthe engine.', buckets=[0.1, 1]).observe(0.5)
    component.metrics.create_intcountervec("tokens_total", "Tokens.", ["kind"]).labels('a"b\\c\nd').inc_by(2**63)
    runtime.metrics.register_prometheus_expfmt_callback(lambda: "vllm:a 1\n# TYPE vllm:b gauge\nvllm:b NaN\n")

    def lines(text: str) -> list[str]:
        # These differ from read to read.
        moving = re.compile(r"dynamo_component_uptime_seconds |dynamo_engine_metrics_(age|fetch)|process_")
        return [line for line in text.splitlines() if not moving.match(line)]

    page = lines(runtime.exposition())
    assert lines(runtime.exposition(without=[])) == page == lines(runtime.exposition(without=("absent",)))
    own = re.compile(rf"(# \w+ )?({'|'.join(DYNAMO_WORKER_FAMILIES)})(_bucket|_sum|_count)?[ {{]")
    rest = lines(runtime.exposition(without=DYNAMO_WORKER_FAMILIES))
    assert rest == [line for line in page if not own.match(line)]
    assert len(page) - len(rest) > 2 * len(DYNAMO_WORKER_FAMILIES)
    assert any(line.startswith("dynamo_component_kvstats_active_blocks{") for line in rest)
    assert "vllm:b" not in runtime.exposition(without=["vllm:b"])
    wrong: list[object] = ["vllm:b", [7], 7]
    for without in wrong:
        with pytest.raises(TypeError, match="without: names of families must be str"):
            runtime.exposition(without=without)  # type: ignore[arg-type]
