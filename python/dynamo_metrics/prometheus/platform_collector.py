"""The interpreter's version as labels."""

import platform as _platform
from collections.abc import Iterable
from typing import Any

from .metrics_core import GaugeMetricFamily, Metric
from .registry import REGISTRY, CollectorRegistry


class PlatformCollector:
    """The gauge `python_info`, always 1."""

    def __init__(self, registry: CollectorRegistry | None = REGISTRY, platform: Any = None) -> None:
        platform = _platform if platform is None else platform
        major, minor, patchlevel = platform.python_version_tuple()
        labels = {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "major": major,
            "minor": minor,
            "patchlevel": patchlevel,
        }
        if platform.system() == "Java":
            release, _, (name, vm_release, vm_vendor), _ = platform.java_ver()
            labels |= {
                "jvm_version": release, "jvm_release": vm_release, "jvm_vendor": vm_vendor, "jvm_name": name,
            }  # fmt: skip
        family = GaugeMetricFamily("python_info", "Python platform information", labels=labels)
        family.add_metric(list(labels.values()), 1)
        self._families = [family]
        if registry:
            registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Returns the gauge."""
        return self._families


PLATFORM_COLLECTOR = PlatformCollector()
