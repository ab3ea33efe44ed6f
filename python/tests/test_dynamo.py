"""The example of a Dynamo worker in Dynamo's own runtime 0.9.0: its page, its requests, and etcd.

`bash ci/python_dynamo.sh` runs it. Elsewhere it is skipped: neither the package ai-dynamo-runtime nor etcd is installed.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from running import COMMAND, PATIENCE, eventually, fetch, judge, samples

from dynamo_metrics import DYNAMO_WORKER_FAMILIES

pytest.importorskip("dynamo.runtime", reason="ai-dynamo-runtime is not installed: bash ci/python_dynamo.sh installs it")
if shutil.which("etcd") is None:
    pytest.skip("etcd is not installed (Debian package etcd-server)", allow_module_level=True)

EXAMPLE = Path(__file__).parent.parent / "examples" / "dynamo_worker.py"
BLOCKS = 1024
PLACE = ('dynamo_namespace="dynamo"', 'dynamo_component="backend"')
# The families that are Dynamo's own.
REQUESTS, UPTIME = "dynamo_component_requests_total", "dynamo_component_uptime_seconds"

# Sends a request for each line of its input, and prints the number of answers, or the error.
CLIENT = """
import asyncio, json, sys
from dynamo.runtime import dynamo_worker

@dynamo_worker(enable_nats=False)
async def client(runtime):
    client = await runtime.namespace("dynamo").component("backend").endpoint("generate").client()
    await client.wait_for_instances()
    for line in sys.stdin:
        try:
            stream = await client.round_robin(json.loads(line))
            texts = [item.data()["text"] async for item in stream]
            print("answers", len(texts), flush=True)
        except Exception as error:
            print("error", repr(error), flush=True)
    runtime.shutdown()

asyncio.run(client())
"""


class Logged:
    """A process whose output is a file; killed at the end of the block."""

    def __init__(self, log: Path, arguments: list[str], **environment: str) -> None:
        self.log, self.name = log, Path(arguments[0]).name
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                arguments, env=os.environ | environment, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
            )

    def says(self, pattern: str) -> str:
        """Waits until the output has the pattern; returns the text of its group."""

        def found() -> re.Match[str] | None:
            match = re.search(pattern, self.log.read_text(errors="replace"), re.MULTILINE)
            assert match or self.process.poll() is None, f"{self.name} ended: {self.log.read_text()}"
            return match

        eventually(lambda: found() is not None, lambda: f"{self.name} says no {pattern!r}: {self.log.read_text()}")
        match = found()
        assert match is not None
        return match[1]

    def __enter__(self) -> "Logged":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)


@contextmanager
def etcd(folder: Path) -> Iterator[str]:
    """Starts an etcd of one member on free ports of loopback; yields its address."""
    free = "http://127.0.0.1:0"
    arguments = ["etcd", "--data-dir", str(folder / "etcd"), "--logger", "zap", "--initial-cluster", f"default={free}"]
    for option in ("listen-client-urls", "advertise-client-urls", "listen-peer-urls", "initial-advertise-peer-urls"):
        arguments += [f"--{option}", free]
    with Logged(folder / "etcd.log", arguments) as process:
        yield "http://" + process.says(r'serving client traffic.*"address":"([^"]+)"')


def families(page: str) -> dict[str, Metric]:
    """Returns the families of a page; fails where one comes twice."""
    found = list(text_string_to_metric_families(page))
    assert max(Counter(family.name for family in found).values()) == 1, page
    return {family.name: family for family in found}


def test_the_page_of_dynamos_own_worker_has_both_runtimes_metrics(tmp_path: Path) -> None:
    with etcd(tmp_path) as address:
        # Loopback and free ports for all that Dynamo listens on.
        settings = {"ETCD_ENDPOINTS": address, "DYN_SYSTEM_HOST": "127.0.0.1", "DYN_TCP_RPC_HOST": "127.0.0.1", "DYN_LOG": "info"}
        settings |= {"DYN_SDK_DISABLE_ANSI_LOGGING": "1", "PYTHONUNBUFFERED": "1"}
        worker = Logged(tmp_path / "worker.log", [sys.executable, str(EXAMPLE)], DYN_SYSTEM_PORT="0", **settings)
        client = Logged(tmp_path / "client.log", [sys.executable, "-c", CLIENT], **settings)
        with worker, client:
            url = "http://" + worker.says(r"system status server bound to: (\S+)") + "/metrics"

            def page() -> str:
                status, text = fetch(url)
                assert status == 200, text
                return text

            def send(**request: object) -> None:
                assert client.process.stdin is not None
                client.process.stdin.write(json.dumps(request).encode() + b"\n")
                client.process.stdin.flush()

            eventually(lambda: samples(page(), REQUESTS) == [0], page)
            idle = families(page())
            assert samples(page(), "dynamo_component_kvstats_total_blocks", *PLACE) == [BLOCKS]

            send(input_tokens=100, max_tokens=5)
            client.says(r"^answers (5)$")
            send(input_tokens=28, max_tokens=7)
            client.says(r"^answers (7)$")
            # The generator raises KeyError after it counted the prompt.
            send(input_tokens=1)
            client.says(r"^(error) ")
            eventually(lambda: samples(page(), "dynamo_component_inflight_requests") == [0], page)
            text = page()

            # Dynamo's own, and ours with the exact counts of the same requests.
            assert samples(text, REQUESTS, *PLACE, 'model="qwen"') == [3]
            assert samples(text, "dynamo_component_tokens_total", *PLACE, 'kind="input"') == [129]
            assert samples(text, "dynamo_component_tokens_total", *PLACE, 'kind="output"') == [12]
            kv = {name: samples(text, f"dynamo_component_kvstats_{name}", *PLACE) for name in ("active_blocks", "total_blocks")}
            assert kv == {"active_blocks": [0], "total_blocks": [BLOCKS]}
            for name in ("gpu_cache_usage_percent", "gpu_prefix_cache_hit_rate"):
                assert samples(text, f"dynamo_component_kvstats_{name}", *PLACE) == [0]

            # One page: each family once, and acceptable to every parser at hand.
            both = families(text)
            assert set(idle) <= set(both) and len(samples(text, UPTIME)) == 1
            subprocess.run([COMMAND, "check", url], check=True, timeout=PATIENCE)
            if promtool := judge("promtool"):
                subprocess.run([promtool, "check", "metrics"], input=text.encode(), check=True, timeout=PATIENCE)

            worker.process.send_signal(signal.SIGTERM)
            assert worker.process.wait(PATIENCE) in (0, -signal.SIGTERM), worker.log.read_text()
        assert "panicked" not in worker.log.read_text()


