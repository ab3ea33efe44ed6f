"""A worker to copy: `python -m dynamo_metrics worker` serves a simulated engine behind `dynamo-metrics frontend`.

A request is JSON, its answer a line of JSON for each token. The system port, DYN_SYSTEM_PORT, has the page of all metrics.
"""

import argparse
import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import prometheus_client

from . import DistributedRuntime, _membership

HOST, BLOCK_TOKENS, BLOCKS = "127.0.0.1", 16, 16_384  # tokens of a block of the KV cache, and blocks


class Worker:
    """The simulated engine, and every metric of the worker."""

    def __init__(self, model: str, token_seconds: float) -> None:
        self.token_seconds, self.used_blocks, self.lock = token_seconds, 0, threading.Lock()
        self.runtime = DistributedRuntime()
        component = self.runtime.namespace("dynamo").component("backend")
        endpoint = component.endpoint("generate")
        self.handler = endpoint.serve({"model": model})  # requests, their bytes, durations and errors
        self.kv_stats = component.kv_stats()
        # Metrics of its own, with the labels of their place.
        self.tokens = endpoint.metrics.create_intcountervec("tokens_total", "Tokens of prompts and answers.", ["kind"])
        self.step = endpoint.metrics.create_histogram("step_seconds", "Time of a step, in seconds.")
        # The registry of an engine, whose metrics keep their names.
        registry = prometheus_client.CollectorRegistry()
        self.running = prometheus_client.Gauge("vllm:num_requests_running", "Requests that run.", registry=registry)
        endpoint.metrics.register_engine_registry(registry, prefixes=["vllm:"], name="vllm")

    def occupy(self, blocks: int) -> dict[str, float]:
        """Takes blocks of the cache, or gives them back; returns the figures that the frontend spreads requests by."""
        with self.lock:
            self.used_blocks += blocks
            used, share = self.used_blocks, min(1.0, self.used_blocks / BLOCKS)
            self.kv_stats.publish(active_blocks=used, total_blocks=BLOCKS, gpu_cache_usage=share)
        return {"active_blocks": used, "total_blocks": BLOCKS, "usage": share, "hit_rate": 0}

    def answer(self, http: BaseHTTPRequestHandler) -> None:
        body = http.rfile.read(int(http.headers["Content-Length"]))
        with self.handler.begin(len(body)) as request, self.running.track_inprogress():
            prompt = json.loads(body)
            self.tokens.labels("input").inc_by(prompt["input_tokens"])
            self.occupy(blocks := (prompt["input_tokens"] + prompt["max_tokens"]) // BLOCK_TOKENS + 1)
            try:
                http.send_response(200)
                http.end_headers()
                for left in reversed(range(max(1, prompt["max_tokens"]))):
                    with self.step.time():
                        time.sleep(self.token_seconds)
                    self.tokens.labels("output").inc()
                    line = json.dumps({"tokens": 1, "text": "word ", "cached_tokens": 0, "last": left == 0}) + "\n"
                    http.wfile.write(line.encode())
                    request.response_bytes(len(line))
            except OSError:
                request.error("publish_response")  # the client left
            finally:
                self.occupy(-blocks)


def main(arguments: list[str]) -> None:
    options = argparse.ArgumentParser(prog="python -m dynamo_metrics worker")
    options.add_argument("--frontend", default="http://127.0.0.1:8000")
    options.add_argument("--model", default="Qwen/Qwen3-0.6B")
    options.add_argument("--token-time-ms", default=20.0, type=float)
    given, stopped = options.parse_args(arguments), threading.Event()
    worker = Worker(given.model, given.token_time_ms / 1000)
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())

    class Requests(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            worker.answer(self)

    server = ThreadingHTTPServer((HOST, 0), Requests)
    server.daemon_threads = False  # server_close() waits for answers
    url = f"http://{HOST}:{server.server_port}"
    with worker.runtime.serve(int(os.environ.get("DYN_SYSTEM_PORT") or 0), HOST) as system:
        print(f"system   {system.url}/metrics\nrequests {url}", flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        worker.runtime.set_health_status("ready")
        card: dict[str, object] = {"url": url, "system_url": system.url, "models": [given.model], "endpoint": "generate"}
        card |= {"namespace": "dynamo", "component": "backend", "context_length": 40_960, "migration_limit": 3}
        card |= {"kv_cache_block_size": BLOCK_TOKENS, "total_kv_blocks": BLOCKS}
        _membership.keep(given.frontend, card, lambda: worker.occupy(0), stopped)
        server.shutdown()
        server.server_close()
