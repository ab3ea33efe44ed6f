"""Counters of the garbage collector."""

import gc
import platform
from collections.abc import Iterable

from .metrics_core import CounterMetricFamily, Metric
from .registry import REGISTRY, CollectorRegistry


class GCCollector:
    """Reads the garbage collector's own counts, by generation; registered in CPython only."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        if platform.python_implementation() == "CPython":
            registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Returns three counters, each with a series for each generation."""
        families = {
            "collected": CounterMetricFamily(
                "python_gc_objects_collected", "Objects collected during gc", labels=["generation"]
            ),
            "uncollectable": CounterMetricFamily(
                "python_gc_objects_uncollectable", "Uncollectable objects found during GC", labels=["generation"]
            ),
            "collections": CounterMetricFamily(
                "python_gc_collections", "Number of times this generation was collected", labels=["generation"]
            ),
        }
        for generation, counts in enumerate(gc.get_stats()):
            for key, family in families.items():
                family.add_metric([str(generation)], counts[key])
        return families.values()


GC_COLLECTOR = GCCollector()
