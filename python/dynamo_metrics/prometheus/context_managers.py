"""Blocks that are timed, counted or watched: context managers, and decorators of functions, coroutines and generators."""

import inspect
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol, TypeVar

from .._timing import _Guard as Guard

F = TypeVar("F", bound=Any)


class _Increments(Protocol):
    def inc(self) -> None: ...


class _Moves(_Increments, Protocol):
    def dec(self) -> None: ...


class _Guard(Guard):
    def __call__(self, function: F) -> F:
        """Decorates a function, which keeps its signature."""
        wrapper = super().__call__(function)
        try:
            wrapper.__signature__ = inspect.signature(function)
        except (TypeError, ValueError):
            pass  # a built-in function that has none
        return wrapper


class ExceptionCounter(_Guard):
    """Counts the blocks that end by an exception of these classes."""

    def __init__(
        self, counter: _Increments, exception: type[BaseException] | tuple[type[BaseException], ...]
    ) -> None:
        self._counter = counter
        self._exception = exception

    def _block(self) -> "ExceptionCounter":
        return self

    def __enter__(self) -> "ExceptionCounter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(value, self._exception):
            self._counter.inc()


class InprogressTracker(_Guard):
    """Counts the blocks in progress."""

    def __init__(self, gauge: _Moves) -> None:
        self._gauge = gauge

    def _block(self) -> "InprogressTracker":
        return self

    def __enter__(self) -> "InprogressTracker":
        self._gauge.inc()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._gauge.dec()


class Timer(_Guard):
    """Records the seconds of a block, however it ends; `labels` within the block chooses the series."""

    def __init__(self, metric: Any, callback_name: str) -> None:
        self._metric = metric
        self._callback_name = callback_name
        self._start = 0.0
        self.duration: float | None = None

    def _block(self) -> "Timer":
        return Timer(self._metric, self._callback_name)

    def __enter__(self) -> "Timer":
        self._start = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.duration = perf_counter() - self._start
        getattr(self._metric, self._callback_name)(self.duration)

    def labels(self, *labelvalues: object, **labelkwargs: object) -> None:
        """Sets the label values of the series that takes the seconds."""
        self._metric = self._metric.labels(*labelvalues, **labelkwargs)
