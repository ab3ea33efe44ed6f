"""Rare arguments of metrics: what is refused, by which error, and what is taken as `prometheus_client` takes it."""

import copy
import math
from typing import Any

import prometheus_client as theirs
import pytest

from dynamo_metrics import prometheus as ours


@pytest.mark.parametrize("kind", ["Counter", "Gauge", "Histogram", "Summary", "Info"])
@pytest.mark.parametrize("argument", ["name", "documentation", "namespace", "subsystem", "unit"])
def test_texts_of_another_type_are_refused_by_an_error_that_names_metric_and_argument(kind: str, argument: str) -> None:
    arguments: dict[str, Any] = {"name": "m", "documentation": "M.", argument: 5}
    with pytest.raises(TypeError, match=f"^metric .*: {argument} must be str, not int$"):
        getattr(ours, kind)(**arguments, registry=ours.CollectorRegistry())


@pytest.mark.parametrize("documentation", [None, b"M."])
def test_a_documentation_that_is_no_text_is_named(documentation: Any) -> None:
    with pytest.raises(TypeError, match="metric 'm': documentation must be str, not (NoneType|bytes)"):
        ours.Counter("m", documentation, registry=ours.CollectorRegistry())


def test_parts_of_a_name_may_be_none() -> None:
    pages = []
    for package in (ours, theirs):
        registry: Any = package.CollectorRegistry()
        nothing: Any = None
        package.Gauge("g", "G.", namespace=nothing, subsystem=nothing, unit=nothing, registry=registry).set(1)
        pages.append(package.generate_latest(registry))
    assert pages[0] == pages[1]


def test_a_copy_has_the_same_series() -> None:
    for package in (ours, theirs):
        registry: Any = package.CollectorRegistry()
        gauge = package.Gauge("g", "G.", registry=registry)
        counter = package.Counter("c", "C.", ["l"], registry=registry)
        copy.copy(gauge).set(3)
        copy.copy(counter).labels("x").inc()
        copy.copy(counter.labels("x")).inc()
        page = package.generate_latest(registry)
        assert b"\ng 3.0\n" in page and b'\nc_total{l="x"} 2.0\n' in page


@pytest.mark.parametrize("buckets", [[math.nan], [math.nan, 1, 2], [1, math.nan, 2], [1, 2, math.nan]])
def test_a_bound_that_is_no_number_takes_no_value(buckets: list[float]) -> None:
    pages: list[list[str] | None] = []
    for package in (ours, theirs):
        registry: Any = package.CollectorRegistry()
        try:
            histogram = package.Histogram("h", "H.", buckets=buckets, registry=registry)
        except ValueError:
            pages.append(None)
            continue
        for value in (0.5, 1, 1.5, 5, -math.inf, math.inf):
            histogram.observe(value)
        lines = package.generate_latest(registry).decode().splitlines()
        pages.append([line for line in lines if "_created" not in line])
    assert pages[0] == pages[1]


def test_buckets_states_and_label_names_may_be_iterators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theirs.metrics, "_use_created", False)
    pages = []
    for package, once in ((ours, iter), (theirs, list)):
        registry: Any = package.CollectorRegistry()
        names, bounds, states = ["l"], [1, 2], ["a", "b"]
        histogram = package.Histogram("h", "H.", once(names), buckets=once(bounds), registry=registry)
        histogram.labels("x").observe(1)
        enum = package.Enum("e", "E.", once(names), states=once(states), registry=registry)
        enum.labels("x").state("b")
        pages.append(package.generate_latest(registry).decode())
    assert pages[0] == pages[1]
    with pytest.raises(ValueError, match="enum e has no states"):
        ours.Enum("e", "E.", states=iter([]), registry=None)


def test_all_series_have_the_buckets_and_states_that_the_metric_was_created_with() -> None:
    registry = ours.CollectorRegistry()
    bounds, states = [1.0, 2.0], ["a", "b"]
    histogram = ours.Histogram("h", "H.", ["l"], buckets=bounds, registry=registry)
    enum = ours.Enum("e", "E.", ["l"], states=states, registry=registry)
    bounds.append(3.0)
    states.append("c")
    histogram.labels("x").observe(1)
    enum.labels("x").state("b")
    page = ours.generate_latest(registry).decode()
    assert 'le="2.0"' in page and 'le="3.0"' not in page
    assert 'e="b"' in page and 'e="c"' not in page
