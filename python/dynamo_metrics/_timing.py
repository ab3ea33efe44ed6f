"""Timers and guards of blocks, functions, coroutines and generators."""

import asyncio
import functools
import inspect
import types
from collections.abc import Callable
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


class _Observes(Protocol):
    def observe(self, value: float, /) -> None: ...


class _Moves(Protocol):
    def inc(self) -> None: ...

    def dec(self) -> None: ...


class _Guard:
    """A context manager that is a decorator, too: each call, and each generator, is a block of its own."""

    def _block(self) -> "_Guard":
        raise NotImplementedError

    def __enter__(self) -> "_Guard":
        raise NotImplementedError

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        raise NotImplementedError

    def __call__(self, function: F) -> F:
        """Decorates a function, a coroutine function, or a generator function of either kind."""
        wrapper: Callable[..., Any]
        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                generator = function(*args, **kwargs)
                with self._block():
                    # As `yield from` does in generators that are not async: all that the caller sends or throws goes to `generator`.
                    step = generator.asend(None)
                    while True:
                        try:
                            item = await step
                        except StopAsyncIteration:
                            return
                        try:
                            sent = yield item
                        except GeneratorExit:
                            await generator.aclose()
                            raise
                        except BaseException as error:
                            # Awaited outside this block: a later error of `generator` did not come about by this one.
                            step = generator.athrow(error)
                        else:
                            step = generator.asend(sent)

        elif inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self._block():
                    return await function(*args, **kwargs)

        elif inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self._block():
                    return (yield from function(*args, **kwargs))

            if _is_coroutine(function):
                wrapper = types.coroutine(wrapper)

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with self._block():
                    return function(*args, **kwargs)

        return cast(F, wrapper)


def _is_coroutine(generator: Callable[..., Any]) -> bool:
    """Tells whether what a generator function returns can be awaited, by `types.coroutine`."""
    code = getattr(inspect.unwrap(generator), "__code__", None)
    return code is not None and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


class Timer(_Guard):
    """Observes the seconds of each block, however it ends."""

    def __init__(self, histogram: _Observes) -> None:
        self._histogram = histogram
        self._started: list[float] = []

    def _block(self) -> "Timer":
        return Timer(self._histogram)

    def __enter__(self) -> "Timer":
        self._started.append(perf_counter())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._histogram.observe(perf_counter() - self._started.pop())


class InProgress(_Guard):
    """Counts the blocks in progress, however they end."""

    def __init__(self, gauge: _Moves) -> None:
        self._gauge = gauge

    def _block(self) -> "InProgress":
        return self

    def __enter__(self) -> "InProgress":
        self._gauge.inc()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._gauge.dec()


def is_cancellation(kind: type[BaseException]) -> bool:
    """Tells whether a block ends because its task is cancelled or its generator is closed."""
    return issubclass(kind, (asyncio.CancelledError, GeneratorExit))
