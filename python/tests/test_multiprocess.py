"""Processes that share metrics: against the same programs on prometheus_client, and with kills and forks."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

PRELUDE = """
import os, sys, signal
from {module} import Counter, CollectorRegistry, Gauge, Histogram, Summary, generate_latest, multiprocess
"""

# One process of a server; does what it does once for each line of its input.
WORKER = """
number = int(sys.argv[1])
modes = ("all", "liveall", "min", "livemin", "max", "livemax", "sum", "livesum", "mostrecent", "livemostrecent")
requests = Counter("requests", "Requests.", ["model", "status"])
plain = Counter("plain_total", "Without labels.")
wait = Histogram("wait_seconds", "Waits.", ["model"], buckets=(0.125, 1, 10))
size = Summary("size", "Sizes.")
gauges = [Gauge("gauge_" + mode, "G.", ["model"], multiprocess_mode=mode) for mode in modes]
for line in sys.stdin:
    requests.labels("a", "ok").inc(number)
    requests.labels(model=f"m{number}", status='"q\\n').inc(0.5)
    plain.inc()
    for value in (0.0625, 0.125, number, 100):
        wait.labels("a").observe(value)
    size.observe(number)
    for gauge in gauges:
        gauge.labels("a").set(number * float(line))
    print("done", flush=True)
"""

PAGE = """
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
sys.stdout.buffer.write(generate_latest(registry))
"""

MODULES = ("prometheus_client", "dynamo_metrics.prometheus")


def program(module: str, text: str, directory: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Starts a program that imports the module's names, in a process that shares the directory."""
    directory.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE.format(module=module) + text, *arguments],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def page(module: str, directory: Path, text: str = PAGE) -> str:
    process = program(module, text, directory)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out


def samples(text: str, pids: dict[str, str]) -> dict[tuple[str, str, str], float]:
    """The samples of a page by type, name and labels, with the numbers of processes in place of their pids."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {name: pids.get(value, value) if name == "pid" else value for name, value in sample.labels.items()}
            found[family.type, sample.name, json.dumps(labels, sort_keys=True)] = sample.value
    return found


class Server:
    """Three processes of one program."""

    def __init__(self, module: str, directory: Path) -> None:
        self.module, self.directory = module, directory
        self.pids: dict[str, str] = {}
        self.processes = [self.start(number) for number in (1, 2, 3)]

    def start(self, number: int) -> "subprocess.Popen[str]":
        process = program(self.module, WORKER, self.directory, str(number))
        self.pids[str(process.pid)] = str(number)
        self.tell(process, 1)
        return process

    def tell(self, process: "subprocess.Popen[str]", value: float) -> None:
        assert process.stdin and process.stdout
        process.stdin.write(f"{value}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"

    def kill(self, number: int) -> None:
        process = self.processes[number - 1]
        process.kill()
        process.wait()
        dead = f"multiprocess.mark_process_dead({process.pid})"
        page(self.module, self.directory, dead)

    def samples(self) -> dict[tuple[str, str, str], float]:
        return samples(page(self.module, self.directory), self.pids)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Server]]:
    servers = [Server(module, tmp_path / module) for module in MODULES]
    yield servers
    for server in servers:
        for process in server.processes:
            process.kill()
            process.communicate()


def test_pages_have_the_samples_that_prometheus_client_has(servers: list[Server]) -> None:
    theirs, ours = servers
    assert len(theirs.samples()) > 20
    assert ours.samples() == theirs.samples()
    for server in servers:
        server.tell(server.processes[1], 7)
        server.tell(server.processes[0], 2)
    assert ours.samples() == theirs.samples()
    # A process that was killed: its counts stay, and its gauges where the mode says so.
    for server in servers:
        server.kill(2)
    assert ours.samples() == theirs.samples()
    # Another one takes its place. Only `all` differs: prometheus_client keeps the series of each process that ever ran.
    for server in servers:
        server.processes[1] = server.start(4)
    both = [server.samples() for server in servers]
    gone = ("gauge", "gauge_all", json.dumps({"model": "a", "pid": "2"}))
    assert both[0].pop(gone) == 14.0
    assert both[1] == both[0]
    assert len(list(ours.directory.iterdir())) == 3


def test_text_and_collected_samples_agree(servers: list[Server]) -> None:
    ours = servers[1]
    collected = """
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
class Other:
    def collect(self):
        return registry.collect()
