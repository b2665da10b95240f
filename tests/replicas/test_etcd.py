"""``anyserve._core.Registry`` in etcd: what API servers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from anyserve._core import Registry
from anyserve.errors import RegistryError, SupersededError

from tests.replicas.looking import find, is_gone, offers
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.replicas.etcd import Etcd


def replica(name: str, incarnation: int) -> dict[str, Any]:
    """A replica as it is put and as it comes back."""
    return {
        "replica_id": name,
        "endpoint": f"{name}:80",
        "incarnation": incarnation,
        "capabilities": [{"type": "echo"}],
    }


async def test_two_api_servers_know_the_same(etcd: Etcd, fleet: Registry) -> None:
    other = Registry(etcd.url)
    await other.put(replica("a", 2), 60)
    offers(fleet, "a", "echo")
    assert find(fleet, "a") == replica("a", 2)
    with pytest.raises(SupersededError) as caught:
        await fleet.put(replica("a", 1), 60)
    assert caught.value.by == "a:80 (incarnation 2)"
    assert await fleet.remove("a", 1) is False
    assert await fleet.remove("a", 2) is True
    is_gone(other, "a")


async def test_without_etcd_it_says_so_and_knows_what_it_knew(etcd: Etcd, fleet: Registry) -> None:
    await fleet.put(replica("a", 1), 60)
    offers(fleet, "a", "echo")
    etcd.kill()
    with pytest.raises(RegistryError, match=f"cannot reach the registry at 127.0.0.1:{etcd.port}"):
        await fleet.put(replica("b", 1), 60)
    eventually(lambda: not fleet.is_connected(), "it has noticed")
    assert fleet.route({"type": "echo"}) == {"endpoint": "a:80", "replica_id": "a"}
    etcd.restart()
    eventually(fleet.is_connected, "it follows again")
    await fleet.put(replica("b", 1), 60)
    offers(fleet, "b", "echo")
