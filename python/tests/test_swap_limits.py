"""`dynamo_metrics.prometheus` in processes with little memory, and in their children."""

import subprocess
import sys


def run(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_series_that_find_no_cells_count_the_same() -> None:
    # Half a gigabyte of addresses leaves 262,144 cells; the histograms ask for 18 each.
    series = 16_000
    counted, summed, total, left = run(f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
from dynamo_metrics import DistributedRuntime
from dynamo_metrics.prometheus import CollectorRegistry, Counter, Histogram, generate_latest
registry = CollectorRegistry()
family = Histogram("h", "H.", ["l"], registry=registry)
for i in range({series}):
    family.labels(str(i)).observe(0.3)
counter = Counter("c", "C.", registry=registry)
counter.inc(2)
counter.inc(0.5)
lines = generate_latest(registry).decode().splitlines()
print(sum(line.startswith("h_count") and line.endswith(" 1.0") for line in lines))
print(sum(line.startswith("h_sum") and line.endswith(" 0.3") for line in lines))
page = DistributedRuntime(details=True).exposition().splitlines()
values = dict(line.split() for line in page if line.startswith("dynamo_metrics_cells"))
print(counter._value.get(), int(values["dynamo_metrics_cells_limit"]) - int(values["dynamo_metrics_cells"]))
""")
    assert int(left) < 18, "the process has cells left, so the test shows nothing"
    assert (int(counted), int(summed), float(total)) == (series, series, 2.5)


def test_a_forked_child_goes_on_from_its_parents_counts_and_alone() -> None:
    child, parent = run("""
import os
from dynamo_metrics.prometheus import Counter, Histogram
counter, histogram = Counter("c", "C.", registry=None), Histogram("h", "H.", registry=None)
counter.inc(3)
histogram.observe(1)
child = os.fork()
if child == 0:
    counter.inc(2)
    histogram.observe(2)
else:
    os.waitpid(child, 0)
print(counter._value.get() + histogram._sum.get(), flush=True)
os._exit(0)
""")
    assert (float(child), float(parent)) == (8, 4)