sys.stdout.buffer.write(generate_latest(Other()))
"""
    by_samples = samples(page(ours.module, ours.directory, collected), ours.pids)
    assert by_samples == ours.samples()


def test_openmetrics_is_valid(servers: list[Server]) -> None:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict

    text = """
from dynamo_metrics.prometheus.openmetrics.exposition import generate_latest
""" + PAGE
    ours = servers[1]
    families = {family.name: family for family in strict(page(ours.module, ours.directory, text))}  # type: ignore[no-untyped-call]
    assert families["requests"].type == "counter"
    assert families["wait_seconds"].type == "histogram"
    assert [sample.value for sample in families["plain"].samples] == [3.0]


def test_exemplars_of_all_processes_are_in_openmetrics(tmp_path: Path) -> None:
    trace = """
Counter("n", "N.").inc(2, exemplar={"trace_id": "c"})
Histogram("h", "H.", buckets=(1, 2)).observe(1.5, exemplar={"trace_id": "ü", "a": "b"})
"""
    assert page(MODULES[1], tmp_path, trace) == ""
    assert "#  " not in page(MODULES[1], tmp_path) and "trace_id" not in page(MODULES[1], tmp_path)
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict

    for through in ("registry", "type('Other', (), {'collect': lambda self: registry.collect()})()"):
        text = f"""
from dynamo_metrics.prometheus.openmetrics.exposition import generate_latest
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
sys.stdout.buffer.write(generate_latest({through}))
"""
        families = strict(page(MODULES[1], tmp_path, text))  # type: ignore[no-untyped-call]
        exemplars = [sample.exemplar for family in families for sample in family.samples if sample.exemplar]
        assert [(found.labels, found.value) for found in exemplars] == [
            ({"trace_id": "c"}, 2.0),
            ({"trace_id": "ü", "a": "b"}, 1.5),
        ]
        assert all(found.timestamp is not None for found in exemplars)


def test_a_kill_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    count = """
counter = Counter("n", "N.")
print("up", flush=True)
number = 0
while True:
    counter.inc()
    number += 1
    if number % 1000 == 0:
        print(number, flush=True)
"""
    said = 0
    for _ in range(4):
        process = program(MODULES[1], count, tmp_path)
        assert process.stdout
        for line in process.stdout:
            if line == "3000\n":
                process.kill()
        process.wait()
        said += 3000
    (total,) = (value for (_, name, _), value in samples(page(MODULES[1], tmp_path), {}).items() if name == "n_total")
    assert said <= total
    assert len(list(tmp_path.iterdir())) == 1


def test_forks_record_for_themselves(tmp_path: Path) -> None:
    fork = """
counter = Counter("n", "N.", ["who"])
gauge = Gauge("g", "G.", multiprocess_mode="sum")
own = counter.labels("all")
own.inc()
gauge.set(1)
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        own.inc(10)
        counter.labels(str(number)).inc()
        gauge.set(5)
        os.kill(os.getpid(), signal.SIGKILL)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
assert own._value.get() == 1.0, own._value.get()
"""
    assert page(MODULES[1], tmp_path, fork) == ""
    found = {(name, labels): value for (_, name, labels), value in samples(page(MODULES[1], tmp_path), {}).items()}
    assert found["n_total", '{"who": "all"}'] == 41.0
    assert [found["n_total", json.dumps({"who": str(number)})] for number in range(4)] == [1.0] * 4
    assert found["g", "{}"] == 21.0


def test_removed_series_leave_the_page(tmp_path: Path) -> None:
    remove = """
counter = Counter("n", "N.", ["user"])
kept = counter.labels("kept")
kept.inc()
for user in range(20000):
    counter.labels(str(user)).inc()
    counter.remove(str(user))
