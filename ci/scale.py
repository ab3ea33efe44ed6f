#!/usr/bin/env python3
"""Feeds a real Prometheus with the pages of 1, 100 and 1,000 workers: 4 minutes. Prints the table of docs/scale.md.

`python3 ci/scale.py [--workers 1,100,1000] [--seconds 60] [--details]`. Needs target/release/dynamo-metrics (or
DYNAMO_METRICS), prometheus, and for remote write victoria-metrics of .judges/ if it is there. A real worker behind a real
frontend is loaded first; its page is then served at as many addresses of 127.0.0.0/8 as there are workers, with counters that grow
from scrape to scrape. The last step is Prometheus as an agent that writes to another Prometheus and to VictoriaMetrics.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(os.environ.get("DYNAMO_METRICS", ROOT / "target/release/dynamo-metrics"))
VICTORIA = ROOT / ".judges/sid/usr/bin/victoria-metrics"
INTERVAL = 5
# Time after which every target has been scraped, and Prometheus does what it does in the steady state.
WARM_SECONDS = 3 * INTERVAL
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    """Returns a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(url, data=None, **headers):
    """Returns the body of a page."""
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=10) as answer:
        return answer.read()


def until(what, holds, seconds=60):
    """Waits until `holds()` without an error."""
    end = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except (OSError, ValueError, LookupError):
            pass
        if time.monotonic() > end:
            raise SystemExit(f"FAILED: not after {seconds} s: {what}")
        time.sleep(0.2)


def start(closing, arguments, **environment):
    """Starts a process that ends with `closing`."""
    process = subprocess.Popen(
        [str(each) for each in arguments], env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end():
        process.terminate()
        process.wait()

    closing.callback(end)
    return process


def real_page(details):
    """Returns the page of a loaded worker, its size in gzip, and the page of its frontend."""
    with ExitStack() as closing:
        frontend, system = free_port(), free_port()
        start(closing, [PROGRAM, "frontend", "--http-port", frontend], DYN_SYSTEM_PORT="-1", DYN_METRICS_ROUTER_WORKERS="false")
        until("the frontend", lambda: get(f"http://127.0.0.1:{frontend}/live"))
        start(closing, [PROGRAM, "worker", "--frontend", f"http://127.0.0.1:{frontend}", "--token-time-ms", "1"],
              DYN_SYSTEM_PORT=str(system), DYN_METRICS_DETAILS="true" if details else "false")
        until("the worker", lambda: b'"instance_id"' in get(f"http://127.0.0.1:{frontend}/health"))
        body = json.dumps({"model": "Qwen/Qwen3-0.6B", "prompt": "Hello", "max_tokens": 20}).encode()
        for _ in range(50):
            get(f"http://127.0.0.1:{frontend}/v1/completions", body, **{"Content-Type": "application/json"})
        page = get(f"http://127.0.0.1:{system}/metrics")
        packed = get(f"http://127.0.0.1:{system}/metrics", **{"Accept-Encoding": "gzip"})
        return page.decode(), len(packed), get(f"http://127.0.0.1:{frontend}/metrics").decode()


def samples(page):
    """Returns the number of series of a page."""
    return sum(1 for line in page.splitlines() if line and not line.startswith("#"))


class Workers:
    """The page at every address of 127.0.0.0/8, on one port; its counters grow with every scrape of an address."""

    def __init__(self, page):
        self.lines = []
        for line in page.splitlines():
            name, _, value = line.rpartition(" ")
            grows = re.match(r"\w+_(total|bucket|sum|count|seconds)\b", line) and not line.startswith("#")
            self.lines.append((name, float(value)) if grows else (line, None))
        self.scrapes = {}
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve(ready)), daemon=True).start()
        ready.wait()

    async def serve(self, ready):
        """Listens until the process ends."""
        server = await asyncio.start_server(self.answer, "0.0.0.0", 0, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    async def answer(self, reader, writer):
        """Answers every request of a connection, which Prometheus keeps open."""
        at = writer.get_extra_info("sockname")[0]
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                body = self.page(at)
                head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def page(self, at):
        """Returns the next page of one worker."""
        self.scrapes[at] = grown = self.scrapes.get(at, 0) + 1
        lines = (text if value is None else f"{text} {value * grown:.12g}" for text, value in self.lines)
        return ("\n".join(lines) + "\n").encode()

    def targets(self, count):
        """Returns addresses of so many workers."""
        return [f"127.{1 + number // 65536}.{number // 256 % 256}.{number % 256}:{self.port}" for number in range(1, count + 1)]


class Prometheus:
    """A Prometheus that scrapes these targets, in a folder that is removed at its end."""

    def __init__(self, closing, targets, *flags, agent_of=()):
        self.folder = Path(tempfile.mkdtemp())
        closing.callback(shutil.rmtree, self.folder)
        (self.folder / "targets.json").write_text(json.dumps([{"targets": targets}]))
        written = "".join(f"  - url: {url}\n" for url in agent_of)
        (self.folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {INTERVAL}s, scrape_timeout: {INTERVAL - 1}s}}\n"
            "scrape_configs:\n  - job_name: dynamo-worker\n    honor_labels: true\n"
            f"    file_sd_configs: [{{files: [targets.json]}}]\n" + (f"remote_write:\n{written}" if written else ""))
        self.port = free_port()
        data = "--storage.agent.path" if agent_of else "--storage.tsdb.path"
        self.process = start(closing, ["prometheus", f"--config.file={self.folder}/prometheus.yml", f"{data}={self.folder}/data",
                                       f"--web.listen-address=127.0.0.1:{self.port}", *flags])
        until("prometheus", lambda: get(f"http://127.0.0.1:{self.port}/-/ready"))

    def own(self, name):
        """Returns a number of its own page."""
        page = get(f"http://127.0.0.1:{self.port}/metrics").decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", page, re.M))

    def cpu_seconds(self):
        """Returns the processor time that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def block(self):
        """Returns the bytes and samples of a block made of all that it has."""
        url = f"http://127.0.0.1:{self.port}/api/v1/admin/tsdb/snapshot"
        name = json.loads(get(url, b""))["data"]["name"]
        folder = self.folder / "data/snapshots" / name
        stats = [json.loads(meta.read_text())["stats"]["numSamples"] for meta in folder.glob("*/meta.json")]
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()), sum(stats)


def query(port, expression):
    """Returns the number that an expression has, at a server of Prometheus' interface."""
    address = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    return float(json.loads(get(address))["data"]["result"][0]["value"][1])


