"""Prints the cost of recordings on one and four threads and in eight processes, of a page of all processes, of an import, and of
memory: `dynamo_metrics.prometheus` beside `prometheus_client`, each alone and with the metrics of many processes.

Each figure is the median of interleaved rounds, each in processes of its own. Needs the wheel and `prometheus_client`. Takes 4 minutes.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

ROUNDS = 7
CALLS = 200_000
PROCESSES = 8
# In all processes together.
SERIES = 10_000

SETUPS = [
    ("swap", "dynamo_metrics.prometheus", False),
    ("prometheus_client", "prometheus_client", False),
    ("swap, multiprocess", "dynamo_metrics.prometheus", True),
    ("prometheus_client, multiprocess", "prometheus_client", True),
]


def spend(call: Any, *arguments: float) -> float:
    """Returns the nanoseconds of one call, of many."""
    begin = time.perf_counter()
    for _ in range(CALLS):
        call(*arguments)
    return (time.perf_counter() - begin) / CALLS * 1e9


def on_threads(threads: int, call: Any, *arguments: float) -> float:
    """Returns the nanoseconds that a call takes of the program's time, with so many threads that make it."""
    workers = [threading.Thread(target=spend, args=(call, *arguments)) for _ in range(threads)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return (time.perf_counter() - begin) / CALLS / threads * 1e9


def child(module: str, task: str) -> None:
    """What a process of its own measures, as JSON on its output."""
    begin = time.perf_counter()
    package = __import__(module, fromlist=["Counter"])
    result = {"import, ms": (time.perf_counter() - begin) * 1e3}
    counter = package.Counter("a", "A.", ["model"]).labels("m")
    histogram = package.Histogram("h", "H.", ["model"]).labels("m")
    if task == "record":
        for threads in (1, 4):
            result[f"inc, {threads} threads, ns"] = on_threads(threads, counter.inc)
            result[f"observe, {threads} threads, ns"] = on_threads(threads, histogram.observe, 0.3)
        before = resident()
        family = package.Counter("b", "B.", ["model", "status", "zone"])
        kept = [family.labels(f"model-{i}", "ok", "eu") for i in range(SERIES)]
        result["bytes a series"] = (resident() - before) / len(kept)
    elif task == "one-of-many":
        sys.stdin.readline()
        result = {"inc in each of 8 processes, ns": spend(counter.inc)}
    elif task == "series":
        family = package.Counter("b", "B.", ["model", "status"])
        for i in range(SERIES // PROCESSES):
            family.labels(f"model-{os.environ['RANK']}-{i}", "ok").inc()
        print("{}", flush=True)
        sys.stdin.readline()
    elif task == "page":
        multiprocess = __import__(f"{module}.multiprocess", fromlist=["MultiProcessCollector"])
        registry = package.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            page = package.generate_latest(registry)
            times.append((time.perf_counter() - begin) * 1e3)
        assert page.count(b"\nb_total{") == SERIES, page[:1000]
        result = {f"page of {SERIES} counters of 8 processes, ms": statistics.median(times)}
    print(json.dumps(result), flush=True)


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def start(module: str, task: str, directory: str | None, rank: int = 0) -> "subprocess.Popen[str]":
    environment = {**os.environ, "RANK": str(rank)}
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    if directory is not None:
        environment["PROMETHEUS_MULTIPROC_DIR"] = directory
    return subprocess.Popen(
        [sys.executable, __file__, module, task], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def results(process: "subprocess.Popen[str]") -> dict[str, float]:
    out, _ = process.communicate("go\n")
    assert process.returncode == 0
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def one_round(module: str, is_shared: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        shared = directory if is_shared else None
        found = results(start(module, "record", shared))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        shared = directory if is_shared else None
        many = [start(module, "one-of-many", shared) for _ in range(PROCESSES)]
        # Told to begin at once, so that they run beside each other.
        time.sleep(1)
        for process in many:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        each = [json.loads(process.communicate()[0].splitlines()[-1]) for process in many]
        found |= {name: statistics.median(one[name] for one in each) for name in each[0]}
    if is_shared:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
            many = [start(module, "series", directory, rank) for rank in range(PROCESSES)]
            for process in many:
                assert process.stdout and process.stdout.readline()
            found |= results(start(module, "page", directory))
            for process in many:
                process.communicate("end\n")
    return found


def main() -> None:
    rounds: dict[str, dict[str, list[float]]] = {name: {} for name, _, _ in SETUPS}
    for _ in range(ROUNDS):
        for name, module, is_shared in SETUPS:
            for what, value in one_round(module, is_shared).items():
                rounds[name].setdefault(what, []).append(value)
    for what in rounds[SETUPS[-1][0]]:
        print(what)
        for name, found in rounds.items():
            if what in found:
                print(f"  {statistics.median(found[what]):10.1f}  {name}")


if __name__ == "__main__":
    child(*sys.argv[1:]) if len(sys.argv) > 1 else main()
