"""The load of ci/soak.sh, and the judge of what it did to the server.

Every kind of client runs on threads of its own until the time is over. Those that behave (scrapes, probes,
completions) must always be served: one failure fails the soak. Those that misbehave may be cut off at will, on both
ports. Behind the worker is an engine that is slow, silent, broken or endless now and then; the page must have its
metrics in between, and everything else always.
"""

import argparse
import gzip
import http.client
import http.server
import json
import os
import random
import socket
import statistics
import sys
import threading
import time

HOST = "127.0.0.1"
FORMATS = [
    "text/plain;version=0.0.4",
    "application/openmetrics-text;version=1.0.0",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    "*/*",
]
JUNK = [
    b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000,
    b"GET /metrics HTTP/1.1\nHost: a\n\n",
    b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00" * 4096,
]
API_JUNK = [
    b"GET /v1/models HTTP/1.1\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n{",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
]
ENGINE_PAGE = b"# TYPE vllm:running gauge\nvllm:running 3\n"
# Growth of the median from one quarter of the time to the next that is taken for noise. A leak of one byte a scrape is within it; one
# of a page a request is not.
MEMORY_SLACK_KIB = 2048
# A fetch of the engine's page may be under way at either time, and the runtime keeps a thread for it.
LEFT_SLACK = {"descriptors": 3, "threads": 2}
# Idle threads of the runtime go after 10 s, connections without a request after 30 s.
LEFT_SECONDS = 60


class Engine(http.server.BaseHTTPRequestHandler):
    """An engine's metrics: mostly well, and everything else now and then."""

    def do_GET(self):
        manner = random.randrange(10)
        if manner == 0:
            time.sleep(0.2)  # Slower than a scrape waits, and within the engine's own timeout.
        if manner == 1:
            time.sleep(3)  # Beyond it.
        if manner == 2:
            return self.send_error(503)
        if manner == 3:
            return self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nvllm:")
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.wfile.write(b"vllm:\xff{ 1\n" * 1000 if manner == 4 else ENGINE_PAGE)
        while manner == 5:  # Until nobody wants more.
            self.wfile.write(ENGINE_PAGE * 1000)

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass  # Nobody waits any longer.

    def log_message(self, *_):
        pass


class Load:
    def __init__(self, frontend, system):
        self.frontend, self.system = frontend, system
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.done, self.failures = {}, []

    def count(self, what):
        with self.lock:
            self.done[what] = self.done.get(what, 0) + 1

    def served(self, what, port, method, path, headers=None, body=None, check=None):
        """One request that must be answered 200, on a connection of its own."""
        try:
            connection = http.client.HTTPConnection(HOST, port, timeout=20)
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            page = response.read()
            connection.close()
            if response.status != 200:
                raise ValueError(f"answered {response.status}")
            if check:
                check(response, page)
            self.count(what)
        except Exception as error:  # Whatever it is, the request was not served.
            with self.lock:
                self.failures.append(f"{what}: {type(error).__name__}: {error}")

    def scrape(self, port, gzipped):
        headers = {"Accept": random.choice(FORMATS)}
        if gzipped:
            headers["Accept-Encoding"] = "gzip"

        def check(response, page):
            if response.getheader("Content-Encoding") == "gzip":
                page = gzip.decompress(page)
            if b"dynamo_" not in page:
                raise ValueError("a page without metrics")
            if b"vllm" in page:
                self.count("pages with the engine's metrics")

        self.served("scrapes", port, "GET", "/metrics", headers, None, check)

    def scrapes(self):
        while not self.over.wait(0.02):
            self.scrape(random.choice([self.frontend, self.system]), random.random() < 0.5)

    def probes(self):
        while not self.over.wait(0.1):
            self.served("probes", self.system, "GET", random.choice(["/health", "/live"]))

    def completions(self):
        ask = {
            "model": "Qwen/Qwen3-0.6B",
            "max_completion_tokens": 20,
            "messages": [{"role": "user", "content": "Hello"}],
        }
        headers = {"Content-Type": "application/json"}
        while not self.over.wait(0.05):
            ask["stream"] = random.random() < 0.5
            path = "/v1/chat/completions"
            self.served("completions", self.frontend, "POST", path, headers, json.dumps(ask))

    def bursts(self):
        """Stampedes: so many scrapes of the frontend at once."""
        while not self.over.wait(15):
            crowd = [threading.Thread(target=self.scrape, args=(self.frontend, True)) for _ in range(20)]
            for one in crowd:
                one.start()
            for one in crowd:
                one.join()
            self.count("bursts")

    def junk(self):
        while not self.over.wait(0.1):
            port = self.either()
            junk = JUNK + API_JUNK if port == self.frontend else JUNK
            self.misbehave("junk", port, lambda client: client.sendall(random.choice(junk)))

    def strangers(self):
        """Clients that are gone before their answer, or in the middle of it."""
        def leave(client):
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"[: random.randrange(38)])
            if random.random() < 0.5:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
                client.recv(random.randrange(1, 4096))

        while not self.over.wait(0.05):
            self.misbehave("clients that leave", self.either(), leave, read=False)

    def slow(self):
        """Heads and bodies that are dribbled, silence, and pages and streams that are not taken."""
        def hold(client):
            manner = random.randrange(5)
            if manner == 2:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 16)
            if manner == 3:
                client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n")
            if manner == 4:
                ask = b'{"model": "Qwen/Qwen3-0.6B", "prompt": "x", "max_tokens": 100, "stream": true}'
                head = "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                client.sendall(f"{head}Content-Length: {len(ask)}\r\n\r\n".encode() + ask)
            end = time.monotonic() + 12
            while time.monotonic() < end and not self.over.wait(0.5):
                if manner in (0, 3):
                    client.sendall(b"G")
                if manner == 2 and not client.recv(1):
                    return

        while not self.over.is_set():
            self.misbehave("slow clients", self.either(), hold, read=False, small=True)

    def either(self):
        return random.choice([self.frontend, self.system])

    def misbehave(self, what, port, how, read=True, small=False):
        client = socket.socket()
        try:
            client.settimeout(2)
            if small:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((HOST, port))
            how(client)
            while read and client.recv(65536):
                pass
        except OSError:
            pass  # It is refused, which is right.
        finally:
            client.close()
        self.count(what)


