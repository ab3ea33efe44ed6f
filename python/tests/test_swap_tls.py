"""Pages over TLS: clients that hold a connection, and files that cannot be loaded."""

import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from dynamo_metrics import prometheus as ours


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Returns a certificate of this machine and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run(["openssl", *make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def test_a_client_that_begins_no_tls_delays_no_other_one(files: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    registry = ours.CollectorRegistry()
    ours.Counter("c", "C.", registry=registry).inc()
    server, thread = ours.start_http_server(0, "127.0.0.1", registry, *files)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = ("127.0.0.1", server.server_port)
    try:
        # Connections are accepted in their order: the silent one, the one without TLS, the scrape.
        with socket.create_connection(address), socket.create_connection(address) as plain:
            plain.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            with urlopen(f"https://127.0.0.1:{address[1]}/metrics", timeout=20, context=context) as answer:
                assert b"c_total 1.0\n" in answer.read()
            assert b"200 OK" not in plain.recv(1000)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert capfd.readouterr().err == ""


def test_a_file_that_cannot_be_loaded_is_named_and_leaves_the_port_free(files: tuple[str, str]) -> None:
    registry = ours.CollectorRegistry()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(FileNotFoundError, match="absent.pem") as certificate:
        ours.start_http_server(port, "127.0.0.1", registry, "absent.pem", "absent.pem")
    with pytest.raises(FileNotFoundError, match="clients.pem") as clients:
        ours.start_http_server(port, "127.0.0.1", registry, *files, client_cafile="clients.pem")
    assert certificate.value.errno == clients.value.errno == 2
    with pytest.raises(ssl.SSLError, match="cannot load the certificate .*key.pem"):
        ours.start_http_server(port, "127.0.0.1", registry, files[1], files[1])
    # The errors hold their frames, and no listener in one of them.
    server, thread = ours.start_http_server(port, "127.0.0.1", registry)
    server.shutdown()
    server.server_close()
    thread.join()
