"""What the tests share: a way to start servers that always ends them, and rendezvous with handlers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest
from anyserve import Client

from tests.gate import Gate
from tests.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class Serve(Protocol):
    """Starts a server and waits until it is ready."""

    def __call__(
        self, target: str, *arguments: str, environment: Mapping[str, str] | None = None, ready: bool = True
    ) -> Server: ...


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers of this test's own; all are gone when it ends."""
    with ExitStack() as stack:

        def start(
            target: str, *arguments: str, environment: Mapping[str, str] | None = None, ready: bool = True
        ) -> Server:
            server = stack.enter_context(Server(target, *arguments, environment=environment))
            return server.wait_ready() if ready else server

        yield start


@pytest.fixture(scope="session")
def basic() -> Iterator[Server]:
    """A server of examples/basic, for tests that leave it as it is."""
    with Server("examples.basic.app:app") as server:
        yield server.wait_ready()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of the test module's own ``server``."""
    with Client(server.address) as client:
        yield client


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A rendezvous with a handler of tests.apps.gated."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()
