"""Bad input to every method: a ValueError or TypeError that names the metric or the argument, and never a panic."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_metrics import DistributedRuntime, Endpoint, Frontend, KvRouter

REFUSED = (ValueError, TypeError)


class Hostile:
    """Has no text and no number."""

    def __str__(self) -> str:
        return 5  # type: ignore[return-value]

    def __float__(self) -> float:
        return "5"  # type: ignore[return-value]

    def __index__(self) -> int:
        return 5.5  # type: ignore[return-value]


surrogates = st.sampled_from(["\ud800", "a\udfffb", "\x00", "", "é" * 3_000, "a" * 100_000])
words = st.sampled_from(["model", "status", "le", "quantile", "__name__", "a-b", "dynamo_namespace"])
texts = st.one_of(st.text(max_size=8), surrogates, words)
numbers = st.one_of(
    st.integers(),
    st.sampled_from([0, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63, 2**64 - 1, 2**64, 10**400, -(10**400)]),
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308]),
    st.booleans(),
)
anything = st.one_of(
    st.none(), numbers, texts, st.binary(max_size=8), st.lists(numbers, max_size=3), st.lists(texts, max_size=9),
    st.dictionaries(texts, texts, max_size=3), st.builds(Hostile), st.builds(object), st.just(int),
)
KINDS = ["counter", "intcounter", "gauge", "intgauge", "histogram"]


def refuses(call: Callable[[], object], *named: str) -> None:
    """Calls; where that raises, the error is one of those that are documented, and its text has each of these names."""
    try:
        call()
    except REFUSED as error:
        for name in named:
            assert name in str(error), f"{type(error).__name__}: {error} does not name {name}"


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    method=st.sampled_from(["inc_by", "dec_by", "set", "observe", "observe_n"]),
    values=st.tuples(anything, anything),
)
def test_numbers(kind: str, method: str, values: tuple[object, object]) -> None:
    runtime = DistributedRuntime()
    metric: Any = getattr(runtime.metrics, f"create_{kind}")("the_metric", "Help.")
    if hasattr(metric, method):
        given_values = values if method == "observe_n" else values[:1]
        refuses(lambda: getattr(metric, method)(*given_values), "the_metric")
    assert "dynamo_component_uptime_seconds" in runtime.exposition()


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    positional=st.lists(anything, max_size=4),
    by_name=st.dictionaries(texts, anything, max_size=3),
    remove=st.booleans(),
)
def test_label_values(kind: str, positional: list[object], by_name: dict[str, object], remove: bool) -> None:
    runtime = DistributedRuntime()
    family: Any = getattr(runtime.metrics, f"create_{kind}vec")("the_metric", "Help.", ["model", "status"])
    method = family.remove if remove else family.labels
    calls: list[tuple[list[object], dict[str, object]]]
    calls = [(positional, {}), ([], by_name), (positional, by_name), ([by_name], {})]
    for values, names in calls:
        refuses(lambda: method(*values, **names), "the_metric", "label")
    # One value at a time, so that the label is known.
    for value in positional:
        refuses(lambda: method(value, "ok"), "the_metric", "model")
        refuses(lambda: method(status=value, model="m"), "the_metric", "status")
    assert "dynamo_component_uptime_seconds" in runtime.exposition()


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(KINDS), name=st.one_of(texts, anything), help=anything, label_names=anything, labels=anything, buckets=anything)
def test_creation(kind: str, name: Any, help: Any, label_names: Any, labels: Any, buckets: Any) -> None:
    runtime = DistributedRuntime()
    metrics: Any = runtime.namespace("ns").metrics
    more = {"buckets": buckets} if kind == "histogram" else {}
    one, family = getattr(metrics, f"create_{kind}"), getattr(metrics, f"create_{kind}vec")
    refuses(lambda: one(name, "Help."), "name")
    refuses(lambda: one("the_metric", help), "the_metric")
    refuses(lambda: one("the_metric_b", "Help.", labels, **more), "the_metric_b")
    refuses(lambda: family("the_metric_c", "Help.", label_names, labels, **more), "the_metric_c")
    refuses(lambda: family("the_metric_d", "Help.", label_names), "the_metric_d")
    assert "dynamo_component_uptime_seconds" in runtime.exposition()


@settings(max_examples=300, deadline=None)
@given(value=anything, second=anything)
def test_requests_and_the_rest(value: Any, second: Any) -> None:
    runtime = DistributedRuntime()
    component = runtime.namespace("ns").component("c")
    handler = component.endpoint("e").serve()
    frontend, kv_stats = Frontend(runtime), component.kv_stats()
    frontend.add_model("m")
    refuses(lambda: handler.begin(value), "request_bytes")
    with handler.begin(1) as work, frontend.request(model="m") as request:
        refuses(lambda: work.response_bytes(value), "response_bytes")
        refuses(lambda: work.error(value), "error")
        for method in (request.input_tokens, request.cached_tokens, request.tokens):
            refuses(lambda: method(value), "tokens")
        refuses(lambda: frontend.reject(value, second))
        refuses(lambda: frontend.request(model=value, endpoint=second, stream=second))
        refuses(lambda: frontend.add_model(value, second, context_length=second))
        refuses(lambda: frontend.add_model("m", value), "instance_id")
        for argument in ("context_length", "kv_cache_block_size", "migration_limit"):
            refuses(lambda: frontend.add_model("m", **{argument: value}), argument)
        refuses(lambda: frontend.remove_model("m", value), "instance_id")
        refuses(lambda: frontend.remove_model(value, second))
    with pytest.raises(ValueError, match="ended"):
        request.tokens(1)
    refuses(lambda: kv_stats.publish(active_blocks=value, total_blocks=1, gpu_cache_usage=0.5), "active_blocks")
    refuses(lambda: kv_stats.publish(active_blocks=1, total_blocks=1, gpu_cache_usage=value), "gpu_cache_usage")
    if not isinstance(value, str):
        refuses(lambda: runtime.namespace(value), "name")
        refuses(lambda: component.endpoint(value), "name")
    refuses(lambda: runtime.namespace(value).component(second).endpoint(value))
    refuses(lambda: KvRouter(component).remove(value), "worker_id")
    refuses(lambda: DistributedRuntime(canary_wait_time=value), "canary_wait_time")
    refuses(lambda: DistributedRuntime(canary_wait_time=1, canary_timeout=value), "canary_timeout")
    refuses(lambda: runtime.metrics.register_engine_url("http://localhost/", timeout=value), "timeout")
    refuses(lambda: DistributedRuntime(starting_health_status=value, use_endpoint_health_status=second))
    refuses(lambda: runtime.set_health_status(value))
    refuses(lambda: component.endpoint("e").serve(value))
    refuses(lambda: runtime.metrics.register_engine_registry(object(), prefixes=value, name=second))
    refuses(lambda: runtime.remove_engine(value))
    page = runtime.exposition()
    assert handler.inflight == 0 and "dynamo_component_uptime_seconds" in page


@pytest.mark.parametrize(
    "call, error, named",
    [
        (lambda r: r.metrics.register_prometheus_expfmt_callback(5, name="vllm"), TypeError, 'engine "vllm".*callable.*int'),
        (lambda r: r.metrics.register_engine_registry(5, name="vllm"), TypeError, 'engine "vllm".*CollectorRegistry.*int'),
        (lambda r: canary(endpoint(r), None), TypeError, 'endpoint "e".*canary.*callable.*NoneType'),
        (lambda r: r.namespace(5), TypeError, "name of a namespace must be str, not int"),
        (lambda r: r.namespace("n").component(None), TypeError, "name of a component must be str, not NoneType"),
        (lambda r: r.namespace("n").component("c").endpoint(b"e"), TypeError, "name of an endpoint must be str, not bytes"),
        (lambda r: r.serve(70000), ValueError, "port must be an integer from 0 to 65535"),
        (lambda r: r.serve(-1), ValueError, "port must be an integer from 0 to 65535"),
        (lambda r: r.serve("80"), TypeError, "port must be an integer from 0 to 65535, not str"),
        (lambda r: r.serve(0, "127.0.0.1").close(10**400), ValueError, "grace must be a number"),
        (lambda r: Frontend(r).add_model("m", -1), ValueError, "instance_id must be an integer"),
        (lambda r: Frontend(r).remove_model("m", 2**64), ValueError, "instance_id must be an integer"),
        (lambda r: router(r).remove(-1), ValueError, "worker_id must be an integer"),
        (lambda r: publish(router(r), -1), ValueError, "worker_id must be an integer"),
        (lambda r: DistributedRuntime(multiprocess=""), ValueError, "directory of shared metrics is empty"),
        (lambda r: DistributedRuntime(canary_wait_time=10**400), ValueError, "canary_wait_time must be a number"),
        (lambda r: DistributedRuntime(use_endpoint_health_status="e"), TypeError, "use_endpoint_health_status must be str, in a list"),
        (lambda r: r.metrics.register_engine_registry(5, prefixes="vllm:"), TypeError, "prefixes must be str, in a list .* not str"),
        (lambda r: r.metrics.register_prometheus_expfmt_callback(str, prefixes=[1]), TypeError, "prefixes must be str, in a list"),
        (lambda r: r.metrics.register_engine_url("http://localhost/", prefixes=1), TypeError, "prefixes must be str, in a list .* not int"),
    ],
)
def test_errors_name_the_argument(call: Callable[[DistributedRuntime], object], error: type[Exception], named: str) -> None:
    runtime = DistributedRuntime()
    with pytest.raises(error, match=named) as raised:
        call(runtime)
    assert type(raised.value) is error
    assert "dynamo_component_uptime_seconds" in runtime.exposition()


def endpoint(runtime: DistributedRuntime) -> Endpoint:
    return runtime.namespace("n").component("c").endpoint("e")


def canary(endpoint: Endpoint, send: Any) -> None:
    endpoint.canary(endpoint.serve(), send)


def router(runtime: DistributedRuntime) -> KvRouter:
    return KvRouter(runtime.namespace("n").component("c"))


def publish(router: KvRouter, worker: int) -> None:
    router.publish(worker, active_blocks=1, total_blocks=2, gpu_cache_usage=0.5)
