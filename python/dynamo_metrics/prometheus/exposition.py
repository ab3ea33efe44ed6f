"""Pages over WSGI, HTTP and in files, and the choice of their format."""

import gzip
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from functools import partial
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlparse
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from .escaping import ALLOWUTF8, SCHEMES, UNDERSCORES
from .gateway import (
    basic_auth_handler,
    default_handler,
    delete_from_gateway,
    instance_ip_grouping_key,
    passthrough_redirect_handler,
    push_to_gateway,
    pushadd_to_gateway,
    tls_auth_handler,
)
from .openmetrics import exposition as openmetrics
from .registry import REGISTRY, Collector
from .text import CONTENT_TYPE_LATEST, CONTENT_TYPE_PLAIN_0_0_4, CONTENT_TYPE_PLAIN_1_0_0, generate_latest
from .utils import parse_version

__all__ = [
    "CONTENT_TYPE_LATEST",
    "CONTENT_TYPE_PLAIN_0_0_4",
    "CONTENT_TYPE_PLAIN_1_0_0",
    "MetricsHandler",
    "basic_auth_handler",
    "choose_encoder",
    "default_handler",
    "delete_from_gateway",
    "generate_latest",
    "gzip_accepted",
    "instance_ip_grouping_key",
    "make_asgi_app",
    "make_wsgi_app",
    "passthrough_redirect_handler",
    "push_to_gateway",
    "pushadd_to_gateway",
    "start_http_server",
    "start_wsgi_server",
    "tls_auth_handler",
    "write_to_textfile",
]

_Headers: TypeAlias = list[tuple[str, str]]
_Encoder: TypeAlias = Callable[[Collector], bytes]

_ALLOW = ("Allow", "OPTIONS,GET")


