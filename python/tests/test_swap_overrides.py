"""Methods that a program replaces: the text of a page has their samples, as that of `prometheus_client`."""

from collections.abc import Callable, Iterable
from types import MethodType
from typing import Any

import prometheus_client as theirs
import pytest

from dynamo_metrics import prometheus as ours
from dynamo_metrics.prometheus.multiprocess import MultiProcessCollector

# A package, and a registry of it, to a metric whose samples are twice its value.
Make = Callable[[Any, Any], None]


def doubled(self: Any) -> Iterable[Any]:
    return [sample._replace(value=2 * sample.value) for sample in type(self)._original(self)]


def by_subclass(package: Any, registry: Any) -> None:
    original = package.Gauge._child_samples
    cls = type("Doubled", (package.Gauge,), {"_child_samples": doubled, "_original": original})
    cls("g", "G.", registry=registry).set(2)


def by_a_class_mixed_in(package: Any, registry: Any) -> None:
    original = package.Gauge._child_samples
    mixin = type("Mixin", (), {"_child_samples": doubled, "_original": original})
    cls = type("Doubled", (mixin, package.Gauge), {})
    cls("g", "G.", registry=registry).set(2)


def on_one_object(package: Any, registry: Any) -> None:
    gauge = package.Gauge("g", "G.", registry=registry)
    gauge.set(2)
    original = gauge._child_samples
    gauge._child_samples = lambda: [sample._replace(value=2 * sample.value) for sample in original()]


def on_a_class_of_its_own_later(package: Any, registry: Any) -> None:
    cls: Any = type("Later", (package.Gauge,), {})
    cls("g", "G.", registry=registry).set(2)
    cls._original = package.Gauge._child_samples
    cls._child_samples = doubled


def by_collect_on_one_object(package: Any, registry: Any) -> None:
    gauge = package.Gauge("g", "G.", registry=registry)
    gauge.set(4)
    # The help of the family, which `collect` alone decides.
    original = gauge.collect

    def collect(self: Any) -> Any:
        families = list(original())
        families[0].documentation = "Another one."
        return families

    gauge.collect = MethodType(collect, gauge)


ALL: list[Make] = [
    by_subclass,
    by_a_class_mixed_in,
    on_one_object,
    on_a_class_of_its_own_later,
    by_collect_on_one_object,
]


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_samples_are_those_of_the_override(make: Make) -> None:
    pages = []
    for package in (ours, theirs):
        registry = package.CollectorRegistry()
        make(package, registry)
        pages.append(package.generate_latest(registry))
    assert pages[0] == pages[1]
    assert b"g 4.0\n" in pages[0]


def test_a_method_that_is_replaced_on_the_packages_own_class_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = ours.CollectorRegistry()
    gauge = ours.Gauge("g", "G.", ["l"], registry=registry)
    gauge.labels("x").set(2)
    assert ours.generate_latest(registry).endswith(b'g{l="x"} 2.0\n')
    with monkeypatch.context() as patch:
        patch.setattr(ours.Gauge, "_original", ours.Gauge._child_samples, raising=False)
        patch.setattr(ours.Gauge, "_child_samples", doubled)
        assert ours.generate_latest(registry).endswith(b'g{l="x"} 4.0\n')
    assert ours.generate_latest(registry).endswith(b'g{l="x"} 2.0\n')


def test_a_registry_and_a_collector_of_processes_that_collect_other_things_are_asked(tmp_path: Any) -> None:
    class Nothing(MultiProcessCollector):
        def collect(self) -> Iterable[ours.Metric]:
            family = ours.Metric("own", "Own.", "gauge")
            family.add_sample("own", {}, 1)
            yield family

    registry = ours.CollectorRegistry()
    Nothing(registry, str(tmp_path))
    assert b"own 1.0\n" in ours.generate_latest(registry)
    registry.collect = lambda: iter(())  # type: ignore[method-assign]
    assert ours.generate_latest(registry) == b""


def test_plain_metrics_and_subclasses_that_change_no_sample_stay_native() -> None:
    class Named(ours.Counter):
        def __init__(self, name: str, documentation: str = "Named.", **kwargs: Any) -> None:
            super().__init__(name, documentation, **kwargs)

    registry = ours.CollectorRegistry()
    for metric in (Named("n", registry=registry), ours.Summary("s", "S.", registry=registry)):
        assert ours.metrics.native_text(metric, False) is not None
    assert ours.metrics.native_text(ours.Info("i", "I.", registry=registry), False) is None
