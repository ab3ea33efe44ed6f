"""Canaries, the KV router, and migrations: metrics of several workers."""

import os
import queue
import subprocess
import sys
import threading

import pytest
from running import PATIENCE, eventually, samples

from dynamo_metrics import Canary, Component, DistributedRuntime, Endpoint, Frontend, KvRouter, WorkHandler


def served(runtime: DistributedRuntime) -> tuple[Endpoint, WorkHandler]:
    endpoint = runtime.namespace("ns").component("backend").endpoint("generate")
    return endpoint, endpoint.serve()


def test_an_endpoint_has_the_status_of_its_last_canary() -> None:
    runtime = DistributedRuntime(canary_wait_time=0, canary_timeout=3600)
    answers: queue.Queue[object] = queue.Queue()

    def send() -> object:
        if isinstance(answer := answers.get(), Exception):
            raise answer
        return answer

    def follows(answer: object, status: int) -> None:
        answers.put(answer)
        eventually(lambda: runtime.health()[0] == status, lambda: f"{answer!r} is not followed by {status}: {runtime.health()}")

    endpoint, handler = served(runtime)
    with endpoint.canary(handler, send) as canary:
        assert isinstance(canary, Canary)
        assert runtime.health()[0] == 503, "no answer yet"
        follows(None, 200)
        follows(RuntimeError("no"), 503)
        follows(True, 200)
        follows(False, 503)
        follows("text", 200)
    canary.close()
    answers.put(RuntimeError("too late: the canaries have ended"))
    eventually(lambda: "dynamo_metrics canary generate" not in [t.name for t in threading.enumerate()], lambda: "a thread is left")
    assert runtime.health()[0] == 200, "the status stays"


def test_a_canary_that_hangs_makes_its_endpoint_not_ready_and_delays_no_probe() -> None:
    runtime = DistributedRuntime(canary_wait_time=0, canary_timeout=0)
    release = threading.Event()
    endpoint, handler = served(runtime)
    with endpoint.canary(handler, release.wait):
        assert runtime.health()[0] == 503
        release.set()


def test_good_requests_of_clients_make_a_ready_endpoint_whatever_canaries_say() -> None:
    runtime = DistributedRuntime(canary_wait_time=0.05, canary_timeout=3600)
    endpoint, handler = served(runtime)

    def is_ready_after_a_request() -> bool:
        with handler.begin(1):
            pass
        return runtime.health()[0] == 200

    with endpoint.canary(handler, lambda: False):
        eventually(is_ready_after_a_request, lambda: "never ready")
        eventually(lambda: runtime.health()[0] == 503, lambda: "ready without requests")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_canary_that_hangs_keeps_neither_a_child_nor_the_interpreter_from_ending() -> None:
    program = """
import os, sys, threading
from dynamo_metrics import DistributedRuntime
endpoint = DistributedRuntime(canary_wait_time=0).namespace("ns").component("backend").endpoint("generate")
asked = threading.Event()
def hangs():
    asked.set()
    threading.Event().wait()
canary = endpoint.canary(endpoint.serve(), hangs)
asked.wait()
if (child := os.fork()) == 0:
    canary.close()
    del canary, endpoint
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
    # CPython 3.12 and later warn of forks beside threads.
    arguments = [sys.executable, "-W", "ignore", "-c", program]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_no_canary_is_sent_without_a_wait_time() -> None:
    runtime = DistributedRuntime(starting_health_status="ready")
    endpoint, handler = served(runtime)
    with endpoint.canary(handler, lambda: pytest.fail("it is never sent")):
        assert runtime.health()[0] == 200
    for wrong in (-1.0, float("nan"), 1e300):
        with pytest.raises(ValueError, match="canary_wait_time is .* it must be 0 to 86400"):
            DistributedRuntime(canary_wait_time=wrong)
        with pytest.raises(ValueError, match="canary_timeout is"):
            DistributedRuntime(canary_wait_time=1, canary_timeout=wrong)


def router_of(runtime: DistributedRuntime) -> Component:
    return runtime.namespace("ns").component("router")


def test_a_router_shows_each_worker_and_their_sum_and_picks_the_least_used() -> None:
    runtime = DistributedRuntime()
    router = KvRouter(router_of(runtime))
    assert router.pick() is None and len(router) == 0
    for worker, blocks in ((7, 40), (9, 20), (11, 30)):
        assert router.publish(
            worker, active_blocks=blocks, total_blocks=100, gpu_cache_usage=blocks / 100, gpu_prefix_cache_hit_rate=0.5
        )
    assert router.pick() == 9 and len(router) == 3
    assert router.aggregate() == {
        "active_blocks": 90, "total_blocks": 300, "gpu_cache_usage": pytest.approx(0.3, abs=1e-6), "gpu_prefix_cache_hit_rate": 0.5
    }
    page = runtime.exposition()
    place = 'dynamo_component="router"'
    assert samples(page, "dynamo_component_router_worker_active_blocks", place, 'worker_id="7"') == [40]
    assert samples(page, "dynamo_component_kvstats_active_blocks", place) == [90]
    assert router.remove(9) and not router.remove(9)
    assert router.pick() == 11
    assert len(samples(runtime.exposition(), "dynamo_component_router_worker_active_blocks")) == 2
    # Another component's statistics take an aggregate as it is.
    other = DistributedRuntime()
    router_of(other).kv_stats().publish(**router.aggregate())
    assert samples(other.exposition(), "dynamo_component_kvstats_total_blocks") == [200]


def test_a_router_of_the_sum_alone_has_no_series_of_workers() -> None:
    runtime = DistributedRuntime()
    router = KvRouter(router_of(runtime), worker_series=False)
    router.publish(2**64 - 1, active_blocks=1, total_blocks=2, gpu_cache_usage=0.5)
    page = runtime.exposition()
    assert "router_worker" not in page and samples(page, "dynamo_component_kvstats_active_blocks") == [1]
    assert router.pick() == 2**64 - 1
    with pytest.raises(ValueError, match="worker_id"):
        router.publish(2**64, active_blocks=1, total_blocks=2, gpu_cache_usage=0.5)
    with pytest.raises(ValueError, match="active_blocks"):
        router.publish(1, active_blocks=-1, total_blocks=2, gpu_cache_usage=0.5)


def test_migrations_are_counted_by_model_and_type() -> None:
    runtime = DistributedRuntime()
    frontend = Frontend(runtime)
    frontend.add_model("m", migration_limit=3)
    with frontend.request(model="m") as request:
        request.migration("new_request")
        request.tokens(1)
        for _ in range(2):
            request.migration("ongoing_request")
        with pytest.raises(ValueError, match='"moved" is not one of new_request, ongoing_request'):
            request.migration("moved")
    name = "dynamo_frontend_model_migration_total"
    for kind, count in (("new_request", 1), ("ongoing_request", 2)):
        assert samples(runtime.exposition(), name, 'model="m"', f'migration_type="{kind}"') == [count]
    with pytest.raises(ValueError, match="ended"):
        request.migration("new_request")
