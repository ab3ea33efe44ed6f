"""Cancellations, threads under load, the interpreter's end, processes, memory, and a real scraper."""

import asyncio
import gc
import os
import random
import subprocess
import sys
import threading
import urllib.parse
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from running import PATIENCE, eventually, fetch, judge, samples

from dynamo_metrics import DistributedRuntime, Frontend, WorkHandler

# Series that come and go in the test of memory.
SERIES = 1_000_000 if os.environ.get("DYNAMO_METRICS_LONG") else 100_000


class Stack:
    """A frontend's and a worker's metrics, and guards of both kinds, on one page."""

    def __init__(self) -> None:
        self.runtime = DistributedRuntime()
        self.frontend = Frontend(self.runtime)
        self.frontend.add_model("m")
        endpoint = self.runtime.namespace("ns").component("backend").endpoint("generate")
        self.handler: WorkHandler = endpoint.serve({"model": "m"})
        self.seconds = endpoint.metrics.create_histogram("guarded_seconds", "Seconds.")
        self.inflight = endpoint.metrics.create_intgauge("guarded_inflight", "In progress.")

    def by_status(self) -> dict[str, float]:
        page = self.runtime.exposition()
        name = "dynamo_frontend_requests_total"
        return {status: sum(samples(page, name, f'status="{status}"')) for status in ("success", "error")}


def test_requests_that_are_cancelled_at_random_points_leave_nothing_in_flight() -> None:
    stack, chance = Stack(), random.Random(11)
    ended: Counter[str] = Counter()
    begun: Counter[str] = Counter()

    @stack.seconds.time()
    @stack.inflight.track_inprogress()
    async def guarded(steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)

    @stack.inflight.track_inprogress()
    async def chunks(steps: int) -> AsyncIterator[int]:
        for i in range(steps):
            await asyncio.sleep(0)
            yield i

    async def request(steps: int, fails_at: int | None) -> None:
        await asyncio.sleep(0)
        with stack.frontend.request(model="m") as front, stack.handler.begin(1) as work:
            begun["requests"] += 1
            front.input_tokens(1)
            begun["guarded"] += 1
            await guarded(1)
            async for i in chunks(steps):
                if i == fails_at:
                    raise RuntimeError("the engine failed")
                front.tokens(1)
                work.response_bytes(1)

    async def one(steps: int, fails_at: int | None, cancelled_after: int) -> None:
        task = asyncio.create_task(request(steps, fails_at))
        for _ in range(cancelled_after):
            await asyncio.sleep(0)
        # Has no effect on a task that is done.
        task.cancel()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        ended["success" if result is None else type(result).__name__] += 1

    async def everything() -> None:
        ones = []
        for _ in range(2_000):
            steps = chance.randrange(1, 12)
            fails_at = chance.randrange(steps) if chance.random() < 0.2 else None
            ones.append(one(steps, fails_at, chance.randrange(0, 24)))
        await asyncio.gather(*ones)
        # Generators that were left in the middle are closed by the loop.
        await asyncio.get_running_loop().shutdown_asyncgens()

    asyncio.run(everything())
    assert set(ended) == {"success", "RuntimeError", "CancelledError"} and min(ended.values()) > 100
    page = stack.runtime.exposition()
    assert stack.handler.inflight == 0 and stack.inflight.get() == 0
    assert stack.handler.requests == begun["requests"] < 2_000
    assert sum(stack.seconds.get()[0]) == begun["guarded"]
    for gauge in ("inflight_requests", "queued_requests", "disconnected_clients"):
        found = samples(page, f"dynamo_frontend_{gauge}")
        assert len(found) == 1
        assert gauge == "disconnected_clients" or found == [0]
    cancelled = begun["requests"] - ended["success"] - ended["RuntimeError"]
    assert cancelled > 0 and sum(samples(page, "dynamo_frontend_cancelled_requests_total")) == cancelled
    # Dynamo counts a cancelled request as an error.
    assert stack.by_status() == {"success": ended["success"], "error": ended["RuntimeError"] + cancelled}
    assert sum(samples(page, "dynamo_component_errors_total", 'error_type="generate"')) == ended["RuntimeError"]
    assert samples(page, "dynamo_component_request_duration_seconds_count") == [begun["requests"]]


