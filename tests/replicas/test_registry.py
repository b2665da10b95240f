"""``anyserve._core.Registry`` in memory: what the API server is made of."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from anyserve._core import Registry
from anyserve.errors import CapabilityError, SupersededError

LONG = 60.0


def replica(name: str, incarnation: int = 1, *capabilities: dict[str, Any]) -> dict[str, Any]:
    """A replica as it is put and as it comes back."""
    offered = list(capabilities or ({"type": "echo"},))
    return {"replica_id": name, "endpoint": f"{name}:80", "incarnation": incarnation, "capabilities": offered}


@pytest.fixture
async def registry() -> Registry:
    """An empty registry that is followed."""
    registry = Registry("memory:")
    version, changes = await registry.changes(0)
    assert (version, changes) == (1, [{"snapshot": []}])
    assert registry.is_connected()
    return registry


async def test_what_was_put_is_there_at_once(registry: Registry) -> None:
    await registry.put(replica("a"), LONG)
    assert registry.replicas() == [replica("a")]
    assert registry.route({"type": "echo"}) == {"endpoint": "a:80", "replica_id": "a"}
    assert await registry.remove("a") is True
    assert await registry.remove("a") is False
    assert registry.route({"type": "echo"}) is None
    assert registry.snapshot() == (3, [])


async def test_what_is_idempotent_is_known(registry: Registry) -> None:
    safe = {**replica("a", 1, {"type": "add"}, {"type": "echo"}), "idempotent": [{"type": "echo"}]}
    await registry.put(safe, LONG)
    assert registry.replicas() == [safe]


async def test_routes_take_turns_and_leave_out_whom_they_are_told_to(registry: Registry) -> None:
    for name in "abc":
        await registry.put(replica(name, 1, {"Type": "echo", "n": 1.0}), LONG)

    def asked(exclude: list[str]) -> set[str]:
        routes = [registry.route({"type": "echo", "n": "1"}, exclude) for _ in range(6)]
        return {route["replica_id"] for route in routes if route}

    assert asked([]) == {"a", "b", "c"}
    assert asked(["a", "x"]) == {"b", "c"}
    assert asked(["a", "b", "c"]) == set()
    assert registry.replicas({"type": "chat"}) == []
    assert len(registry.replicas({"n": 1})) == 3


async def test_changes_are_told_in_order(registry: Registry) -> None:
    waiting = asyncio.ensure_future(registry.changes(1))
    await registry.put(replica("a"), LONG)
    assert await waiting == (2, [{"put": replica("a")}])
    await registry.put(replica("b"), LONG)
    await registry.remove("a")
    assert await registry.changes(2) == (4, [{"put": replica("b")}, {"gone": "a"}])
    assert await registry.changes(99) == (4, [{"snapshot": [replica("b")]}])


async def test_a_lease_ends(registry: Registry) -> None:
    await registry.put(replica("a"), 0.2)
    assert await registry.changes(2) == (3, [{"gone": "a"}])
    assert registry.replicas() == []


async def test_the_later_incarnation_has_the_id(registry: Registry) -> None:
    await registry.put(replica("a", 2), LONG)
    with pytest.raises(SupersededError, match="replica 'a' is superseded") as caught:
        await registry.put(replica("a", 1), LONG)
    assert caught.value.by == "a:80 (incarnation 2)"
    assert await registry.remove("a", 1) is False
    assert await registry.remove("a", 2) is True
    unnumbered = replica("b")
    del unnumbered["incarnation"]
    await registry.put(unnumbered, LONG)
    [there] = registry.replicas()
    assert there["incarnation"] > 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"replica_id": "a/b"}, "replica id 'a/b' is not allowed"),
        ({"replica_id": 1}, "'replica_id' of a replica must be a str"),
        ({"endpoint": "host"}, "endpoint 'host' is not HOST:PORT"),
        ({"incarnation": -1}, "'incarnation' of a replica must be an int"),
        ({"capabilities": "x"}, "'capabilities' of a replica must be a list of dicts"),
        ({"capabilities": [{}]}, "at least one key=value pair"),
        ({"capabilities": [{"type": None}]}, "must be a str, int, float or bool"),
        ({"capabilities": [{"n": i} for i in range(1025)]}, "1025 capabilities are over the limit of 1024"),
    ],
)
async def test_what_is_no_replica_is_named(registry: Registry, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        await registry.put({**replica("a"), **changed}, LONG)
    assert registry.replicas() == []


@pytest.mark.parametrize("missing", ["replica_id", "endpoint", "capabilities"])
async def test_what_is_missing_is_named(registry: Registry, missing: str) -> None:
    broken = replica("a")
    del broken[missing]
    with pytest.raises(ValueError, match=f"a replica needs '{missing}'"):
        await registry.put(broken, LONG)


@pytest.mark.parametrize("lease", [0.0, -1.0, float("nan"), float("inf")])
async def test_a_lease_is_a_time(registry: Registry, lease: float) -> None:
    with pytest.raises(ValueError, match="not a positive number of seconds"):
        await registry.put(replica("a"), lease)


async def test_bad_queries_and_urls_are_refused(registry: Registry) -> None:
    for call in (registry.route, registry.replicas, registry.explain_no_match):
        with pytest.raises(CapabilityError, match="at least one"):
            call({})
    assert registry.explain_no_match({"type": "x"}).startswith("no capability matches {type: x}")
    with pytest.raises(ValueError, match="is no registry: it must be") as caught:
        Registry("ftp://user:secret@host")
    assert "secret" not in str(caught.value)
