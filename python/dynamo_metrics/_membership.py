"""A worker's place behind `dynamo-metrics frontend`: it joins, reports its figures, and leaves."""

import contextlib
import json
import os
import secrets
import sys
import threading
import urllib.request
from collections.abc import Callable, Mapping

# From one report to the next; the frontend takes a worker for dead that is silent for 3 s.
REPORT_SECONDS = 0.25
# To the next try where the frontend is away.
RETRY_SECONDS = 1.0


def keep(frontend: str, card: Mapping[str, object], stats: Callable[[], object], stopped: threading.Event) -> None:
    """Joins the frontend with this card, again whenever it forgets the worker, and leaves when `stopped` is set."""
    number, joined = secrets.randbits(53), False
    while not stopped.is_set():
        try:
            if joined:
                _send(frontend, "POST", f"/{number}/stats", stats())
            else:
                _send(frontend, "POST", "", {**card, "instance_id": number, "stats": stats()})
                print(f"joined   {frontend} as {number}", flush=True)
            joined = True
            stopped.wait(REPORT_SECONDS)
        except OSError as error:
            joined = False
            print(f"{frontend}: {error}; trying again in {RETRY_SECONDS} s", file=sys.stderr)
            stopped.wait(RETRY_SECONDS)
    # A frontend that is away drops silent workers by itself.
    with contextlib.suppress(OSError):
        _send(frontend, "DELETE", f"/{number}", None)


def _send(frontend: str, method: str, path: str, value: object) -> None:
    url, token = f"{frontend}/internal/workers{path}", os.environ.get("DYN_METRICS_WORKER_TOKEN", "")
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, json.dumps(value).encode(), headers, method=method)
    urllib.request.urlopen(request, timeout=5).close()
