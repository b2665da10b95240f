"""What the tests of replicas share: an etcd, and the registry in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from anyserve._core import Registry

from tests.replicas.etcd import Etcd, is_installed
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    """An empty etcd."""
    if not is_installed() and not os.environ.get("CI"):
        pytest.skip("there is no etcd; tests/install_tools.sh installs it")
    with Etcd(tmp_path) as etcd:
        yield etcd


@pytest.fixture
def fleet(etcd: Etcd) -> Registry:
    """The registry in it, as an API server sees it."""
    registry = Registry(etcd.url)
    eventually(registry.is_connected, "the registry is followed")
    return registry