def choose_encoder(accept_header: str | None) -> tuple[_Encoder, str]:
    """Returns the encoder of the first format in the header that there is, and its content type."""
    for item in (accept_header or "").split(","):
        media, *rest = (part.strip() for part in item.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        version = parameters.get("version", "")
        escaping = parameters.get("escaping", UNDERSCORES)
        escaping = escaping if escaping in SCHEMES else UNDERSCORES
        if media == "application/openmetrics-text":
            if not version:
                return openmetrics.generate_latest, openmetrics.CONTENT_TYPE_LATEST
            if major := _major(version):
                version = f"{min(major, 2)}.0.0"
                encoder = partial(openmetrics.generate_latest, escaping=escaping, version=version)
                return encoder, f"{media}; version={version}; charset=utf-8; escaping={escaping}"
        elif media == "text/plain" and _major(version):
            return partial(generate_latest, escaping=escaping), f"{CONTENT_TYPE_LATEST}; escaping={escaping}"
    return generate_latest, CONTENT_TYPE_PLAIN_0_0_4


def _major(version: str) -> int:
    major = parse_version(version)[0]
    return major if isinstance(major, int) else 0


def gzip_accepted(accept_encoding_header: str | None) -> bool:
    """Tells whether a scraper takes gzip."""
    return any(item.split(";")[0].strip().lower() == "gzip" for item in (accept_encoding_header or "").split(","))


def _bake_output(
    registry: Any,
    accept_header: str | None,
    accept_encoding_header: str | None,
    params: dict[str, list[str]],
    disable_compression: bool,
) -> tuple[str, _Headers, bytes]:
    """Returns the status, the headers and the body of a scrape."""
    encoder, content_type = choose_encoder(accept_header)
    if names := params.get("name[]"):
        registry = registry.restricted_registry(names)
    body = encoder(registry)
    headers = [("Content-Type", content_type)]
    if not disable_compression and gzip_accepted(accept_encoding_header):
        body = gzip.compress(body)
        headers.append(("Content-Encoding", "gzip"))
    return "200 OK", headers, body


def make_wsgi_app(registry: Collector = REGISTRY, disable_compression: bool = False) -> Callable[..., Any]:
    """Returns a WSGI application that answers each path with the page."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        headers: _Headers = []
        status, body = "200 OK", b""
        if method == "OPTIONS":
            headers = [_ALLOW]
        elif method != "GET":
            status, headers = "405 Method Not Allowed", [_ALLOW]
            body = f"# HTTP {status}: {method}; use OPTIONS or GET\n".encode()
        elif environ["PATH_INFO"] != "/favicon.ico":
            status, headers, body = _bake_output(
                registry,
                environ.get("HTTP_ACCEPT"),
                environ.get("HTTP_ACCEPT_ENCODING"),
                parse_qs(environ.get("QUERY_STRING", "")),
                disable_compression,
            )
        start_response(status, headers)
        return [body]

    return app


class MetricsHandler(BaseHTTPRequestHandler):
    """Answers GET with the page; for servers of `http.server`."""

    registry: Collector = REGISTRY

    def do_GET(self) -> None:
        """Writes the page."""
        params = parse_qs(urlparse(self.path).query)
        accept, coding = self.headers.get("Accept"), self.headers.get("Accept-Encoding")
        status, headers, body = _bake_output(self.registry, accept, coding, params, False)
        self.send_response(int(status.split(" ")[0]))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""

    @classmethod
    def factory(cls, registry: Collector) -> type:
        """Returns a handler of this registry."""
        return type(cls.__name__, (cls,), {"registry": registry})


class ThreadingWSGIServer(ThreadingMixIn, WSGIServer):
    """Answers each connection on a thread of its own, where also TLS begins: a client that sends nothing delays no other one."""

    daemon_threads = True

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answers the requests of a connection."""
        if isinstance(request, ssl.SSLSocket):
            try:
                request.do_handshake()
            except OSError:
                return  # a client that has no TLS or no certificate, or is gone
        super().finish_request(request, client_address)


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""


def start_wsgi_server(
    port: int,
    addr: str = "0.0.0.0",
    registry: Collector = REGISTRY,
    certfile: str | None = None,
    keyfile: str | None = None,
    client_cafile: str | None = None,
    client_capath: str | None = None,
    protocol: int = ssl.PROTOCOL_TLS_SERVER,
    client_auth_required: bool = False,
    tls_min_version: ssl.TLSVersion | None = None,
    tls_max_version: ssl.TLSVersion | None = None,
) -> tuple[WSGIServer, threading.Thread]:
    """Serves the page from threads of this interpreter, over TLS where a certificate and a key are given.

    `DistributedRuntime.serve` has the server for a port that also answers while the interpreter is busy.
    """
    context = None
    if certfile and keyfile:
        context = _context(certfile, keyfile, protocol, client_cafile, client_capath)
        if client_auth_required:
            context.verify_mode = ssl.CERT_REQUIRED
        if tls_min_version is not None:
            context.minimum_version = tls_min_version
        if tls_max_version is not None:
            context.maximum_version = tls_max_version
    kinds = socket.getaddrinfo(addr, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = kinds[0]
    server_class = type("_Server", (ThreadingWSGIServer,), {"address_family": family})
    server: WSGIServer = make_server(str(address[0]), port, make_wsgi_app(registry), server_class, _SilentHandler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    return server, thread


start_http_server = start_wsgi_server


def _context(
    certfile: str, keyfile: str, protocol: int, client_cafile: str | None, client_capath: str | None
) -> ssl.SSLContext:
    """Returns the certificates of a server; an error names the files that could not be loaded."""
    context = ssl.SSLContext(protocol)
    files = f"the certificate {certfile!r} or its key {keyfile!r}"
    try:
        context.load_cert_chain(certfile, keyfile)
        files = f"the certificates of clients in {client_cafile!r} or {client_capath!r}"
        if client_cafile is not None or client_capath is not None:
            context.load_verify_locations(client_cafile, client_capath)
        else:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    except OSError as error:
        raise type(error)(error.errno, f"cannot load {files}: {error.strerror}") from error
    return context


def write_to_textfile(
    path: str, registry: Collector, escaping: str = ALLOWUTF8, tmpdir: str | None = None
) -> None:
    """Writes the page to a file at once, for a collector of text files. `tmpdir` must be on the same file system."""
    folder = tmpdir if tmpdir is not None else os.path.dirname(path)
    name = f"{os.path.basename(path)}.{os.getpid()}.{threading.get_ident()}"
    temporary = os.path.join(folder, name)
    try:
        with open(temporary, "wb") as file:
            file.write(generate_latest(registry, escaping))
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


from .asgi import make_asgi_app  # noqa: E402  # it reads this module
