"""Dynamo's metrics for Python workers: the hierarchy, the frontend's requests, and the system server.

>>> from dynamo_metrics import DistributedRuntime
>>> runtime = DistributedRuntime()
>>> endpoint = runtime.namespace("default").component("worker").endpoint("generate")
>>> evictions = endpoint.metrics.create_intcounter("evictions_total", "Blocks evicted.")
>>> evictions.inc()
>>> evictions.get()
1
"""

import os

from . import _interpreter as _interpreter  # refuses sub-interpreters
from ._native import (
    DYNAMO_WORKER_FAMILIES,
    Canary,
    Component,
    Counter,
    CounterVec,
    DistributedRuntime,
    Endpoint,
    Frontend,
    Gauge,
    GaugeVec,
    Histogram,
    HistogramVec,
    IntCounter,
    IntCounterVec,
    IntGauge,
    IntGaugeVec,
    KvRouter,
    KvStats,
    Metrics,
    Namespace,
    Request,
    SystemServer,
    WorkHandler,
    WorkRequest,
    __version__,
    _forked,
)

__all__ = [
    "DYNAMO_WORKER_FAMILIES",
    "Canary",
    "Component",
    "Counter",
    "CounterVec",
    "DistributedRuntime",
    "Endpoint",
    "Frontend",
    "Gauge",
    "GaugeVec",
    "Histogram",
    "HistogramVec",
    "IntCounter",
    "IntCounterVec",
    "IntGauge",
    "IntGaugeVec",
    "KvRouter",
    "KvStats",
    "Metrics",
    "Namespace",
    "Request",
    "SystemServer",
    "WorkHandler",
    "WorkRequest",
    "__version__",
]

if hasattr(os, "register_at_fork"):
    # A child must not take locks that threads of its parent may have held.
    os.register_at_fork(after_in_child=_forked)
