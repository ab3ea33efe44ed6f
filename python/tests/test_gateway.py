"""Pushes to a Pushgateway, beside those of `prometheus_client`."""

from typing import Any

import prometheus_client as theirs
import pytest

from dynamo_metrics import prometheus as ours


@pytest.mark.parametrize("push", ["push_to_gateway", "pushadd_to_gateway"])
def test_a_push_without_a_registry_is_that_of_the_global_one(push: str) -> None:
    def pushed(package: Any, registry: Any) -> bytes:
        sent: list[bytes] = []

        def handler(**request: Any) -> Any:
            return lambda: sent.append(request["data"])

        getattr(package, push)("gateway:9091", "job", registry, handler=handler)
        return sent[0]

    assert b"python_info{" in pushed(theirs, None)
    assert b"python_info{" in pushed(ours, None)
    # A registry that is false as a condition is one, too.
    empty = type("Empty", (ours.CollectorRegistry,), {"__len__": lambda self: 0})()
    assert pushed(ours, empty) == b""


def test_a_deletion_has_no_body() -> None:
    sent: list[dict[str, Any]] = []

    def handler(**request: Any) -> Any:
        return lambda: sent.append(request)

    ours.delete_from_gateway("gateway:9091", "job", handler=handler)
    assert (sent[0]["method"], sent[0]["data"]) == ("DELETE", b"")