def test_totals_are_exact_under_threads_and_scrapes() -> None:
    stack, threads, each = Stack(), 8, 2_000
    family = stack.runtime.metrics.create_intcountervec("calls_total", "Calls.", ["thread", "kind"])
    passing = stack.runtime.metrics.create_histogramvec("passing", "Passing.", ["request"])
    done = threading.Event()
    seen: list[list[float]] = [[], []]

    def record(thread: int) -> None:
        for i in range(each):
            with stack.frontend.request(model="m", stream=bool(i % 2)) as front, stack.handler.begin(3) as work:
                front.tokens(2)
                work.response_bytes(5)
            family.labels(thread=thread, kind=i % 3).inc_by(7)
            passing.labels(f"{thread}-{i}").observe(1)
            assert passing.remove(f"{thread}-{i}")

    def scrape(tokens: list[float]) -> None:
        while not done.is_set():
            tokens += samples(stack.runtime.exposition(), "dynamo_frontend_output_tokens_total")

    scrapers = [threading.Thread(target=scrape, args=(tokens,)) for tokens in seen]
    recorders = [threading.Thread(target=record, args=(i,)) for i in range(threads)]
    for thread in scrapers + recorders:
        thread.start()
    for thread in recorders:
        thread.join()
    done.set()
    for thread in scrapers:
        thread.join()
    page, all_requests = stack.runtime.exposition(), threads * each
    assert samples(page, "dynamo_frontend_output_tokens_total") == [2 * all_requests]
    assert stack.by_status() == {"success": all_requests, "error": 0}
    assert samples(page, "dynamo_component_request_bytes_total") == [3 * all_requests]
    assert samples(page, "dynamo_component_response_bytes_total") == [5 * all_requests]
    assert [sum(samples(page, "dynamo_component_calls_total", f'thread="{i}"')) for i in range(threads)] == [7 * each] * threads
    assert samples(page, "dynamo_frontend_inflight_requests") == [0] and len(passing) == 0
    assert all(tokens and tokens == sorted(tokens) for tokens in seen)


def run(program: str, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments], capture_output=True, text=True, timeout=PATIENCE
    )
    return done.returncode, done.stderr


SERVING = """
import os, sys, threading, urllib.request
from dynamo_metrics import DistributedRuntime
runtime = DistributedRuntime()
metrics = runtime.namespace("ns").metrics
family = metrics.create_intcountervec("calls_total", "Calls.", ["kind"])
known = family.labels("known")
known.inc()
"""


@pytest.mark.parametrize("body", ["while True: pass", "while True: time.sleep(0.001)", "threading.Event().wait()"])
def test_the_interpreter_ends_while_a_callback_never_does(body: str) -> None:
    program = f"""{SERVING}
import time
called = threading.Event()
def engine():
    called.set()
    {body}
metrics.register_prometheus_expfmt_callback(engine)
server = runtime.serve(0, "127.0.0.1")
threading.Thread(target=lambda: urllib.request.urlopen(server.url + "/metrics").read(), daemon=True).start()
assert called.wait(30)
"""
    assert run(program) == (0, "")


@pytest.mark.parametrize(
    "work", ["runtime.exposition()", 'DistributedRuntime().serve(0, "127.0.0.1").close()', "family.labels(object()).inc()"]
)
def test_the_interpreter_ends_while_daemon_threads_are_in_native_code(work: str) -> None:
    program = f"""{SERVING}
for i in range(1_000):
    family.labels(i)
working = threading.Semaphore(0)
def loop():
    while True:
        {work}
        working.release()
for _ in range(4):
    threading.Thread(target=loop, daemon=True).start()
for _ in range(8):
    working.acquire()
"""
    for _ in range(3):
        assert run(program) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("threads", ["server", "engine", "page"])
