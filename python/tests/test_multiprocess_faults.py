"""Processes that share metrics where something is in the way: restarts with other metrics, full disks, files of others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = """
import os, sys, warnings
from dynamo_metrics.prometheus import (
    CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary, generate_latest, multiprocess)

def page():
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return generate_latest(registry).decode()
"""


def run(program: str, directory: Path | str) -> tuple[str, str]:
    """Returns the output and the errors of a process that shares the directory and ends well."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + program], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_a_process_that_is_started_again_with_other_buckets_mode_or_kind_is_on_the_page(tmp_path: Path) -> None:
    before = """
Histogram("h", "H.", buckets=(1, 2)).observe(1)
Gauge("g", "G.", multiprocess_mode="max").set(5)
Counter("k", "K.").inc()
"""
    after = """
Histogram("h", "H.", buckets=(1, 3)).observe(1)
Gauge("g", "G.", multiprocess_mode="min").set(3)
Gauge("k", "K.", multiprocess_mode="sum").set(7)
warnings.simplefilter("ignore")
print(page())
"""
    run(before, tmp_path)
    text, _ = run(after, tmp_path)
    assert 'h_bucket{le="3.0"} 1.0\n' in text and 'le="2.0"' not in text
    assert "g 3.0\n" in text and "k 7.0\n" in text
    text, _ = run(before + 'warnings.simplefilter("ignore")\nprint(page())', tmp_path)
    assert 'h_bucket{le="2.0"} 2.0\n' in text and "k_total 2.0\n" in text, "their counts were kept"


def test_a_series_of_two_registries_stays_until_both_remove_it(tmp_path: Path) -> None:
    program = """
def make(registry):
    return [
        Counter("c", "C.", ["l"], registry=registry),
        Gauge("g", "G.", ["l"], registry=registry, multiprocess_mode="sum"),
        Histogram("h", "H.", ["l"], registry=registry, buckets=(1,)),
        Summary("s", "S.", ["l"], registry=registry),
        # These are not shared.
        Info("i", "I.", ["l"], registry=registry),
        Enum("e", "E.", ["l"], registry=registry, states=["on"]),
    ]

def record(metrics):
    for metric in metrics[:4]:
        series = metric.labels("x")
        (series.observe if hasattr(series, "observe") else series.inc)(1)
    for metric in metrics[4:]:
        metric.labels("x")

first, second = make(CollectorRegistry()), make(CollectorRegistry())
record(first), record(second)
for metric in first:
    metric.remove("x")
record(second)
text = page()
for sample in ('c_total{l="x"} 3.0', 'g{l="x"} 3.0', 'h_count{l="x"} 3.0', 's_count{l="x"} 3.0'):
    assert sample in text, text
for metric in second:
    metric.clear()
assert page() == ""
record(first)
assert 'c_total{l="x"} 1.0' in page()
"""
    run(program, tmp_path)


def test_a_label_name_that_is_given_twice_has_the_last_value_on_the_page_of_all(tmp_path: Path) -> None:
    text, _ = run(
        """
counter = Counter("c", "C.", ["x", "y", "x"], registry=None)
counter.labels("1", "a", "2").inc()
counter.labels("3", "a", "2").inc()
print(page())
""",
        tmp_path,
    )
    assert 'c_total{x="2",y="a"} 2.0\n' in text and text.count("c_total{") == 1


def test_metrics_of_a_process_that_cannot_join_are_on_its_own_page_with_one_warning(tmp_path: Path) -> None:
    program = """
import dynamo_metrics.prometheus as ours
directory = os.environ["PROMETHEUS_MULTIPROC_DIR"]
os.rmdir(directory)
open(directory, "w").close()  # no directory can be made there
counter = Counter("c", "C.", ["l"])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    counter.labels("x").inc()
    Gauge("g", "G.").set(2)
    Histogram("h", "H.").observe(2)
    Summary("s", "S.").observe(2)
[warning] = caught
assert warning.category is RuntimeWarning, warning
assert directory in str(warning.message) and "the page of this process" in str(warning.message), warning
text = generate_latest(ours.REGISTRY).decode()
for sample in ('c_total{l="x"} 1.0', "g 2.0", "h_count 1.0", "s_count 1.0"):
    assert sample in text, text
# Metrics that are created later are shared as soon as there is room.
os.unlink(directory)
os.mkdir(directory)
import time
time.sleep(1.1)
Counter("later", "L.").inc()
assert page().endswith("later_total 1.0\\n"), page()
"""
    directory = tmp_path / "shared"
    directory.mkdir()
    run(program, directory)


def test_a_directory_that_cannot_be_made_is_a_warning_at_the_import() -> None:
    text, errors = run("Counter('c', 'C.').inc()\nprint(generate_latest().decode())", "/proc/nowhere")
    assert "c_total 1.0\n" in text
    assert errors.count("RuntimeWarning: cannot share metrics in /proc/nowhere") == 1
    _, errors = run(
        """
for directory, error in (("/proc/nowhere", OSError), ("", ValueError)):
    try:
        multiprocess.share(directory)
    except error as raised:
        assert (directory or "empty") in str(raised)
    else:
        raise AssertionError(directory)
""",
        "",
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_with_the_name_of_a_file_delays_no_page(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "process-0.metrics")
    text, _ = run("Counter('c', 'C.').inc()\nprint(page())", tmp_path)
    assert "c_total 1.0\n" in text


@pytest.mark.parametrize("named", ["by the variable", "by share"])
def test_a_relative_directory_stays_the_same_one_when_the_present_directory_changes(named: str, tmp_path: Path) -> None:
    program = """
import subprocess, sys
os.chdir(sys.argv[1])
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
if sys.argv[2] == "by share":
    from dynamo_metrics.prometheus import multiprocess
    assert multiprocess.share("shared") == os.path.join(os.getcwd(), "shared")
else:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = "shared"
from dynamo_metrics import DistributedRuntime
from dynamo_metrics.prometheus import CollectorRegistry, Counter, generate_latest
from dynamo_metrics.prometheus.multiprocess import MultiProcessCollector
os.mkdir("elsewhere")
registry = CollectorRegistry()
MultiProcessCollector(registry, "shared")
runtime = DistributedRuntime(multiprocess="shared")
os.chdir("elsewhere")
counter = Counter("n", "N.")
counter.inc()
if (child := os.fork()) == 0:
    counter.inc()
    os._exit(0)
os.waitpid(child, 0)
started = "from dynamo_metrics.prometheus import Counter\\nCounter('n', 'N.').inc()"
subprocess.run([sys.executable, "-c", started], check=True)
assert os.listdir() == [], os.listdir()
assert "n_total 3.0" in generate_latest(registry).decode()
assert "n_total 3\\n" in runtime.exposition()
"""
    command = [sys.executable, "-c", "import os" + program, str(tmp_path), named]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
