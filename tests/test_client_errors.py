"""What a client raises when something is wrong, with the reason and the right class."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from anyserve import AnyserveError, AsyncClient, Client
from anyserve.errors import DeadlineExceededError, RequestError, UnavailableError

from tests.background import Background

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Serve
    from tests.gate import Gate


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def silence() -> Iterator[str]:
    """An address that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def website() -> Iterator[str]:
    """The address of a web server."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_that_is_not_there_is_unavailable_and_named(nowhere: str) -> None:
    with Client(nowhere) as client:
        for call in (lambda: client.infer("echo"), client.is_ready, lambda: client.is_ready("echo")):
            with pytest.raises(UnavailableError, match=f"cannot reach {nowhere}: .*refused") as failure:
                call()
            assert isinstance(failure.value, ConnectionError)
            assert isinstance(failure.value, AnyserveError)


async def test_a_server_that_is_not_there_is_unavailable_to_asyncio(nowhere: str) -> None:
    async with AsyncClient(nowhere) as client:
        with pytest.raises(UnavailableError, match=f"cannot reach {nowhere}"):
            await client.infer("echo")


def test_a_host_that_is_not_known_is_unavailable_and_named() -> None:
    with (
        Client("nothing.invalid:80") as client,
        pytest.raises(UnavailableError, match=r"cannot reach nothing\.invalid"),
    ):
        client.infer("echo")


def test_a_server_that_says_nothing_is_out_of_time(silence: str) -> None:
    with Client(silence) as client:
        with pytest.raises(DeadlineExceededError, match="300ms") as failure:
            client.infer("echo", timeout=0.3)
        assert isinstance(failure.value, TimeoutError)
        with pytest.raises(DeadlineExceededError):
            client.is_ready(timeout=0.1)


def test_a_server_of_another_kind_is_a_request_error(website: str) -> None:
    with Client(website) as client, pytest.raises(RequestError):
        client.infer("echo", timeout=30)


def test_a_server_that_dies_with_the_request_is_unavailable(serve: Serve, gate: Gate) -> None:
    server = serve("tests.apps.gated:app")
    with Background(server.address) as background:
        running = background.infer("once", gate.parameters)
        gate.wait_entered()
        server.process.kill()
        with pytest.raises(UnavailableError, match=f"{server.address}"):
            running.result(60)


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "localhost",
        ":80",
        "localhost:",
        "localhost:http",
        "localhost:65536",
        "https://localhost:80",
        "a:1/b",
        "a b:1",
    ],
)
def test_an_endpoint_that_is_no_address_is_a_value_error_that_names_it(endpoint: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="is not HOST:PORT or http://HOST:PORT") as failure:
            kind(endpoint)
        assert f"'{endpoint}'" in str(failure.value)


@pytest.mark.parametrize(
    ("endpoint", "address"), [("http://localhost:80", "localhost:80"), ("[::1]:80", "[::1]:80"), ("a.b:1", "a.b:1")]
)
def test_an_endpoint_is_known_as_host_and_port(endpoint: str, address: str) -> None:
    assert Client(endpoint).endpoint == address


def test_the_default_endpoint() -> None:
    assert Client().endpoint == AsyncClient().endpoint == "localhost:8000"