def test_a_child_of_a_process_with_threads_is_told_to_make_a_runtime_of_its_own(threads: str) -> None:
    program = f"""{SERVING}
refused = "create a DistributedRuntime after the fork"
stop = threading.Event()
def repeat(work):
    def loop():
        while not stop.is_set():
            work()
    threading.Thread(target=loop, daemon=True).start()
if sys.argv[1] == "server":
    server = runtime.serve(0, "127.0.0.1")
    # Imports that it makes are done then; Python's own lock of an import in another thread would stay locked in the child.
    urllib.request.urlopen(server.url + "/metrics").read()
    for _ in range(2):
        repeat(lambda: urllib.request.urlopen(server.url + "/metrics").read())
elif sys.argv[1] == "engine":
    metrics.register_prometheus_expfmt_callback(lambda: "engine_up 1\\n")
    server = None
else:
    server = None
    # Of five, one is always writing a page.
    for _ in range(5):
        repeat(runtime.exposition)
handle = runtime.namespace("ns").component("c").endpoint("e").serve()
frontend_of = lambda: __import__("dynamo_metrics").Frontend(runtime)
def child():
    known.inc()
    assert known.get() == 2
    with handle.begin(1) as request:
        request.response_bytes(1)
    for call in [
        runtime.exposition, runtime.health, lambda: runtime.namespace("x"), lambda: runtime.serve(0, "127.0.0.1"), frontend_of,
        lambda: family.labels("known"), lambda: family.remove("known"), family.clear, lambda: len(family),
        lambda: metrics.create_gauge("g", "G."), lambda: metrics.create_gaugevec("h", "H.", ["l"]),
        lambda: metrics.register_prometheus_expfmt_callback(lambda: ""), lambda: runtime.remove_engine("engine"),
    ]:
        try:
            call()
        except RuntimeError as error:
            assert refused in str(error), error
        else:
            raise AssertionError("not refused")
    if server is not None:
        server.close()
    own = DistributedRuntime()
    own.metrics.create_intcountervec("own_total", "Own.", ["l"]).labels("a").inc()
    with own.serve(0, "127.0.0.1") as mine:
        page = urllib.request.urlopen(mine.url + "/metrics").read().decode()
    assert 'own_total{{l="a"}} 1\\n' in page and "calls_total" not in page
for _ in range(10):
    pid = os.fork()
    if pid == 0:
        try:
            child()
        except BaseException as error:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
stop.set()
assert 'calls_total{{dynamo_namespace="ns",kind="known"}} 1' in runtime.exposition()
"""
    assert run(program, threads) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_end_of_a_child_leaves_its_parents_engines_and_server_alone() -> None:
    # The parent is in a callback when it forks; the child ends with all its objects, as by `sys.exit`.
    program = f"""{SERVING}
import gc
inside, leave = threading.Event(), threading.Event()
def engine():
    inside.set()
    leave.wait()
    return "engine_up 1\\n"
metrics.register_prometheus_expfmt_callback(engine)
server = runtime.serve(0, "127.0.0.1")
scraped = threading.Thread(target=lambda: urllib.request.urlopen(server.url + "/metrics").read(), daemon=True)
scraped.start()
assert inside.wait(30)
pid = os.fork()
if pid == 0:
    del server, metrics, runtime, family, known
    gc.collect()
    raise SystemExit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
leave.set()
scraped.join()
page = ""
while "engine_up 1" not in page:
    page = urllib.request.urlopen(server.url + "/metrics").read().decode()
assert runtime.remove_engine("engine") == 1
while any("engine" in thread.name for thread in threading.enumerate()):
    pass
server.close()
"""
    assert run(program) == (0, "")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_each_start_method_have_pages_of_their_own(method: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        """
import multiprocessing, sys
from dynamo_metrics import DistributedRuntime

def work(number, queue):
    runtime = DistributedRuntime()
    runtime.metrics.create_intcounter("calls_total", "Calls.").inc_by(number)
    queue.put([line for line in runtime.exposition().splitlines() if "calls_total" in line and line[0] != "#"])

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    runtime = DistributedRuntime()
    runtime.metrics.create_intcounter("calls_total", "Calls.").inc_by(100)
    with runtime.serve(0, "127.0.0.1"):
        queue = context.Queue()
        processes = [context.Process(target=work, args=(number, queue)) for number in (1, 2, 3)]
        for process in processes:
            process.start()
        pages = sorted(queue.get(timeout=60) for _ in processes)
        for process in processes:
            process.join()
            assert process.exitcode == 0
    assert pages == [[f"dynamo_component_calls_total {number}"] for number in (1, 2, 3)], pages
    assert "dynamo_component_calls_total 100\\n" in runtime.exposition()
"""
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program), method], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_sub_interpreters_are_refused_with_an_import_error() -> None:
    program = """
try:
    import concurrent.interpreters as interpreters
    create = interpreters.create
    run = lambda i, code: i.exec(code)
except ImportError:
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        import _interpreters as interpreters
    create, run = interpreters.create, interpreters.run_string
import dynamo_metrics
run(create(), '''
try:
    import dynamo_metrics
except ImportError as error:
    assert "subinterpreters" in str(error), error
else:
    raise AssertionError("imported")
''')
dynamo_metrics.DistributedRuntime().exposition()
"""
    code, error = run(program)
    if "No module named '_interpreters'" in error:
        pytest.skip("this Python has no sub-interpreters")
    assert (code, error) == (0, "")


