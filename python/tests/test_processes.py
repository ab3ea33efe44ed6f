"""Threads, forks, the interpreter's end, timers, and memory."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Generator

import pytest

from dynamo_metrics import DistributedRuntime


def test_totals_of_threads_are_exact() -> None:
    metrics = DistributedRuntime().metrics
    counter = metrics.create_intcounter("calls_total", "Calls.")
    family = metrics.create_countervec("labelled_total", "Calls.", ["thread"])
    histogram = metrics.create_histogram("seconds", "Seconds.", buckets=[1, 2])

    def record(thread: int) -> None:
        mine = family.labels(thread=thread)
        for i in range(20_000):
            counter.inc()
            mine.inc()
            histogram.observe(i % 3)

    threads = [threading.Thread(target=record, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.get() == 160_000
    assert [family.labels(i).get() for i in range(8)] == [20_000] * 8
    counts, total = histogram.get()
    ones = sum(1 for i in range(20_000) if i % 3 == 1)
    twos = sum(1 for i in range(20_000) if i % 3 == 2)
    assert counts == [8 * (20_000 - twos), 8 * twos, 0] and total == 8 * (ones + 2 * twos)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_records_and_prints_its_own_page() -> None:
    program = """
import os, threading
from dynamo_metrics import DistributedRuntime
runtime = DistributedRuntime()
counter = runtime.metrics.create_intcounter("calls_total", "Calls.")
thread = threading.Thread(target=counter.inc)
thread.start(); thread.join()
child = os.fork()
counter.inc()
expected = "dynamo_component_calls_total 2\\n"
good = counter.get() == 2 and expected in runtime.exposition()
if child == 0:
    os._exit(0 if good else 1)
assert good and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    assert run(program) == (0, "")


def test_the_interpreter_ends_while_the_page_is_scraped() -> None:
    program = """
import threading, urllib.request
from dynamo_metrics import DistributedRuntime
runtime = DistributedRuntime()
called = threading.Event()
def engine():
    called.set()
    return "engine_up 1\\n"
runtime.metrics.register_prometheus_expfmt_callback(engine)
server = runtime.serve(0, "127.0.0.1")
def scrape():
    while True:
        try:
            urllib.request.urlopen(server.url + "/metrics").read()
        except Exception:
            pass
for _ in range(4):
    threading.Thread(target=scrape, daemon=True).start()
assert called.wait(30)
"""
    for _ in range(3):
        assert run(program) == (0, "")


def run(program: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def test_timers_and_guards_end_with_every_kind_of_function() -> None:
    metrics = DistributedRuntime().metrics
    histogram = metrics.create_histogram("seconds", "Seconds.")
    gauge = metrics.create_intgauge("inflight", "In progress.")
    seen: list[int] = []

    @histogram.time()
    @gauge.track_inprogress()
    def plain(fails: bool) -> int:
        seen.append(gauge.get())
        if fails:
            raise RuntimeError
        return 5

    @histogram.time()
    @gauge.track_inprogress()
    def generator() -> Generator[int, None, None]:
        seen.append(gauge.get())
        yield 1
        yield 2

    @histogram.time()
    @gauge.track_inprogress()
    async def coroutine() -> None:
        seen.append(gauge.get())
        await asyncio.sleep(3600)

    @histogram.time()
    @gauge.track_inprogress()
    async def stream() -> AsyncIterator[int]:
        seen.append(gauge.get())
        yield 1

    assert plain(False) == 5
    with pytest.raises(RuntimeError):
        plain(True)
    assert list(generator()) == [1, 2]
    closed = generator()
    next(closed)
    closed.close()

    async def everything() -> None:
        task = asyncio.create_task(coroutine())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [item async for item in stream()] == [1]

    asyncio.run(everything())
    with histogram.time():
        pass
    counts, total = histogram.get()
    assert (sum(counts), gauge.get(), seen) == (7, 0, [1] * 6)
    assert total < 3600


def test_series_that_come_and_go_leave_no_memory_behind() -> None:
    family = DistributedRuntime().metrics.create_histogramvec("seconds", "Seconds.", ["request"])

    def churn(n: int) -> None:
        for i in range(n):
            family.labels(i).observe(1)
            assert family.remove(i)

    def resident() -> int:
        gc.collect()
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not os.path.exists("/proc/self/statm"):
        pytest.skip("needs /proc")
    churn(20_000)
    before = resident()
    churn(100_000)
    assert len(family) == 0
    assert resident() - before < 4 << 20
