"""Which replica a request goes to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.discovery.fleet import Load
from tests.waiting import eventually

if TYPE_CHECKING:
    from anyserve import Client

    from tests.conftest import Serve
    from tests.discovery.fleet import Fleet
    from tests.gate import Gate


def names(client: Client, count: int, **options: Any) -> list[str]:
    return [client.infer("again", **options)["replica"][0].decode() for _ in range(count)]


def test_round_robin_alternates(two: Fleet) -> None:
    seen = names(two.client(policy="round_robin"), 10)
    assert seen in (["a", "b"] * 5, ["b", "a"] * 5)


@pytest.mark.parametrize("policy", ["power_of_two", "least_outstanding"])
def test_idle_replicas_share(two: Fleet, policy: str) -> None:
    counts = Counter(names(two.client(policy=policy), 200))
    assert min(counts["a"], counts["b"]) > 60, counts


@pytest.mark.parametrize("policy", ["power_of_two", "least_outstanding"])
def test_a_replica_that_is_busy_gets_less(two: Fleet, policy: str, gate: Gate) -> None:
    client = two.client(policy=policy)
    with Load(client, "once", threads=1, parameters=gate.parameters):
        gate.wait_entered()
        busy = client.replica_id
        assert busy not in names(client, 50)
        gate.open()


@pytest.mark.parametrize("where", ["parameter", "header"])
def test_requests_of_one_key_go_to_one_replica(two: Fleet, where: str) -> None:
    client, other = (two.client(policy="consistent_hash", hash_on=f"{where}:session") for _ in range(2))
    options = "parameters" if where == "parameter" else "headers"
    homes = {}
    for number in range(20):
        key = {options: {"session": f"s{number}"}}
        (homes[number],) = set(names(client, 5, **key)) | set(names(other, 1, **key))
    assert set(homes.values()) == {"a", "b"}
    assert len(set(names(client, 50))) == 2, "requests without a key may go anywhere"


def test_a_replica_that_cannot_be_reached_costs_no_request(fleet: Fleet) -> None:
    fleet.start("a")
    # Nobody is there.
    fleet.api.put("ghost", {"type": "again"}, endpoint="127.0.0.1:9")
    for policy in ("power_of_two", "round_robin", "least_outstanding"):
        client = fleet.client(policy=policy)
        assert set(names(client, 50)) == {"a"}


def test_a_replica_that_comes_gets_its_share(fleet: Fleet) -> None:
    fleet.start("a")
    with Load(fleet.client(), "again") as load:
        load.wait_more()
        fleet.start("b")
        load.wait_more(200, replica="b")
        before = load.counts.copy()
        load.wait_more(500)
        more = load.counts - before
        assert more["b"] > more.total() / 4, more
    assert not load.errors


def test_a_replica_that_does_not_serve_it_any_more_costs_no_request(fleet: Fleet, serve: Serve) -> None:
    fleet.start("a", extra="special")
    # The registry says so, and is wrong; that one knows nobody to ask.
    fleet.api.put("stale", {"type": "special"}, endpoint=serve("examples.basic.app:app").address)
    client = fleet.client(policy="round_robin")
    eventually(lambda: len(fleet.api.ids(type="special")) == 2, "both are there")
    assert {client.infer("special")["replica"][0] for _ in range(20)} == {b"a"}
