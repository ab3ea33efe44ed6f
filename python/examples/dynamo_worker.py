"""A worker of Dynamo 0.9 with the metrics of this package on its own page: `python dynamo_worker.py`.

It needs Dynamo's runtime (`pip install ai-dynamo-runtime`) and etcd. DYN_SYSTEM_PORT=8081 serves the page.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from dynamo.runtime import dynamo_worker

import dynamo_metrics

MODEL, BLOCK_TOKENS, BLOCKS = "qwen", 16, 1024  # tokens of a block of the KV cache, and blocks


@dynamo_worker(enable_nats=False)
async def worker(runtime: Any) -> None:
    # Dynamo's endpoint, and the same place in this package's hierarchy: all metrics have the same labels.
    endpoint = runtime.namespace("dynamo").component("backend").endpoint("generate")
    metrics = dynamo_metrics.DistributedRuntime()
    component = metrics.namespace("dynamo").component("backend")
    kv_stats = component.kv_stats()
    tokens = component.endpoint("generate").metrics.create_intcountervec("tokens_total", "Tokens.", ["kind"])

    # Requests and uptime are Dynamo's own: each family is on the page once.
    own = dynamo_metrics.DYNAMO_WORKER_FAMILIES
    endpoint.metrics.register_prometheus_expfmt_callback(lambda: metrics.exposition(without=own))

    used = 0

    def occupy(blocks: int) -> None:
        nonlocal used
        used += blocks
        kv_stats.publish(active_blocks=used, total_blocks=BLOCKS, gpu_cache_usage=used / BLOCKS)

    async def generate(request: dict[str, int]) -> AsyncIterator[dict[str, str]]:
        tokens.labels("input").inc_by(request["input_tokens"])
        occupy(blocks := (request["input_tokens"] + request["max_tokens"]) // BLOCK_TOKENS + 1)
        try:
            for _ in range(request["max_tokens"]):
                tokens.labels("output").inc()
                yield {"text": "word "}
        finally:
            occupy(-blocks)

    occupy(0)
    await endpoint.serve_endpoint(generate, metrics_labels=[("model", MODEL)])


if __name__ == "__main__":
    asyncio.run(worker())
