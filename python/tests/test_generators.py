"""Decorated generators: whatever a caller sends or throws reaches the generator, as without the decorator."""

import asyncio
import types
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from dynamo_metrics import DistributedRuntime
from dynamo_metrics import prometheus as swap


def decorators() -> list[Callable[[Any], Any]]:
    """Returns every decorator of the package."""
    metrics, registry = DistributedRuntime().metrics, swap.CollectorRegistry()
    gauge = swap.Gauge("gauge", "Gauge.", registry=registry)
    return [
        metrics.create_histogram("seconds", "Seconds.").time(),
        metrics.create_intgauge("inflight", "In progress.").track_inprogress(),
        swap.Histogram("histogram", "Seconds.", registry=registry).time(),
        swap.Summary("summary", "Seconds.", registry=registry).time(),
        gauge.time(),
        gauge.track_inprogress(),
        swap.Counter("counter", "Exceptions.", registry=registry).count_exceptions(),
    ]


@pytest.fixture(params=range(len(decorators())))
def decorate(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    decorator: Callable[[Any], Any] = decorators()[request.param]
    return decorator


def steps(seen: list[object]) -> tuple[Callable[[], Generator[str, object, None]], Any]:
    """Returns a generator function of each kind that notes what reaches it."""

    def plain() -> Generator[str, object, None]:
        try:
            seen.append((yield "first"))
            try:
                yield "second"
            except KeyError as error:
                seen.append(error)
            yield "third"
        finally:
            seen.append("closed")

    async def awaits() -> AsyncGenerator[str, object]:
        try:
            seen.append((yield "first"))
            try:
                yield "second"
            except KeyError as error:
                seen.append(error)
            await asyncio.sleep(0)
            yield "third"
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    return plain, awaits


def test_values_and_exceptions_reach_a_decorated_generator(decorate: Callable[[Any], Any]) -> None:
    seen: list[object] = []
    thrown = KeyError("thrown")

    async def drive_async(generator: AsyncGenerator[str, object]) -> None:
        assert await anext(generator) == "first"
        assert await generator.asend("sent") == "second"
        assert await generator.athrow(thrown) == "third"
        await generator.aclose()

    def drive(generator: Generator[str, object, None]) -> None:
        assert next(generator) == "first"
        assert generator.send("sent") == "second"
        assert generator.throw(thrown) == "third"
        generator.close()

    plain, awaits = steps(seen)
    drive(decorate(plain)())
    assert seen == ["sent", thrown, "closed"]
    seen.clear()
    asyncio.run(drive_async(decorate(awaits)()))
    assert seen == ["sent", thrown, "closed"]


def test_a_transaction_of_a_decorated_generator_is_rolled_back(decorate: Callable[[Any], Any]) -> None:
    seen: list[str] = []

    @asynccontextmanager
    @decorate
    async def transaction(swallows: bool) -> AsyncGenerator[str, None]:
        try:
            yield "open"
        except ValueError:
            await asyncio.sleep(0)
            seen.append("rolled back")
            if not swallows:
                raise
        else:
            seen.append("committed")

    @contextmanager
    @decorate
    def plain() -> Generator[str, None, None]:
        try:
            yield "open"
        except ValueError:
            seen.append("rolled back")
            raise

    async def use(swallows: bool, error: BaseException | None) -> None:
        async with transaction(swallows) as opened:
            assert opened == "open"
            if error is not None:
                raise error

    asyncio.run(use(False, None))
    asyncio.run(use(True, ValueError("swallowed")))
    with pytest.raises(ValueError, match="bad") as raised:
        asyncio.run(use(False, ValueError("bad")))
    assert raised.value.__context__ is None
    # Those that end a generator in a way of its own.
    for error in (StopAsyncIteration("ended"), GeneratorExit("ended")):
        with pytest.raises(type(error), match="ended"):
            asyncio.run(use(False, error))
    with pytest.raises(ValueError, match="bad"), plain():
        raise ValueError("bad")
    assert seen == ["committed", "rolled back", "rolled back", "rolled back"]


def test_an_error_after_one_that_was_handled_has_no_context(decorate: Callable[[Any], Any]) -> None:
    @decorate
    async def chunks() -> AsyncGenerator[int, None]:
        try:
            yield 1
        except KeyError:
            pass
        raise ValueError("later")

    async def drive() -> None:
        generator = chunks()
        await anext(generator)
        await generator.athrow(KeyError("handled"))

    with pytest.raises(ValueError, match="later") as raised:
        asyncio.run(drive())
    assert raised.value.__context__ is None


def test_the_end_of_a_loop_closes_a_decorated_generator(decorate: Callable[[Any], Any]) -> None:
    seen: list[object] = []
    _, awaits = steps(seen)

    async def leave() -> None:
        async for _ in decorate(awaits)():
            break
        for _ in range(8):  # the loop closes it in a task of its own
            await asyncio.sleep(0)

    asyncio.run(leave())
    assert seen == ["closed"]


def test_exceptions_that_leave_an_async_generator_are_counted_and_those_it_handles_are_not() -> None:
    counter = swap.Counter("failures", "Failures.", registry=swap.CollectorRegistry())

    @counter.count_exceptions(KeyError)
    async def chunks(handles: bool) -> AsyncGenerator[int, None]:
        try:
            yield 1
        except KeyError:
            if not handles:
                raise
        yield 2

    async def drive(handles: bool) -> None:
        generator = chunks(handles)
        await anext(generator)
        assert await generator.athrow(KeyError("thrown")) == 2

    asyncio.run(drive(True))
    assert counter._value.get() == 0
    with pytest.raises(KeyError):
        asyncio.run(drive(False))
    assert counter._value.get() == 1


def test_what_a_decorated_generator_based_coroutine_returns_can_be_awaited(decorate: Callable[[Any], Any]) -> None:
    @decorate
    @types.coroutine
    def twice(value: int) -> Generator[None, None, int]:
        yield
        return 2 * value

    async def run() -> int:
        six: int = await twice(3)
        return six

    assert asyncio.run(run()) == 6
