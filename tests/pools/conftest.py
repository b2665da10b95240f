"""What the tests of pools share: a way to start agents that always ends them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.pools.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class Start(Protocol):
    """Starts an agent of many pools and waits until it is ready."""

    def __call__(
        self,
        what: str | Mapping[str, Any],
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        ready: bool = True,
    ) -> Fleet: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts agents of this test's own, in folders that they share; all are gone when it ends."""
    with ExitStack() as stack:

        def start(
            what: str | Mapping[str, Any],
            *arguments: str,
            environment: Mapping[str, str] | None = None,
            ready: bool = True,
        ) -> Fleet:
            fleet = stack.enter_context(Fleet(tmp_path, what, *arguments, environment=environment))
            return fleet.wait_ready() if ready else fleet

        yield start
