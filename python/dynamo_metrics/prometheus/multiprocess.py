"""Metrics of many processes on one page, as with the module of this name in `prometheus_client`.

Where `PROMETHEUS_MULTIPROC_DIR` is set when the package is imported, or after `share()`, each metric that is created records in a file
of this process in that directory. The page of all is read from there.

>>> import os, tempfile
>>> from dynamo_metrics.prometheus import CollectorRegistry, generate_latest, multiprocess
>>> registry = CollectorRegistry()
>>> with tempfile.TemporaryDirectory() as directory:  # of processes that share it; here none does
...     collector = multiprocess.MultiProcessCollector(registry, directory)
...     generate_latest(registry)
b''
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterable

from .._native import _share, _shared_directory, _shared_families, _shared_text
from .metrics_core import Metric
from .registry import CollectorRegistry
from .samples import Exemplar

__all__ = ["MultiProcessCollector", "mark_process_dead", "share"]

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share(directory: str | os.PathLike[str] = "shm") -> str:
    """Shares the metrics that are created from now on with the other processes of the directory; returns its absolute path.

    Processes that are started from here find it in the environment. `shm` is a directory in memory that the first process makes, and
    removes when it ends. Raises `OSError` where the directory cannot be used, and `ValueError` on a second one.
    """
    if os.fspath(directory) == "shm":
        joined = _shared_directory()
        directory = joined if joined is not None else _in_memory()
    shared = _share(directory)
    os.environ[_VARIABLE] = shared
    return shared


def _in_memory() -> str:
    memory = "/dev/shm"
    made = tempfile.mkdtemp(prefix="dynamo-metrics-", dir=memory if os.path.isdir(memory) else None)
    creator = os.getpid()

    def remove() -> None:
        if os.getpid() == creator:
            shutil.rmtree(made, ignore_errors=True)

    atexit.register(remove)
    return made


class MultiProcessCollector:
    """The metrics of all processes of a directory: `path`, or that of `PROMETHEUS_MULTIPROC_DIR`."""

    def __init__(self, registry: CollectorRegistry | None, path: str | None = None) -> None:
        path = path if path is not None else os.environ.get(_VARIABLE) or os.environ.get(_VARIABLE.lower())
        if not path or not os.path.isdir(path):
            raise ValueError(f"{_VARIABLE} is not set, or is no directory: {path!r}")
        self._path = os.path.abspath(path)
        if registry:
            registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Returns the families of all processes."""
        for name, documentation, kind, unit, samples in _shared_families(self._path):
            metric = Metric(name, documentation, kind, unit)
            for suffix, labels, value, exemplar in samples:
                traced = exemplar and Exemplar(dict(exemplar[0]), *exemplar[1:])
                metric.add_sample(name + suffix, dict(labels), value, exemplar=traced)
            yield metric

    def _text(self, openmetrics: bool) -> bytes | None:
        """Returns the text of all families, or `None` where the native half cannot write it."""
        return _shared_text(self._path, openmetrics)


def mark_process_dead(pid: int, path: str | None = None) -> None:
    """Does nothing: whether a process runs is seen from the lock of its file, which the kernel releases when the process ends.

    It is here for the hooks of `gunicorn` and the like that call it.
    """
