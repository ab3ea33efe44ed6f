"""The worker of Python behind the program's frontend: requests, and both pages."""

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from running import COMMAND, Program, eventually, fetch, samples

import dynamo_metrics.demo_worker

MODEL = "qwen"
FRONTEND = [COMMAND, "frontend", "--http-port", "0"]
WORKER = [sys.executable, "-m", "dynamo_metrics", "worker", "--model", MODEL]


def test_requests_move_the_metrics_of_both_pages() -> None:
    with Program(FRONTEND, "frontend") as front:
        frontend = front.urls["frontend"]
        with Program([*WORKER, "--token-time-ms", "1", "--frontend", frontend], "system", "joined") as worker:
            system = worker.urls["system"]
            for tokens in (5, 7):
                body = {"model": MODEL, "prompt": "Hello", "max_tokens": tokens}
                status, answer = fetch(frontend + "/v1/completions", body)
                assert status == 200 and "word " * tokens in answer
            status, chunks = fetch(
                frontend + "/v1/chat/completions",
                {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "stream": True},
            )
            assert status == 200 and chunks.count('"content":"word "') == 3

            page = fetch(frontend + "/metrics")[1]
            assert samples(page, "dynamo_frontend_output_tokens_total", f'model="{MODEL}"') == [15]
            assert sum(samples(page, "dynamo_frontend_requests_total", 'status="success"')) == 3
            assert samples(page, "dynamo_frontend_model_context_length") == [40_960]
            assert sum(samples(page, "dynamo_frontend_inflight_requests")) == 0

            # The worker ends a request after its last line, which the client may have before.
            done = "dynamo_component_request_duration_seconds_count"
            eventually(lambda: samples(fetch(system + "/metrics")[1], done) == [3], lambda: fetch(system + "/metrics")[1])
            status, page = fetch(system + "/metrics")
            place = 'dynamo_namespace="dynamo",dynamo_component="backend"'
            assert samples(page, "dynamo_component_requests_total", place, f'model="{MODEL}"') == [3]
            assert samples(page, "dynamo_component_errors_total") == [0] * 6
            assert samples(page, "dynamo_component_response_bytes_total")[0] > 0
            assert samples(page, "dynamo_component_kvstats_total_blocks", place) == [16_384]
            assert samples(page, "dynamo_component_kvstats_active_blocks", place) == [0]
            assert samples(page, "dynamo_component_tokens_total", place, 'kind="output"') == [15]
            assert samples(page, "dynamo_component_step_seconds_count", place) == [15]
            assert samples(page, "vllm:num_requests_running") == [0]
            assert fetch(system + "/health")[0] == 200
            assert system.removeprefix("http://") in fetch(frontend + "/sd")[1]

            assert worker.stop(signal.SIGTERM) == 0
            assert worker.stderr.count("Traceback") == 0
        # It has left; nothing waits for its silence.
        assert samples(fetch(frontend + "/metrics")[1], "dynamo_frontend_model_ready", f'model="{MODEL}"') == [0]
        assert fetch(frontend + "/v1/completions", {"model": MODEL, "prompt": "Hello"})[0] == 503
        assert front.stop(signal.SIGINT) == 0


def test_a_worker_joins_a_frontend_that_comes_later_and_needs_its_token() -> None:
    with Program(FRONTEND, "frontend") as front:
        port = front.urls["frontend"].rsplit(":", 1)[1]
        front.stop(signal.SIGTERM)
    with Program([*WORKER, "--frontend", f"http://127.0.0.1:{port}"], "requests", DYN_METRICS_WORKER_TOKEN="secret") as worker:
        eventually(lambda: "trying again" in worker.stderr, lambda: worker.stderr)
        arguments = [COMMAND, "frontend", "--http-port", port, "--worker-token", "secret"]
        with Program(arguments, "frontend") as front:
            models = front.urls["frontend"] + "/v1/models"
            eventually(lambda: MODEL in fetch(models)[1], lambda: fetch(models)[1])
            assert worker.stop(signal.SIGINT) == 0
        assert "Traceback" not in worker.stderr


def test_a_client_that_leaves_is_an_error_of_the_answer_and_no_block_stays_taken() -> None:
    with Program(FRONTEND, "frontend") as front:
        frontend = front.urls["frontend"]
        with Program([*WORKER, "--token-time-ms", "5", "--frontend", frontend], "system", "joined") as worker:
            leave_after_first_chunk(frontend + "/v1/completions")

            def page() -> str:
                return fetch(worker.urls["system"] + "/metrics")[1]

            left = "dynamo_component_errors_total"
            eventually(lambda: samples(page(), left, 'error_type="publish_response"') == [1], page)
            eventually(lambda: samples(page(), "dynamo_component_inflight_requests") == [0], page)
            assert samples(page(), "dynamo_component_kvstats_active_blocks") == [0]
            assert samples(page(), "vllm:num_requests_running") == [0]
            assert samples(page(), left, 'error_type="generate"') == [0]


def leave_after_first_chunk(url: str) -> None:
    body = {"model": MODEL, "prompt": "Hello", "max_tokens": 10_000, "stream": True}
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.readline().startswith(b"data: ")


def test_it_is_short_enough_to_copy() -> None:
    assert len(Path(dynamo_metrics.demo_worker.__file__).read_text().splitlines()) < 100


def test_a_missing_package_is_named_with_the_remedy() -> None:
    # As where it is not installed: an entry of None makes the import fail.
    program = "import sys, runpy; sys.modules['prometheus_client'] = None; sys.argv[1:] = ['worker']; "
    program += "runpy.run_module('dynamo_metrics', run_name='__main__')"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert "needs prometheus_client: pip install 'dynamo-metrics[demo]'" in run.stderr
