"""The tables of the README for those who come from elsewhere: every row is run, and what it says is on the page."""

import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families
from running import samples

from dynamo_metrics import DistributedRuntime

README = (Path(__file__).parent.parent / "README.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Returns the cells of the table below a heading, without backticks."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def points(page: str, prefix: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            name = sample.name.removeprefix(prefix)
            of_runtime = prefix and not sample.name.startswith(prefix) or name == "uptime_seconds"
            if not of_runtime and not name.endswith("_created"):
                labels = {label: str(float(value)) if label == "le" else value for label, value in sample.labels.items()}
                found[name, tuple(sorted(labels.items()))] = sample.value
    return found


def test_each_row_for_prometheus_client_leaves_the_same_points_on_both_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    # Both have the same time of day, and blocks take none.
    time = SimpleNamespace(time=lambda: 1.7e9)
    monkeypatch.setattr("prometheus_client.metrics.time", time)
    monkeypatch.setattr("prometheus_client.context_managers.default_timer", lambda: 0.0)
    monkeypatch.setattr("dynamo_metrics._timing.perf_counter", lambda: 0.0)
    registry, runtime = prometheus_client.CollectorRegistry(), DistributedRuntime()
    kinds = {name: partial(getattr(prometheus_client, name), registry=registry) for name in ("Counter", "Gauge", "Histogram")}
    theirs = {
        **kinds,
        "generate_latest": partial(prometheus_client.generate_latest, registry),
        "start_http_server": partial(prometheus_client.start_http_server, addr="127.0.0.1", registry=registry),
    }
    ours = {"metrics": runtime.metrics, "runtime": runtime, "time": time}
    table = rows("Coming from `prometheus_client`")
    assert len(table) >= 20
    seen = []
    for left, right in table:
        exec(left, theirs)
        exec(right, ours)
        expected = points(prometheus_client.generate_latest(registry).decode(), "")
        found = points(runtime.exposition(), "dynamo_component_")
        assert found == expected, (left, right)
        seen.append(found)
    assert len(seen[-1]) > 10 and sum(a != b for a, b in zip(seen, seen[1:])) >= 12, "the rows do nothing"
    theirs["server"].shutdown()  # type: ignore[attr-defined]
    theirs["server"].server_close()  # type: ignore[attr-defined]
    ours["server"].close()  # type: ignore[attr-defined]


def test_each_row_for_dynamo_leaves_what_it_says_on_the_page() -> None:
    runtime = DistributedRuntime()
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Gauge("sglang:running", "Running.", registry=registry).set(4)
    prometheus_client.Gauge("python_other", "Other.", registry=registry).set(1)
    scope = {
        "endpoint": runtime.namespace("ns").component("backend").endpoint("generate"),
        "text": lambda: "vllm:running 3\n",
        "REGISTRY": registry,
    }
    table = rows("Coming from Dynamo's Python metrics")
    assert len(table) >= 15
    for theirs, ours, sample in table:
        exec(theirs if ours == "the same" else ours, scope)
        if not sample:
            continue
        page = runtime.exposition()
        match = re.fullmatch(r"([\w:]+)(?:\{(.*)\})? (\S+)", sample)
        assert match, sample
        name, labels, value = match.groups()
        name = name if ":" in name else f"dynamo_component_{name}"
        assert samples(page, name, labels or "") == [float(value)], (theirs, sample)
    assert scope["w"].label_names == ["model"]  # type: ignore[attr-defined]
    assert "python_other" not in runtime.exposition()


def test_a_table_that_is_gone_is_noticed() -> None:
    with pytest.raises(IndexError):
        rows("Coming from nowhere")
