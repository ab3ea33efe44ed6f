"""Pushes to a Pushgateway."""

import base64
import gzip
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias
from urllib.error import HTTPError
from urllib.parse import quote_plus, urlparse
from urllib.request import BaseHandler, HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from .registry import REGISTRY, Collector
from .text import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

_TIMEOUT_SECONDS = 30
# Redirects that ask for the same request elsewhere, by its method.
_REDIRECTS = {"GET": (301, 302, 303, 307), "HEAD": (301, 302, 303, 307), "POST": (301, 302, 303), "PUT": (301, 302, 303)}

_Headers: TypeAlias = list[tuple[str, str]]
_Compression: TypeAlias = Literal["gzip", "snappy"] | None


class _SameRequest(HTTPRedirectHandler):
    """Repeats a request where it is redirected to, with its method and body."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request:
        method = req.get_method()
        if code not in _REDIRECTS.get(method, ()):
            raise HTTPError(req.full_url, code, msg, headers, fp)
        return Request(
            newurl.replace(" ", "%20"),
            data=req.data,
            headers=dict(req.header_items()),
            origin_req_host=req.origin_req_host,
            unverifiable=True,
            method=method,
        )


def _request(
    url: str,
    method: str,
    timeout: float | None,
    headers: Sequence[tuple[str, str]],
    data: bytes,
    handler: BaseHandler | type[BaseHandler],
) -> Callable[[], None]:
    def handle() -> None:
        request = Request(url, data=data, headers=dict(headers), method=method)
        # Without a timeout `None` would mean the default, so the argument is always given.
        with build_opener(handler).open(request, timeout=timeout) as answer:
            if answer.status >= 400:
                raise OSError(f"the Pushgateway at {url} answered {answer.status} {answer.reason}")

    return handle


def default_handler(
    url: str, method: str, timeout: float | None, headers: _Headers, data: bytes
) -> Callable[[], None]:
    """Returns a function that sends a request; own handlers may change its arguments and call this one."""
    return _request(url, method, timeout, headers, data, HTTPHandler)


def passthrough_redirect_handler(
    url: str, method: str, timeout: float | None, headers: _Headers, data: bytes
) -> Callable[[], None]:
    """Returns a function that sends a request, and repeats it wherever the answer redirects to. For gateways that are trusted."""
    return _request(url, method, timeout, headers, data, _SameRequest)


def basic_auth_handler(
    url: str,
    method: str,
    timeout: float | None,
    headers: _Headers,
    data: bytes,
    username: str | None = None,
    password: str | None = None,
) -> Callable[[], None]:
    """Returns a function that sends a request with this user's name and password."""
    if username is not None and password is not None:
        token = base64.b64encode(f"{username}:{password}".encode()).decode()
        headers = [*headers, ("Authorization", f"Basic {token}")]
    return default_handler(url, method, timeout, headers, data)


def tls_auth_handler(
    url: str,
    method: str,
    timeout: float | None,
    headers: _Headers,
    data: bytes,
    certfile: str,
    keyfile: str,
    cafile: str | None = None,
    protocol: int = ssl.PROTOCOL_TLS_CLIENT,
    insecure_skip_verify: bool = False,
) -> Callable[[], None]:
    """Returns a function that sends a request with a client certificate."""
    context = ssl.SSLContext(protocol)
    if cafile is not None:
        context.load_verify_locations(cafile)
    else:
        context.load_default_certs()
    if insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certfile, keyfile)
    return _request(url, method, timeout, headers, data, HTTPSHandler(context=context))


def push_to_gateway(
    gateway: str,
    job: str,
    registry: Collector | None,
    grouping_key: dict[str, Any] | None = None,
    timeout: float | None = _TIMEOUT_SECONDS,
    handler: Callable[..., Callable[[], None]] = default_handler,
    compression: _Compression = None,
) -> None:
    """Replaces all metrics of the job and grouping key by those of the registry, `REGISTRY` for `None`."""
    _push("PUT", gateway, job, registry, grouping_key, timeout, handler, compression)


def pushadd_to_gateway(
    gateway: str,
    job: str,
    registry: Collector | None,
    grouping_key: dict[str, Any] | None = None,
    timeout: float | None = _TIMEOUT_SECONDS,
    handler: Callable[..., Callable[[], None]] = default_handler,
    compression: _Compression = None,
) -> None:
    """Replaces those metrics of the job and grouping key that the registry, `REGISTRY` for `None`, has, too."""
    _push("POST", gateway, job, registry, grouping_key, timeout, handler, compression)


def delete_from_gateway(
    gateway: str,
    job: str,
    grouping_key: dict[str, Any] | None = None,
    timeout: float | None = _TIMEOUT_SECONDS,
    handler: Callable[..., Callable[[], None]] = default_handler,
) -> None:
    """Deletes the metrics of the job and grouping key."""
    _push("DELETE", gateway, job, None, grouping_key, timeout, handler, None)


def instance_ip_grouping_key() -> dict[str, str]:
    """Returns a grouping key with this host's address as the instance."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("localhost", 0))
        return {"instance": probe.getsockname()[0]}


def _push(
    method: str,
    gateway: str,
    job: str,
    registry: Collector | None,
    grouping_key: dict[str, Any] | None,
    timeout: float | None,
    handler: Callable[..., Callable[[], None]],
    compression: _Compression,
) -> None:
    if urlparse(gateway).scheme not in ("http", "https"):
        gateway = f"http://{gateway}"
    groups = [("job", job), *sorted((grouping_key or {}).items())]
    url = gateway.rstrip("/") + "/metrics" + "".join(_path(str(name), str(value)) for name, value in groups)
    headers = [("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)]
    data = b"" if method == "DELETE" else generate_latest(REGISTRY if registry is None else registry)
    if compression is not None:
        data = _compress(data, compression)
        headers.append(("Content-Encoding", compression.lower()))
    handler(url=url, method=method, timeout=timeout, headers=headers, data=data)()


def _path(name: str, value: str) -> str:
    if not value:
        return f"/{name}@base64/="
    if "/" in value or " " in value:
        return f"/{name}@base64/{base64.urlsafe_b64encode(value.encode()).decode()}"
    return f"/{name}/{quote_plus(value)}"


def _compress(data: bytes, compression: str) -> bytes:
    if compression.lower() == "gzip":
        return gzip.compress(data)
    if compression.lower() != "snappy":
        raise ValueError(f"Unsupported compression type: {compression!r} is neither gzip nor snappy")
    try:
        import snappy  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise RuntimeError("snappy needs the package python-snappy: install it, or use gzip") from error
    compressor = snappy.StreamCompressor()
    compressed: bytes = compressor.compress(data)
    flush = getattr(compressor, "flush", None)
    return compressed + flush() if callable(flush) else compressed
