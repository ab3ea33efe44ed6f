"""Pages over ASGI."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from .exposition import _bake_output
from .registry import REGISTRY, Collector

_Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
_Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]


def make_asgi_app(
    registry: Collector = REGISTRY, disable_compression: bool = False
) -> Callable[..., Coroutine[Any, Any, None]]:
    """Returns an ASGI application that answers each path with the page."""

    async def app(scope: dict[str, Any], receive: _Receive, send: _Send) -> None:
        if scope.get("type") != "http":
            raise ValueError(f"the metrics are served over HTTP, and not over {scope.get('type')}")

        def header(wanted: bytes) -> str:
            return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name.lower() == wanted)

        params = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        status, headers, body = _bake_output(
            registry, header(b"accept"), header(b"accept-encoding"), params, disable_compression
        )
        if (await receive()).get("type") == "http.request":
            encoded = [(name.encode(), value.encode()) for name, value in headers]
            start = {"type": "http.response.start", "status": int(status.split(" ")[0]), "headers": encoded}
            await send(start)
            await send({"type": "http.response.body", "body": body})

    return app
