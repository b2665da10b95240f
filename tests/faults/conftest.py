"""Agents of many pools for these tests."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.faults.fleet import Fleet, Folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.faults.fleet import Pool


class Start(Protocol):
    """Writes the configuration and starts an agent of it."""

    def __call__(self, pools: Mapping[str, Pool], *arguments: str, ready: bool = True, **sections: Any) -> Fleet: ...


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Where the test steers the workers from."""
    return Folder(tmp_path)


@pytest.fixture
def start(folder: Folder) -> Iterator[Start]:
    """Starts agents; all are gone when the test ends."""
    with ExitStack() as stack:

        def start(pools: Mapping[str, Pool], *arguments: str, ready: bool = True, **sections: Any) -> Fleet:
            folder.configure(pools, **sections)
            fleet = stack.enter_context(Fleet(folder, *arguments))
            if ready:
                fleet.wait_ready()
            return fleet

        yield start