def measure(workers, count, seconds):
    """Prints a row: so many workers for so long."""
    with ExitStack() as closing:
        prometheus = Prometheus(closing, workers.targets(count), "--web.enable-admin-api")
        until("every target is up", lambda: query(prometheus.port, "sum(up)") == count, 120)
        time.sleep(WARM_SECONDS)
        appended = "prometheus_tsdb_head_samples_appended_total"
        before, cpu, begun = prometheus.own(appended), prometheus.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - begun
        rate = (prometheus.own(appended) - before) / took
        cores = (prometheus.cpu_seconds() - cpu) / took
        series = prometheus.own("prometheus_tsdb_head_series")
        resident = prometheus.own("process_resident_memory_bytes")
        size, stored = prometheus.block()
        failed = query(prometheus.port, "count(up == 0) or vector(0)")
        print(f"| {count:,} | {series:,.0f} | {rate:,.0f} | {100 * cores:.1f} % | {resident / 1e6:,.0f} MB | {size / stored:.2f} |"
              + (f" {failed:.0f} targets down" if failed else ""), flush=True)


def remote_write(workers, count=20):
    """Compares what an agent's receivers have with what was scraped."""
    with ExitStack() as closing:
        receiver = Prometheus(closing, [], "--web.enable-remote-write-receiver")
        urls, ports = [f"http://127.0.0.1:{receiver.port}/api/v1/write"], {"Prometheus": receiver.port}
        if VICTORIA.exists():
            folder = tempfile.mkdtemp()
            closing.callback(shutil.rmtree, folder, ignore_errors=True)
            ports["VictoriaMetrics"] = port = free_port()
            start(closing, [VICTORIA, f"-storageDataPath={folder}", f"-httpListenAddr=127.0.0.1:{port}"])
            until("victoria-metrics", lambda: get(f"http://127.0.0.1:{port}/health"))
            urls.append(f"http://127.0.0.1:{port}/api/v1/write")
        else:
            print(f"SKIPPED: {VICTORIA} is not there (bash ci/judges/unpack.sh)")
        Prometheus(closing, workers.targets(count), "--enable-feature=agent", agent_of=urls)
        series = sum(1 for _, value in workers.lines if value is not None) + sum(
            1 for text, value in workers.lines if value is None and not text.startswith("#"))
        for name, port in ports.items():
            until(f"{name} has every series of {count} workers",
                  lambda port=port: query(port, 'count({__name__=~"dynamo_.*|process_.*"})') == count * series)
            until(f"{name} has every worker", lambda port=port: query(port, "sum(up)") == count)
            print(f"an agent's writes to {name}: {count} workers, {count * series} series, as scraped", flush=True)


def main():
    """Measures each number of workers."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--workers", default="1,100,1000")
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("--details", action="store_true", help="the page with DYN_METRICS_DETAILS=true")
    options = options.parse_args()
    page, packed, frontend = real_page(options.details)
    print(f"a worker's page: {samples(page)} series, {len(page):,} bytes, {packed:,} in gzip")
    print(f"a frontend's page with one model, without router_worker_*: {samples(frontend)} series, {len(frontend):,} bytes")
    workers = Workers(page)
    print(f"\n| workers | series | samples/s | processor of Prometheus | resident | bytes a sample, in a block |\n|{'---|' * 6}")
    for count in map(int, options.workers.split(",")):
        measure(workers, count, options.seconds)
    print()
    remote_write(workers)


if __name__ == "__main__":
    main()
