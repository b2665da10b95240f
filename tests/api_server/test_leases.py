"""Replicas that are registered for a time."""

from __future__ import annotations

import time

from tests.api_server.process import ApiServer
from tests.waiting import eventually


def test_a_replica_is_found_by_what_it_offers(api: ApiServer) -> None:
    answer = api.put("a", {"type": "chat", "model": "m", "size": 7})
    assert answer.status_code == 200, answer.text
    assert answer.json()["lease_seconds"] == 3600
    assert api.route(type="chat").json() == {"replica_id": "a", "endpoint": "127.0.0.1:9"}
    assert api.route(model="m", size="7").status_code == 200
    assert api.route(type="other").status_code == 404
    (replica,) = api.http.get("/replicas").json()["replicas"]
    assert replica["capabilities"] == [{"model": "m", "size": "7", "type": "chat"}]


def test_a_lease_is_15_seconds_unless_it_says_else(api: ApiServer) -> None:
    answer = api.http.put("/replicas/a", json={"endpoint": "h:1", "capabilities": []})
    assert answer.json()["lease_seconds"] == 15


def test_a_lease_ends(api: ApiServer) -> None:
    api.put("a", {"type": "x"}, lease_seconds=1)
    assert api.ids() == ["a"]
    api.wait_ids()


def test_a_lease_is_renewed_and_keeps_its_incarnation(api: ApiServer) -> None:
    first = api.put("a", {"type": "x"}, lease_seconds=2).json()
    for _ in range(4):
        time.sleep(0.75)
        assert api.put("a", {"type": "x"}, lease_seconds=2).json() == first
    assert api.ids() == ["a"]


def test_what_a_replica_offers_changes(api: ApiServer) -> None:
    api.put("a", {"type": "x"})
    api.put("a", {"type": "y"})
    assert api.ids(type="x") == []
    assert api.ids(type="y") == ["a"]
    # It drains: it is there, and takes nothing.
    api.put("a")
    assert api.ids() == ["a"]
    assert api.route(type="y").status_code == 404


def test_the_later_of_two_with_one_id_wins_and_the_earlier_is_told(api: ApiServer) -> None:
    assert api.put("a", {"type": "x"}, incarnation=5, endpoint="one:1").status_code == 200
    assert api.put("a", {"type": "x"}, incarnation=6, endpoint="two:2").status_code == 200
    refused = api.put("a", {"type": "x"}, incarnation=5, endpoint="one:1")
    assert refused.status_code == 409
    assert "two:2" in refused.json()["error"]
    assert api.route(type="x").json()["endpoint"] == "two:2"


def test_without_an_incarnation_another_endpoint_is_a_later_replica(api: ApiServer) -> None:
    first = api.put("a", {"type": "x"}, endpoint="one:1").json()["incarnation"]
    eventually(lambda: api.ids() == ["a"], "it is known")
    second = api.put("a", {"type": "x"}, endpoint="two:2").json()["incarnation"]
    assert second > first
    assert api.put("a", {"type": "x"}, endpoint="one:1", incarnation=first).status_code == 409


def test_deleting(api: ApiServer) -> None:
    incarnation = api.put("a", {"type": "x"}).json()["incarnation"]
    early = api.http.delete("/replicas/a", params={"incarnation": incarnation - 1})
    assert early.status_code == 404
    assert str(incarnation - 1) in early.json()["error"]
    assert api.http.delete("/replicas/a", params={"incarnation": incarnation}).status_code == 204
    assert api.ids() == []
    assert api.http.delete("/replicas/a").status_code == 404


def test_routes_take_turns(api: ApiServer) -> None:
    for replica_id in "abc":
        api.put(replica_id, {"type": "x"})
    found = [api.route(type="x").json()["replica_id"] for _ in range(9)]
    assert sorted(found) == ["a", "a", "a", "b", "b", "b", "c", "c", "c"]


def test_what_is_not_there_is_told_with_what_is(api: ApiServer) -> None:
    api.put("a", *({"type": f"t{number}"} for number in range(8)))
    answer = api.route(type="chat", model="llama")
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert "{model: llama, type: chat}" in error
    assert error.count("{type: t") == 5


def test_the_whole_registry(api: ApiServer) -> None:
    api.put("b", {"type": "x"})
    api.put("a", {"type": "y"})
    state = api.http.get("/registry").json()
    assert (state["registry"], state["connected"], state["complete"]) == ("memory:", True, True)
    assert [replica["replica_id"] for replica in state["replicas"]] == ["a", "b"]
