"""A fleet: an API server, and replicas that register there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.api_server.process import ApiServer
from tests.discovery.fleet import Fleet


@pytest.fixture(scope="module")
def two() -> Iterator[Fleet]:
    """Replicas ``a`` and ``b``, for tests that leave them as they are."""
    with ExitStack() as stack:
        fleet = Fleet(stack, stack.enter_context(ApiServer()))
        fleet.start("a", "b")
        yield fleet


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """One of this test's own, without replicas yet."""
    with ExitStack() as stack:
        yield Fleet(stack, stack.enter_context(ApiServer()))
