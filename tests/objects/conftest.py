"""An agent whose workers do what the tests say; tests that leave it as it is share it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest
from anyserve import Client

from tests.objects.remote import APP, Agent, Remote
from tests.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Serve


class Start(Protocol):
    """Starts an agent with these options."""

    def __call__(self, *arguments: str) -> Agent: ...


@pytest.fixture(scope="package")
def shared() -> Iterator[Client]:
    """A client of an agent that many tests share."""
    with Server(APP) as server, Client(server.wait_ready().address) as client:
        yield client


@pytest.fixture
def one(shared: Client) -> Remote:
    """A worker of the shared agent."""
    return Remote(shared.infer, "one")


@pytest.fixture
def two(shared: Client) -> Remote:
    """Another worker of the shared agent."""
    return Remote(shared.infer, "two")


@pytest.fixture
def start(serve: Serve) -> Iterator[Start]:
    """Starts agents of this test's own; all are gone when it ends."""
    with ExitStack() as stack:

        def start(*arguments: str) -> Agent:
            server = serve(APP, *arguments)
            return Agent(server, stack.enter_context(Client(server.address)))

        yield start


@pytest.fixture
def small(start: Start) -> Agent:
    """An agent whose store is soon full."""
    return start("--object-store-size", "64MiB")
