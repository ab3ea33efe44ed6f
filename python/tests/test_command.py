"""The program `dynamo-metrics`, as the wheel installs it: exit codes, signals, and other threads of its process."""

import array
import fcntl
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import IO

import pytest
from running import COMMAND, PATIENCE, Program, eventually, fetch, samples

from dynamo_metrics import __version__

FORMS = pytest.mark.parametrize("form", [[COMMAND], [sys.executable, "-m", "dynamo_metrics"]], ids=["script", "module"])


def run(arguments: list[str], stdin: str = "") -> tuple[int, str, str]:
    done = subprocess.run(arguments, input=stdin, capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr


@FORMS
def test_exit_codes_and_streams_are_those_of_the_program(form: list[str], tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("# TYPE a gauge\na 1\n")
    bad.write_text("# TYPE a gauge\na 1\na 1\n")
    assert run([*form, "check", str(good)]) == (0, f"{good}: ok, 1 families, 1 samples\n", "")
    code, out, _ = run([*form, "check", str(bad)])
    assert code == 1 and f"{bad}:3: error: " in out
    code, _, error = run([*form, "check", str(tmp_path / "absent")])
    assert code == 2 and "cannot be read" in error
    assert run([*form, "check", "-"], "a 1\n") == (0, "-: ok, 1 families, 1 samples\n", "")
    assert run([*form, "--version"]) == (0, f"dynamo-metrics {__version__}\n", "")
    code, out, error = run([*form, "perhaps"])
    assert (code, out) == (2, "") and "Usage: dynamo-metrics" in error
    code, _, error = run([*form, "replay", str(tmp_path / "absent")])
    assert code == 1 and error.startswith("dynamo-metrics: ")


@FORMS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_answers_until_a_signal_ends_it_with_success(form: list[str], number: signal.Signals) -> None:
    with Program([*form, "serve", "--http-port", "0", "--token-time-ms", "1"], "frontend", "worker") as serve:
        completions = serve.urls["frontend"] + "/v1/completions"
        status, _ = fetch(completions, {"model": "Qwen/Qwen3-0.6B", "prompt": "Hello", "max_tokens": 5})
        assert status == 200
        status, page = fetch(serve.urls["frontend"] + "/metrics")
        assert (status, samples(page, "dynamo_frontend_output_tokens_total")) == (200, [5])
        assert serve.stop(number) == 0
        assert "Traceback" not in serve.stderr


def test_a_command_that_listens_to_no_signal_ends_with_the_first() -> None:
    # It waits for its input, which never ends.
    # A shell may have started the tests with the signal ignored, and then it would stay ignored.
    listens = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        check = subprocess.Popen([COMMAND, "check", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    finally:
        signal.signal(signal.SIGINT, listens)
    with check:
        assert check.stdin is not None and check.stderr is not None
        stdin = check.stdin
        try:
            # Before the program reads, the signal would be Python's.
            stdin.write(b"a 1\n")
            eventually(lambda: unread(stdin) == 0, lambda: "it does not read its input")
            check.send_signal(signal.SIGINT)
            assert check.wait(PATIENCE) == -signal.SIGINT
            assert check.stderr.read() == b""
        finally:
            check.kill()


def unread(pipe: IO[bytes]) -> int:
    size = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, size)
    return size[0]


def test_other_threads_of_python_run_while_the_program_does() -> None:
    program = """
import os, signal, threading, urllib.request
from dynamo_metrics._native import _command
read, write = os.pipe()
os.dup2(write, 1)
def client():
    with os.fdopen(read) as printed:
        url = next(line.split()[1] for line in printed if line.startswith("frontend"))
    page = urllib.request.urlopen(url).read()
    os.write(2, b"answered" if b"dynamo_frontend_" in page else page)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=client).start()
code = _command(["dynamo-metrics", "frontend", "--http-port", "0"])
# A second call in a process is a run of its own.
assert _command(["dynamo-metrics", "check", "-"]) == 0
raise SystemExit(code)
"""
    code, _, error = run([sys.executable, "-c", program], "a 1\n")
    assert (code, error) == (0, "answered")
