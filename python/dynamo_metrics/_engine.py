"""Engines and canaries: the page of a registry, and the thread that calls a callback.

A registry is one of `dynamo_metrics.prometheus`, or of `prometheus_client`, which is imported only then.
"""

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from . import prometheus
from ._native import Answers, _shared_directory


def reader(registry: Any) -> Callable[[], bytes]:
    """Returns a function that returns the registry's page; with the values of all processes in multiprocess mode."""
    if isinstance(registry, prometheus.CollectorRegistry):
        return partial(_read, registry)
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    def read() -> bytes:
        if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            return generate_latest(registry)
        everything = CollectorRegistry()
        MultiProcessCollector(everything)  # type: ignore[no-untyped-call]
        return generate_latest(everything)

    return read


def _read(registry: prometheus.CollectorRegistry) -> bytes:
    if (directory := _shared_directory()) is None:
        return prometheus.generate_latest(registry)
    everything = prometheus.CollectorRegistry()
    prometheus.multiprocess.MultiProcessCollector(everything, directory)
    return prometheus.generate_latest(everything)


def probe(send: Callable[[], object]) -> Callable[[], str]:
    """Returns a canary as a callback without a text; it raises where the answer is not a good one."""

    def probe_once() -> str:
        if send() is False:
            raise RuntimeError("the canary returned False")
        return ""

    return probe_once


def start(name: str, callback: Callable[[], str | bytes], requests: int, answers: Answers) -> None:
    """Starts the thread that calls `callback` once for each byte 1 of `requests`, a descriptor, until another one or the end."""
    thread = threading.Thread(
        target=answer, name=f"dynamo_metrics {name}", args=(callback, requests, answers), daemon=True
    )
    try:
        thread.start()
    except RuntimeError:
        os.close(requests)
        raise


def answer(callback: Callable[[], str | bytes], requests: int, answers: Answers) -> None:
    """Gives one answer for each request."""
    while os.read(requests, 1) == b"\x01":
        try:
            text = callback()
            if isinstance(text, str):
                answers.text(text.encode())
            elif isinstance(text, bytes):
                answers.text(text)
            else:
                answers.failed(f"the callback returned {type(text)}, not str or bytes")
        except BaseException as error:
            answers.failed(_described(error).encode(errors="replace").decode())
    os.close(requests)


def _described(error: BaseException) -> str:
    """Returns the class and the text of an exception; one whose text raises must not end the thread."""
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:
        return f"{type.__getattribute__(type(error), '__name__')}, whose text raises an exception"
