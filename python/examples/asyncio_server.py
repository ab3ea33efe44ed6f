"""A worker of plain asyncio: a connection is a request, its first line the prompt, and each token a line of the answer.

    python asyncio_server.py    # prints both addresses

Metrics of its own are timers and guards around coroutines and generators; the system port needs no event loop.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator

from dynamo_metrics import DistributedRuntime

LINE_BYTES_MAX = 65_536

runtime = DistributedRuntime()
component = runtime.namespace("default").component("asyncio")
endpoint = component.endpoint("generate")
handler = endpoint.serve({"model": "qwen"})
words = endpoint.metrics.create_intcountervec("words_total", "Words of prompts and answers.", ["kind"])
prefill = endpoint.metrics.create_histogram("prefill_seconds", "Time until the first token, in seconds.")
decoding = endpoint.metrics.create_intgauge("decoding", "Answers that are being generated.")


@prefill.time()
async def read_prompt(reader: asyncio.StreamReader) -> list[str]:
    prompt = (await reader.readline()).decode().split()
    words.labels("prompt").inc_by(len(prompt))
    return prompt


@decoding.track_inprogress()
async def answer(prompt: list[str]) -> AsyncGenerator[str, None]:
    """Says the prompt backwards, once a millisecond; goes on for ever where that is `forever`."""
    said = words.labels("answer")
    while prompt:
        await asyncio.sleep(0.001)
        said.inc()
        yield prompt[-1] if prompt == ["forever"] else prompt.pop()


async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with handler.begin(0) as request:
        try:
            async with contextlib.aclosing(answer(await read_prompt(reader))) as tokens:
                async for token in tokens:
                    line = token.encode() + b"\n"
                    writer.write(line)
                    await writer.drain()  # raises when the client has left
                    request.response_bytes(len(line))
        except ConnectionError:
            request.error("publish_response")
        finally:
            writer.close()


async def main() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = await asyncio.start_server(connection, "127.0.0.1", 0, limit=LINE_BYTES_MAX)
    with runtime.serve(0, "127.0.0.1") as system:
        host, port = server.sockets[0].getsockname()
        print(f"system   {system.url}/metrics\nrequests http://{host}:{port}", flush=True)
        async with server:
            await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
