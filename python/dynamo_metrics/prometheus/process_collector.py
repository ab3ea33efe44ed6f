"""CPU, memory and descriptors of a process, from `/proc`."""

import os
from collections.abc import Callable, Iterable

from .metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from .registry import REGISTRY, CollectorRegistry

# Places of fields in `/proc/PID/stat` behind the command: see proc_pid_stat(5), less 3.
_UTIME, _STIME, _START, _VIRTUAL, _RESIDENT = 11, 12, 19, 20, 21


def _sysconf(name: str, otherwise: int) -> int:
    try:
        return os.sysconf(name)
    except (AttributeError, OSError, ValueError):
        return otherwise


class ProcessCollector:
    """Reads a process at each collection; no families where there is no `/proc`."""

    def __init__(
        self,
        namespace: str = "",
        pid: Callable[[], int | str] = lambda: "self",
        proc: str = "/proc",
        registry: CollectorRegistry | None = REGISTRY,
    ) -> None:
        self._prefix = f"{namespace}_process_" if namespace else "process_"
        self._pid = pid
        self._proc = proc
        self._ticks: float = _sysconf("SC_CLK_TCK", 100)
        self._pagesize = _sysconf("SC_PAGE_SIZE", 4096)
        self._boot_time = self._read_boot_time()
        if registry:
            registry.register(self)

    def _read_boot_time(self) -> float | None:
        try:
            with open(os.path.join(self._proc, "stat"), "rb") as stat:
                return next((float(line.split()[1]) for line in stat if line.startswith(b"btime ")), None)
        except OSError:
            return None

    def collect(self) -> Iterable[Metric]:
        """Returns the families that can be read."""
        if self._boot_time is None:
            return []
        folder = os.path.join(self._proc, str(self._pid()).strip())
        families: list[Metric] = []
        for read in (self._stat, self._descriptors):
            try:
                families += read(folder, self._boot_time)
            except OSError:
                pass  # the process has ended, or is another user's
        return families

    def _stat(self, folder: str, boot_time: float) -> list[Metric]:
        with open(os.path.join(folder, "stat"), "rb") as stat:
            fields = [float(field) if field.isdigit() else 0.0 for field in stat.read().rpartition(b")")[2].split()]
        start = boot_time + fields[_START] / self._ticks
        cpu = (fields[_UTIME] + fields[_STIME]) / self._ticks
        return [
            self._gauge("virtual_memory_bytes", "Virtual memory size in bytes.", fields[_VIRTUAL]),
            self._gauge("resident_memory_bytes", "Resident memory size in bytes.", fields[_RESIDENT] * self._pagesize),
            self._gauge("start_time_seconds", "Start time of the process since unix epoch in seconds.", start),
            CounterMetricFamily(
                self._prefix + "cpu_seconds_total", "Total user and system CPU time spent in seconds.", cpu
            ),
        ]

    def _descriptors(self, folder: str, _boot_time: float) -> list[Metric]:
        number = len(os.listdir(os.path.join(folder, "fd")))
        families = [self._gauge("open_fds", "Number of open file descriptors.", number)]
        with open(os.path.join(folder, "limits"), "rb") as limits:
            for line in limits:
                if line.startswith(b"Max open file"):
                    most = float(line.split()[3].replace(b"unlimited", b"inf"))
                    families.append(self._gauge("max_fds", "Maximum number of open file descriptors.", most))
        return families

    def _gauge(self, name: str, documentation: str, value: float) -> Metric:
        return GaugeMetricFamily(self._prefix + name, documentation, value)


PROCESS_COLLECTOR = ProcessCollector()
