"""Programs of the package as processes, and a client of theirs."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

# Only a program that never answers takes so long.
PATIENCE = 60.0
# Beside the interpreter, as pip installs it.
COMMAND = str(Path(sys.executable).with_name("dynamo-metrics"))


class Program:
    """A process that prints its addresses; killed at the end of the block."""

    def __init__(self, arguments: list[str], *words: str, **environment: str) -> None:
        environment = {"DYN_SYSTEM_PORT": "0", "PYTHONUNBUFFERED": "1"} | environment
        self.process = subprocess.Popen(
            arguments, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self.urls: dict[str, str] = {}
        printed = ""
        while not set(words) <= set(self.urls):
            line = self.process.stdout.readline()
            assert line, f"{arguments} ended after {printed!r}: {self.process.stderr.read()}"
            printed += line
            if found := re.match(r"(\w+) +(https?://[^/\s]+)", line):
                self.urls[found[1]] = found[2]
        self.stderr = ""
        # A full pipe would stop the program.
        self._readers = [
            threading.Thread(target=self.process.stdout.read, daemon=True),
            threading.Thread(target=self._keep_stderr, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _keep_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr += line

    def stop(self, number: signal.Signals) -> int:
        """Sends a signal; returns the exit code, negative where the signal ended the process."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def __enter__(self) -> "Program":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)


def fetch(url: str, data: object = None) -> tuple[int, str]:
    """Returns status and body; sends `data` as JSON."""
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(page: str, name: str, *labels: str) -> list[float]:
    """Returns the values of the samples of this name that have each of these texts among their labels."""
    found = []
    for line in page.splitlines():
        if re.match(re.escape(name) + r"[{ ]", line) and all(label in line for label in labels):
            found.append(float(line.rsplit(" ", 1)[1]))
    return found


def eventually(holds: Callable[[], bool], what: Callable[[], str]) -> None:
    """Asks until `holds`; fails with `what` when it does not within a minute."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < PATIENCE, what()
        time.sleep(0.02)


def judge(program: str) -> str | None:
    """Returns the path of another project's program; None where it is not installed and not required."""
    found = shutil.which(program)
    assert found or os.environ.get("DYNAMO_METRICS_JUDGES") != "required", f"{program} is required and not installed"
    return found