def resident() -> int:
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
@pytest.mark.parametrize("kind", ["counter", "intcounter", "gauge", "intgauge", "histogram"])
def test_series_that_come_and_go_leave_neither_memory_nor_references(kind: str) -> None:
    runtime = DistributedRuntime()
    family = getattr(runtime.metrics, f"create_{kind}vec")("passing", "Passing.", ["request", "model"])
    model = "".join(["a model", " of its own"])
    record: Callable[[object], None] = {
        "counter": lambda series: series.inc_by(0.5),
        "histogram": lambda series: series.observe(1.5),
    }.get(kind, lambda series: series.inc_by(2))

    def churn(begin: int, end: int) -> None:
        for i in range(begin, end):
            record(family.labels(i, model))
            assert family.remove(request=i, model=model)

    churn(0, SERIES // 5)
    runtime.exposition()
    before = resident()
    references, objects = sys.getrefcount(model), len(gc.get_objects())
    churn(SERIES // 5, SERIES // 5 + SERIES)
    assert len(family) == 0 and "request=" not in runtime.exposition()
    # A leak of 24 bytes a series would be 2.4 MB (24 MB in the long form) more than this; allocators keep some pages.
    assert resident() - before < 16 * SERIES + (4 << 20)
    assert sys.getrefcount(model) == references and abs(len(gc.get_objects()) - objects) < 100


def test_prometheus_scrapes_a_worker(tmp_path: Path) -> None:
    prometheus = judge("prometheus")
    if prometheus is None:
        pytest.skip("prometheus is not installed")
    runtime = DistributedRuntime()
    endpoint = runtime.namespace("ns").component("backend").endpoint("generate")
    calls = endpoint.metrics.create_intcountervec("calls_total", "Calls.", ["model"])
    calls.labels('q"w\\e\nn ü').inc_by(2**53 + 1)
    endpoint.metrics.create_histogram("seconds", "Seconds.", buckets=[0.1, 1]).observe_n(0.5, 3)
    endpoint.metrics.register_prometheus_expfmt_callback(lambda: "vllm:running 3\n")
    with runtime.serve(0, "127.0.0.1") as server, DistributedRuntime().serve(0, "127.0.0.1") as unused:
        port = unused.port
        unused.close()
        target = server.url.removeprefix("http://")
        config = f"scrape_configs: [{{job_name: python, scrape_interval: 1s, static_configs: [{{targets: ['{target}']}}]}}]\n"
        (tmp_path / "prometheus.yml").write_text(config)
        process = subprocess.Popen(
            [
                prometheus,
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def query(expression: str) -> str:
            url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
            try:
                return fetch(url)[1]
            except OSError as error:  # it does not listen yet
                return str(error)

        try:
            eventually(lambda: '"1"]' in query("up"), lambda: query("up"))
            found = query("dynamo_component_calls_total")
            assert f'"{2**53}"' in found and '"dynamo_endpoint":"generate"' in found and '"model":"q\\"w\\\\e\\nn ü"' in found, found
            assert '"3"]' in query("vllm:running")
            assert '"0.55' in query("histogram_quantile(0.5, dynamo_component_seconds_bucket)")
            assert '"0"]' in query("scrape_samples_scraped - scrape_samples_post_metric_relabeling")
        finally:
            process.kill()
            process.wait(PATIENCE)
