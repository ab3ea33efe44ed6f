"""The examples, as their readers run them."""

import asyncio
import os
import signal
import subprocess
import socket
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from running import Program, eventually, fetch, samples

EXAMPLES = Path(__file__).parent.parent / "examples"
if os.environ.get("DYNAMO_METRICS_JUDGES") != "required":
    pytest.importorskip("fastapi")

import fastapi_app
from fastapi.testclient import TestClient

COMPLETION = {"model": "qwen", "prompt": "one two three", "max_tokens": 4}


def outcomes(page: str) -> dict[str, float]:
    name = "dynamo_frontend_requests_total"
    return {status: sum(samples(page, name, f'status="{status}"')) for status in ("success", "error")}


def test_streamed_and_whole_answers_are_counted_by_token() -> None:
    with TestClient(fastapi_app.create()) as client:
        whole = client.post("/v1/completions", json=COMPLETION)
        assert whole.json() == {"choices": [{"text": "word word word word "}]}
        with client.stream("POST", "/v1/completions", json={**COMPLETION, "stream": True}) as stream:
            lines = [line for line in stream.iter_lines() if line]
        assert len(lines) == 5 and lines[-1] == "data: [DONE]"
        answer = client.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert samples(answer.text, "dynamo_frontend_output_tokens_total") == [8]
        assert outcomes(answer.text) == {"success": 2, "error": 0}
        assert samples(answer.text, "dynamo_frontend_input_sequence_tokens_sum") == [6]
        assert samples(answer.text, "dynamo_frontend_inflight_requests") == [0]


def test_refused_and_failed_requests_are_errors_with_their_reasons() -> None:
    with TestClient(fastapi_app.create(), raise_server_exceptions=False) as client:
        assert client.post("/v1/completions", json={**COMPLETION, "model": "absent"}).status_code == 404
        assert client.post("/v1/completions", json={"model": 5}).status_code == 422
        assert client.post("/v1/completions", json={**COMPLETION, "prompt": ""}).status_code == 500
        page = client.get("/metrics").text
    assert outcomes(page)["success"] == 0 and outcomes(page)["error"] >= 1
    rejected = "dynamo_frontend_rejected_requests_total"
    for reason in ("not_found", "validation"):
        assert sum(samples(page, rejected, f'reason="{reason}"')) == 1, page
    assert sum(samples(page, "dynamo_frontend_inflight_requests")) == 0


def test_a_client_that_leaves_cancels_its_request() -> None:
    app = fastapi_app.create()
    body = b'{"model": "qwen", "prompt": "one", "max_tokens": 1000000, "stream": true}'
    sent: list[MutableMapping[str, Any]] = []
    first = asyncio.Event()
    incoming: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> MutableMapping[str, Any]:
        if incoming:
            return incoming.pop()
        await first.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)
        if message.get("body"):
            first.set()

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/v1/completions", "raw_path": b"/v1/completions", "query_string": b"", "root_path": "",
        "headers": [(b"content-type", b"application/json")], "client": ("test", 1), "server": ("test", 80),
    }

    async def leave() -> None:
        await app(scope, receive, send)
        # A generator that was left in the middle is closed by the loop.
        await asyncio.get_running_loop().shutdown_asyncgens()

    asyncio.run(leave())
    assert sent[0]["status"] == 200
    page = TestClient(app).get("/metrics").text
    assert sum(samples(page, "dynamo_frontend_cancelled_requests_total")) == 1
    assert samples(page, "dynamo_frontend_inflight_requests") == [0]
    assert 0 < samples(page, "dynamo_frontend_output_tokens_total")[0] < 1_000_000


def test_connections_of_asyncio_are_requests_however_they_end() -> None:
    with Program([sys.executable, str(EXAMPLES / "asyncio_server.py")], "system", "requests") as program:
        host, port = program.urls["requests"].removeprefix("http://").split(":")

        def page() -> str:
            return fetch(program.urls["system"] + "/metrics")[1]

        def talk(prompt: bytes) -> bytes:
            with socket.create_connection((host, int(port)), timeout=60) as client, client.makefile("rb") as answer:
                client.sendall(prompt)
                return answer.readline() if prompt == b"forever\n" else answer.read()

        assert talk(b"one two three\n") == b"three\ntwo\none\n"
        assert talk(b"forever\n") == b"forever\n"
        done = "dynamo_component_request_duration_seconds_count"
        eventually(lambda: samples(page(), done) == [2], page)
        now = page()
        assert samples(now, "dynamo_component_inflight_requests") == [0]
        assert samples(now, "dynamo_component_decoding") == [0]
        assert samples(now, "dynamo_component_words_total", 'kind="prompt"') == [4]
        assert samples(now, "dynamo_component_prefill_seconds_count") == [2]
        assert samples(now, "dynamo_component_errors_total", 'error_type="publish_response"') == [1]
        assert samples(now, "dynamo_component_errors_total", 'error_type="generate"') == [0]
        assert program.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_processes_of_every_start_method_are_on_one_page(method: str, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "processes.py"), method, "0"]
    with Program(command, "metrics", PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) as program:

        def page() -> str:
            return fetch(program.urls["metrics"] + "/metrics")[1]

        eventually(lambda: samples(page(), "steps_total") == [10_000.0] * 4, page)
        eventually(lambda: sum(samples(page(), "running_ranks")) == 0, page)


def test_the_program_of_many_processes_explains_its_arguments() -> None:
    command = [sys.executable, str(EXAMPLES / "processes.py")]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert "forkserver" in helped.stdout and "port" in helped.stdout
    refused = subprocess.run([*command, "thread"], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2 and "invalid choice: 'thread'" in refused.stderr


def test_the_lines_for_a_dynamo_worker_are_those_of_the_example() -> None:
    section = (EXAMPLES.parent / "README.md").read_text().split("\n## Beside a real Dynamo worker\n")[1]
    shown = [line.strip() for line in section.split("```python\n")[1].split("```")[0].splitlines() if line]
    run = [line.strip() for line in (EXAMPLES / "dynamo_worker.py").read_text().splitlines()]
    assert len(shown) == 10 and all(line in run for line in shown), shown
