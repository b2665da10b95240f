"""What clients say to arguments that do not go together."""

from __future__ import annotations

from typing import Any

import pytest
from anyserve import AsyncClient, Client
from anyserve.errors import CapabilityError

API = "http://127.0.0.1:9"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"endpoint": "localhost:1", "api_server": API}, "not endpoint and api_server"),
        ({"api_server": API, "registry": "memory:"}, "not api_server and registry"),
        ({"api_server": "localhost:8080"}, "'localhost:8080' is not http://HOST:PORT"),
        ({"api_server": f"{API},ftp://x:1"}, "'ftp://x:1' is not http://HOST:PORT"),
        ({"registry": "zookeeper://x:1"}, "it must be"),
        ({"api_server": API, "policy": "random"}, "'random' is not known; there are power_of_two, round_robin"),
        ({"api_server": API, "policy": "consistent_hash"}, "needs hash_on: 'parameter:NAME' or 'header:NAME'"),
        ({"api_server": API, "hash_on": "parameter:x"}, "for policy consistent_hash, not for power_of_two"),
        ({"api_server": API, "policy": "consistent_hash", "hash_on": "x"}, "'x' is neither 'parameter:NAME'"),
        ({"endpoint": "localhost:1", "policy": "round_robin"}, "give api_server"),
        ({"retry_on_failure": True}, "give api_server"),
    ],
)
def test_arguments_that_do_not_go_together(kind: type[Client], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**arguments)


@pytest.mark.parametrize("place", [{"api_server": API}, {"endpoint": "localhost:1"}])
def test_a_capability_is_checked_at_once(place: dict[str, Any]) -> None:
    with pytest.raises(CapabilityError, match="key '1'"):
        Client(**place, capability={"1": "x"})


@pytest.mark.parametrize("headers", [{"bad name": "x"}, {"grpc-timeout": "1S"}, {"x": "line\nbreak"}])
def test_headers_that_cannot_be_sent_are_named(headers: dict[str, str]) -> None:
    with Client("localhost:1") as client, pytest.raises(ValueError, match=f"header '{next(iter(headers))}' cannot"):
        client.infer("echo", headers=headers)
