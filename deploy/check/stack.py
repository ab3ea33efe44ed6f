"""Processes of the checks: roles of Dynamo, an engine's page, clients, and the monitors that `up.sh` starts.

Everything listens on loopback, on free ports, and ends with the `Stack`.
"""

import json
import os
import random
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent.parent
ROOT = DEPLOY.parent
PROGRAM = Path(os.environ.get("DYNAMO_METRICS", ROOT / "target/release/dynamo-metrics"))
MODEL = "Qwen/Qwen3-0.6B"
# As often as an interactive user would look; no result depends on it.
POLL_SECONDS = 0.25


def free_port():
    """Returns a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get_json(url, timeout=10):
    """Returns the JSON of a page."""
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return json.load(answer)


def answers(url):
    """Returns whether a page answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except OSError:
        return False


class Engine:
    """An engine's page with the families that the dashboards read; every counter grows from scrape to scrape."""

    def __init__(self):
        self.scrapes = 0
        engine = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self):
                engine.scrapes += 1
                body = engine.page().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/metrics"

    def page(self):
        """Returns the exposition."""
        grown = self.scrapes * 10
        lines = []
        for name, value in (
            ("vllm:num_requests_running", 3), ("vllm:num_requests_waiting", 1), ("vllm:kv_cache_usage_perc", 0.4),
            ("sglang:num_running_reqs", 2), ("sglang:num_queue_reqs", 1), ("sglang:token_usage", 0.3),
            ("trtllm_kv_cache_utilization", 0.5),
        ):
            lines += [f"# TYPE {name} gauge", f"{name} {value}"]
        for name in (
            "vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:prefix_cache_hits_total",
            "vllm:prefix_cache_queries_total", "vllm:num_preemptions_total", "sglang:prompt_tokens_total",
            "sglang:generation_tokens_total",
        ):
            lines += [f"# TYPE {name} counter", f"{name} {grown}"]
        lines += ["# TYPE trtllm_request_success_total counter", f'trtllm_request_success_total{{finished_reason="stop"}} {grown}']
        for name in ("vllm:time_to_first_token_seconds", "trtllm_time_to_first_token_seconds"):
            lines += [f"# TYPE {name} histogram", f'{name}_bucket{{le="0.1"}} {grown // 2}', f'{name}_bucket{{le="+Inf"}} {grown}', f"{name}_sum {grown / 10}", f"{name}_count {grown}"]
        return "\n".join(lines) + "\n"

    def stop(self):
        """Closes the listener, as an engine that died."""
        self.server.shutdown()
        self.server.server_close()


class Clients:
    """Clients of the OpenAI API. One request in a hundred is left early, and one names a model that is not there."""

    def __init__(self, url, count, spoil=True):
        self.url, self.spoil, self.running, self.sent = url, spoil, True, 0
        self.threads = [threading.Thread(target=self.work, args=(number,), daemon=True) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def work(self, number):
        """Sends one request after another."""
        chance = random.Random(number)
        while self.running:
            fate = chance.randrange(100) if self.spoil else 99
            try:
                self.request(MODEL if fate else "no-such-model", leave=fate == 1, tokens=chance.randint(4, 12))
            except OSError:
                time.sleep(0.1)
            self.sent += 1
            time.sleep(chance.random() / 10)

    def request(self, model, leave, tokens):
        """Sends one streamed request, and reads its answer or leaves after the first bytes."""
        body = json.dumps({"model": model, "prompt": "Hello " * 20, "max_tokens": tokens, "stream": True}).encode()
        request = urllib.request.Request(f"{self.url}/v1/completions", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read(10 if leave else None)

    def stop(self):
        """Lets every client finish its request."""
        self.running = False
        for thread in self.threads:
            thread.join(timeout=30)


class Stack:
    """Frontend, workers, an engine's page, and Prometheus with Alertmanager."""

    def __init__(self, workers=2):
        self.closing = ExitStack()
        try:
            self.open(workers)
        except BaseException:
            self.closing.close()
            raise

    def open(self, workers):
        """Starts every process, and waits until Prometheus has scraped each target."""
        self.engine = Engine()
        self.frontend_port, self.prometheus_port, self.alertmanager_port = (free_port() for _ in range(3))
        self.frontend = f"http://127.0.0.1:{self.frontend_port}"
        self.start([str(PROGRAM), "frontend", "--http-port", str(self.frontend_port)], DYN_SYSTEM_PORT="-1")
        self.ports = [free_port() for _ in range(workers)]
        self.workers = [
            self.start(
                [str(PROGRAM), "worker", "--frontend", self.frontend, "--instance-id", str(number + 1), "--max-num-seqs", "64",
                 "--token-time-ms", "5", "--engine-metrics", f"other={self.engine.url}"],
                DYN_SYSTEM_PORT=str(port),
            )
            for number, port in enumerate(self.ports)
        ]
        self.start(
            ["bash", str(DEPLOY / "up.sh"), "--monitor-only"],
            PROMETHEUS_PORT=str(self.prometheus_port),
            ALERTMANAGER_PORT=str(self.alertmanager_port),
            FRONTENDS=f"127.0.0.1:{self.frontend_port}",
            WORKERS=" ".join(f"127.0.0.1:{port}" for port in self.ports),
        )
        ready = f"http://127.0.0.1:{self.alertmanager_port}/-/ready"
        self.until("Alertmanager is ready", lambda: answers(ready), 60)
        self.until("every target is up", lambda: len(self.query('up{job=~"dynamo-.*"} == 1')) == workers + 1, 120)

    def start(self, arguments, **environment):
        """Starts a process that ends with the stack."""
        quiet = None if os.environ.get("VERBOSE") else subprocess.DEVNULL
        process = subprocess.Popen(arguments, env=os.environ | environment, stdout=quiet, stderr=quiet)

        def end():
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()

        self.closing.callback(end)
        return process

    def query(self, expression):
        """Returns the result of an instant query; raises ValueError with Prometheus' own words when it refuses."""
        address = f"http://127.0.0.1:{self.prometheus_port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            result = get_json(address)["data"]["result"]
            return result if isinstance(result, list) else [result]
        except urllib.error.HTTPError as refused:
            if refused.code == 503: # not ready yet
                return []
            raise ValueError(f"{expression}: {json.load(refused).get('error')}") from None
        except OSError:
            return []

    def alerts(self):
        """Returns the names of the alerts that Alertmanager has; raises OSError when it does not answer."""
        return {each["labels"]["alertname"] for each in get_json(f"http://127.0.0.1:{self.alertmanager_port}/api/v2/alerts")}

    def until(self, name, holds, seconds):
        """Waits until `holds()`, and returns after how many seconds it did; exits when it never does."""
        begun = time.monotonic()
        while not holds():
            if time.monotonic() - begun > seconds:
                raise SystemExit(f"FAILED: not after {seconds} s: {name}")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - begun

    def close(self):
        """Ends every process."""
        self.closing.close()
        self.engine.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