counter.labels("a").inc()
counter.labels("b").inc()
counter.remove_by_labels({"user": "a"})
sizes = [os.path.getsize(os.path.join(os.environ["PROMETHEUS_MULTIPROC_DIR"], name))
         for name in os.listdir(os.environ["PROMETHEUS_MULTIPROC_DIR"])]
assert sizes == [65536], sizes
""" + PAGE
    found = samples(page(MODULES[1], tmp_path, remove), {})
    assert {labels for _, _, labels in found} == {'{"user": "kept"}', '{"user": "b"}'}
    clear = "counter = Counter('n', 'N.', ['user'])\ncounter.labels('b').inc()\ncounter.clear()\n" + PAGE
    # The process before this one kept its series.
    assert 'n_total{user="kept"} 1.0' in page(MODULES[1], tmp_path, clear)


def test_disagreement_is_a_warning_and_bad_directories_are_errors(tmp_path: Path) -> None:
    text = """
import warnings
a, b = CollectorRegistry(), CollectorRegistry()
Counter("n", "N.", registry=a).inc()
Gauge("n_total", "N.", registry=b).set(1)
Histogram("h", "H.", registry=a, buckets=(1, 2)).observe(1)
Histogram("h", "H.", registry=b, buckets=(1, 3)).observe(1)
try:
    multiprocess.MultiProcessCollector(None, "/nowhere/at/all")
except ValueError as error:
    assert "/nowhere" in str(error)
else:
    raise AssertionError
try:
    multiprocess.share("/proc/nowhere")
except ValueError as error:
    assert "already" in str(error)
else:
    raise AssertionError
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    text = generate_latest(registry).decode()
assert [str(warning.message) for warning in caught if "h: not all" in str(warning.message)], caught
assert text.count("h_count 1.0") == 1, text
"""
    assert page(MODULES[1], tmp_path, text) == ""


def test_a_runtime_shows_all_processes(tmp_path: Path) -> None:
    runtime = """
import subprocess
from dynamo_metrics import DistributedRuntime
from dynamo_metrics.prometheus import REGISTRY
here = multiprocess.share("shm")
runtime = DistributedRuntime(multiprocess="shm")
steps = Counter("steps", "Steps.", ["rank"])
steps.labels("0").inc()
child = '''
from dynamo_metrics.prometheus import Counter, Summary
Counter("steps", "Steps.", ["rank"]).labels("1").inc(2)
Summary("bytes", "Bytes.").observe(3)
'''
subprocess.run([sys.executable, "-c", child], check=True)
text = runtime.exposition()
for line in ('steps_total{rank="0"} 1', 'steps_total{rank="1"} 2', "bytes_sum 3", "bytes_count 1"):
    assert line + "\\n" in text, text
endpoint = DistributedRuntime().namespace("n").component("c").endpoint("e")
endpoint.metrics.register_engine_registry(REGISTRY, prefixes=["steps"])
print(here, flush=True)
"""
    process = subprocess.run(
        [sys.executable, "-c", PRELUDE.format(module=MODULES[1]) + runtime],
        env={name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 0, process.stderr
    here = process.stdout.strip()
    assert here and not os.path.exists(here), "the first process removes its directory"


def test_steps_of_a_gauge_by_time_are_refused() -> None:
    from dynamo_metrics.prometheus import Gauge

    gauge = Gauge("g", "G.", multiprocess_mode="livemostrecent", registry=None)
    gauge.set(2)
    for step in (gauge.inc, gauge.dec):
        with pytest.raises(RuntimeError, match="mostrecent"):
            step()
    assert gauge._value.get() == 2


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no signals")
def test_a_stopped_process_delays_no_page(tmp_path: Path) -> None:
    worker = program(MODULES[1], WORKER, tmp_path, "1")
    assert worker.stdin and worker.stdout
    worker.stdin.write("1\n")
    worker.stdin.flush()
    assert worker.stdout.readline() == "done\n"
    worker.send_signal(signal.SIGSTOP)
    try:
        assert "plain_total 1.0" in page(MODULES[1], tmp_path)
        join = 'Counter("late", "L.").inc()\n' + PAGE
        assert "late_total 1.0" in page(MODULES[1], tmp_path, join)
    finally:
        worker.kill()
        worker.communicate()
