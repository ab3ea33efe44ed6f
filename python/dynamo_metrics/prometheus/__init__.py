"""The API of `prometheus_client`, with metrics that record in native code.

>>> from dynamo_metrics.prometheus import CollectorRegistry, Counter, generate_latest
>>> registry = CollectorRegistry()
>>> requests = Counter("requests", "Requests.", ["model"], registry=registry)
>>> requests.labels("qwen").inc()
>>> requests.labels(model="qwen").inc(2)
>>> print(generate_latest(registry).decode(), end="")
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{model="qwen"} 3.0

It needs no `prometheus_client`. Metrics of many processes are in `multiprocess`. There is no parser.
"""

import os
import warnings

from . import (
    exposition,
    gc_collector,
    metrics,
    metrics_core,
    multiprocess,
    platform_collector,
    process_collector,
    registry,
)
from .exposition import (
    CONTENT_TYPE_LATEST,
    CONTENT_TYPE_PLAIN_0_0_4,
    CONTENT_TYPE_PLAIN_1_0_0,
    MetricsHandler,
    delete_from_gateway,
    generate_latest,
    instance_ip_grouping_key,
    make_asgi_app,
    make_wsgi_app,
    push_to_gateway,
    pushadd_to_gateway,
    start_http_server,
    start_wsgi_server,
    write_to_textfile,
)
from .gc_collector import GC_COLLECTOR, GCCollector
from .metrics import (
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    Summary,
    disable_created_metrics,
    enable_created_metrics,
)
from .metrics_core import Metric
from .platform_collector import PLATFORM_COLLECTOR, PlatformCollector
from .process_collector import PROCESS_COLLECTOR, ProcessCollector
from .registry import REGISTRY, CollectorRegistry

__all__ = [
    "CONTENT_TYPE_LATEST",
    "CONTENT_TYPE_PLAIN_0_0_4",
    "CONTENT_TYPE_PLAIN_1_0_0",
    "GC_COLLECTOR",
    "PLATFORM_COLLECTOR",
    "PROCESS_COLLECTOR",
    "REGISTRY",
    "CollectorRegistry",
    "Counter",
    "Enum",
    "GCCollector",
    "Gauge",
    "Histogram",
    "Info",
    "Metric",
    "MetricsHandler",
    "PlatformCollector",
    "ProcessCollector",
    "Summary",
    "delete_from_gateway",
    "disable_created_metrics",
    "enable_created_metrics",
    "generate_latest",
    "instance_ip_grouping_key",
    "make_asgi_app",
    "make_wsgi_app",
    "push_to_gateway",
    "pushadd_to_gateway",
    "start_http_server",
    "start_wsgi_server",
    "write_to_textfile",
]

# Before the program creates a metric. The second name is the one of old versions of prometheus_client.
if _directory := os.environ.get("PROMETHEUS_MULTIPROC_DIR") or os.environ.get("prometheus_multiproc_dir"):
    try:
        multiprocess.share(_directory)
    except OSError as _error:
        # A program whose metrics cannot be shared runs on.
        warnings.warn(f"{_error}; only the page of this process has its metrics", RuntimeWarning, stacklevel=2)
