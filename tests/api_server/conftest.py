"""API servers for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from tests.api_server.process import ApiServer


class StartApiServer(Protocol):
    """Starts an API server."""

    def __call__(self, *arguments: str, port: int = 0) -> ApiServer: ...


@pytest.fixture
def start_api() -> Iterator[StartApiServer]:
    """Starts API servers of this test's own."""
    with ExitStack() as stack:
        yield lambda *arguments, port=0: stack.enter_context(ApiServer(*arguments, port=port))


@pytest.fixture(scope="module")
def shared_api() -> Iterator[ApiServer]:
    """One for all tests of a module."""
    with ApiServer() as server:
        yield server


@pytest.fixture
def api(shared_api: ApiServer) -> Iterator[ApiServer]:
    """The module's, without replicas."""
    yield shared_api
    for replica_id in shared_api.ids():
        shared_api.http.delete(f"/replicas/{replica_id}")
