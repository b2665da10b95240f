"""An agent whose workers call each other as the tests say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyserve import Client

from tests.objects.remote import Remote
from tests.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = "tests.calls.apps.callers:app"


@pytest.fixture(scope="package")
def callers() -> Iterator[Server]:
    """The agent that tests share which leave it as it is."""
    with Server(APP) as server:
        yield server.wait_ready()


@pytest.fixture(scope="package")
def shared(callers: Server) -> Iterator[Client]:
    """A client of it."""
    with Client(callers.address) as client:
        yield client


@pytest.fixture
def one(shared: Client) -> Remote:
    """A worker with one handler at a time."""
    return Remote(shared.infer, "one")


@pytest.fixture
def loop(shared: Client) -> Remote:
    """A worker whose handlers are coroutines."""
    return Remote(shared.infer, "loop")
