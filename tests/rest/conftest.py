"""What the tests of REST share: a server, and ways to talk to it by hand."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = "tests.rest.apps.all:app"


@pytest.fixture(scope="package")
def rest() -> Iterator[Server]:
    """A server for tests that leave it as it is."""
    with Server(
        APP, "--workers", "2", "--http-port", "0", "--allow-client-shm", "--max-message-size", "4MiB"
    ) as server:
        yield server.wait_ready()


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """The body, which is JSON."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """Why it was refused."""
        [(name, message)] = self.json().items()
        assert name == "error"
        return str(message)


def call(
    server: Server, method: str, path: str, body: bytes | dict[str, Any] | None = None, headers: Any = None
) -> Reply:
    """One request on a connection of its own."""
    with closing(http.client.HTTPConnection(server.host, server.http_port, timeout=60)) as connection:
        sent = json.dumps(body) if isinstance(body, dict) else body
        connection.request(method, path, sent, headers or {})
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())


def infer(server: Server, model: str, headers: Any = None, **members: Any) -> Reply:
    """An infer request of JSON."""
    return call(server, "POST", f"/v2/models/{model}/infer", {"inputs": [], **members}, headers)


def connect(server: Server) -> socket.socket:
    """A plain connection."""
    return socket.create_connection((server.host, server.http_port), timeout=60)


def read_all(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection, however it ends."""
    pieces = []
    try:
        while piece := connection.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)