def sample(pid):
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return {
        "memory_kib": int(fields["VmRSS"].split()[0]),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(fields["Threads"]),
    }


def judge(samples, idle, after):
    """Returns the leaks: memory that grows in the second half, from its first part to its last, and descriptors and threads that
    are still there when the load is over."""
    half = samples[len(samples) // 2 :]
    third, last = half[: len(half) // 2], half[len(half) // 2 :]
    if not third:
        return ["too few samples to judge by: more seconds, or SOAK_SAMPLE less"]
    problems = []
    before, then = (statistics.median(one["memory_kib"] for one in part) for part in (third, last))
    if then - before > MEMORY_SLACK_KIB:
        problems.append(f"memory_kib grow from {before:.0f} to {then:.0f}, more than {MEMORY_SLACK_KIB}")
    for what in LEFT_SLACK:
        if not is_back(what, idle, after):
            problems.append(f"{what}: {after[what]} are left of the load, {idle[what]} were there before it")
    return problems


def is_back(what, idle, after):
    return after[what] <= idle[what] + LEFT_SLACK[what]


def settled(pid, idle):
    """Returns the last sample, once descriptors and threads are as few as before the load, or after LEFT_SECONDS."""
    begin = time.monotonic()
    while True:
        now = sample(pid)
        if all(is_back(what, idle, now) for what in LEFT_SLACK) or time.monotonic() - begin > LEFT_SECONDS:
            return now
        time.sleep(0.2)


def self_test():
    """The judge lets noise pass, and finds a leak of 400 KiB a sample, of some descriptors and of some threads."""
    def run(leak=0):
        noise = random.Random(1)
        return [{"memory_kib": 20000 + noise.randrange(1500) + at * leak} for at in range(60)]

    idle = {"descriptors": 20, "threads": 6}
    assert judge(run(), idle, idle) == [], judge(run(), idle, idle)
    problems = judge(run(400), idle, idle)
    assert len(problems) == 1 and problems[0].startswith("memory_kib"), problems
    for what, slack in LEFT_SLACK.items():
        assert judge(run(), idle, idle | {what: idle[what] + slack}) == []
        problems = judge(run(), idle, idle | {what: idle[what] + slack + 1})
        assert len(problems) == 1 and problems[0].startswith(what), problems
    assert judge([], idle, idle) != []


def free_ports():
    """Three ports that nobody has now: for the API, the system pages and the engine."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(3)]
    return [one.getsockname()[1] for one in sockets]


def wait_for(port):
    for _ in range(200):
        try:
            return socket.create_connection((HOST, port), 1).close()
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nobody listens on port {port}")


def soak(options):
    engine = http.server.ThreadingHTTPServer((HOST, options.engine), Engine)
    threading.Thread(target=engine.serve_forever, daemon=True).start()
    for port in (options.frontend, options.system):
        wait_for(port)
    time.sleep(0.5)  # The worker joins the fleet.
    idle = sample(options.pid)
    load = Load(options.frontend, options.system)
    kinds = [load.scrapes] * 2 + [load.slow] * 12
    kinds += [load.probes, load.completions, load.bursts, load.junk, load.strangers]
    threads = [threading.Thread(target=kind, daemon=True) for kind in kinds]
    for thread in threads:
        thread.start()
    begin, samples = time.monotonic(), []
    print("     s  memory_kib  descriptors  threads", flush=True)
    while time.monotonic() - begin < options.seconds:
        time.sleep(options.sample)
        now = sample(options.pid)
        samples.append(now)
        print(
            f"{time.monotonic() - begin:6.0f}  {now['memory_kib']:10}  {now['descriptors']:11}"
            f"  {now['threads']:7}",
            flush=True,
        )
    load.over.set()
    for thread in threads:
        thread.join(30)
    print(", ".join(f"{count} {what}" for what, count in sorted(load.done.items())))
    after = settled(options.pid, idle)
    print(f"left of the load: {after['descriptors']} descriptors, {after['threads']} threads")
    problems = judge(samples, idle, after) + sorted(set(load.failures))[:10]
    if not load.done.get("scrapes") or not load.done.get("completions"):
        problems.append("nothing was served")
    if not load.done.get("pages with the engine's metrics"):
        problems.append("the engine was never passed through")
    for problem in problems:
        print(f"soak: {problem}", file=sys.stderr)
    print("soak: flat, and everybody was served" if not problems else "soak: failed")
    return bool(problems)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--free-ports", action="store_true")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--frontend", type=int)
    parser.add_argument("--system", type=int)
    parser.add_argument("--engine", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--sample", type=float)
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    if options.free_ports:
        return print(*free_ports())
    sys.exit(soak(options))


if __name__ == "__main__":
    main()
