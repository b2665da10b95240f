"""What a registry says of a replica."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.waiting import eventually

if TYPE_CHECKING:
    from anyserve._core import Registry


def find(registry: Registry, replica_id: str) -> dict[str, Any] | None:
    """The replica, if it is there."""
    return next((replica for replica in registry.replicas() if replica["replica_id"] == replica_id), None)


def types(registry: Registry, replica_id: str) -> set[str] | None:
    """The types of capabilities that it offers, if it is there."""
    replica = find(registry, replica_id)
    return None if replica is None else {capability["type"] for capability in replica["capabilities"]}


def offers(registry: Registry, replica_id: str, *expected: str) -> None:
    """Waits until it offers just these types."""
    eventually(lambda: types(registry, replica_id) == set(expected), f"{replica_id} offers {expected}")


def is_gone(registry: Registry, replica_id: str) -> None:
    """Waits until it is not there."""
    eventually(lambda: find(registry, replica_id) is None, f"{replica_id} is gone")
