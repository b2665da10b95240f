"""Fleets for tests: an API server, and whoever registers there."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.api_server.process import ApiServer
from tests.fleet.members import Members
from tests.fleet.process import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server of the test's own."""
    with ApiServer() as api:
        yield api


@pytest.fixture
def fleet(api: ApiServer) -> Iterator[Fleet]:
    """A fleet that registers there."""
    with ExitStack() as stack:
        yield Fleet(stack, "--api-server", api.url)


@pytest.fixture
def members(fleet: Fleet, tmp_path: Path) -> Members:
    """Replicas of it that all serve the same."""
    return Members(fleet, tmp_path)
