"""Replicas that are registered for as long as their connection."""

from __future__ import annotations

import pytest

from tests.api_server.conftest import StartApiServer
from tests.api_server.process import ApiServer


def test_a_replica_is_there_while_its_connection_is(api: ApiServer) -> None:
    with api.register("a", {"type": "x"}) as events:
        name, data = events.next()
        assert name == "registered"
        assert data["replica_id"] == "a"
        api.wait_ids("a", type="x")
        assert api.metric("anyserve_api_registration_streams") == 1
    api.wait_ids()
    assert api.metric("anyserve_api_registration_streams") == 0


def test_it_outlives_its_lease(start_api: StartApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # The comment comes after 5 s and the lease is renewed then too: three of them are a lease's time.
    api = start_api()
    with api.register("a", {"type": "x"}) as events, api.events("GET", "/watch") as watch:
        events.next()
        name, data = watch.next()
        assert name == "snapshot"
        if not data["replicas"]:
            assert watch.next()[0] == "put"
        with api.register("b", {"type": "x"}):
            assert watch.next()[0] == "put"
        assert watch.next() == ("gone", {"replica_id": "b"})
        assert api.ids() == ["a"]


def test_the_later_connection_wins_and_the_earlier_is_told(api: ApiServer) -> None:
    with api.register("a", {"type": "x"}, endpoint="one:1") as earlier:
        earlier.next()
        with api.register("a", {"type": "x"}, endpoint="two:2") as later:
            later.next()
            name, data = earlier.next()
            assert name == "superseded"
            assert "two:2" in data["error"]
            assert earlier.ended()
            assert api.route(type="x").json()["endpoint"] == "two:2"
        api.wait_ids()


def test_the_end_of_the_earlier_connection_takes_nothing_of_the_later(api: ApiServer) -> None:
    with api.register("a", {"type": "x"}, incarnation=7) as later:
        with api.register("a", {"type": "x"}, incarnation=7) as again:
            again.next()
            later.next()
            assert later.next()[0] == "superseded"
        api.wait_ids()
    with api.register("a", {"type": "x"}, incarnation=7) as one:
        one.next()
        with api.register("a", {"type": "x"}, incarnation=8) as two:
            two.next()
            assert one.next()[0] == "superseded"
            assert one.ended()
            assert api.http.get("/replicas").json()["replicas"][0]["incarnation"] == 8


def test_a_lease_supersedes_a_connection(api: ApiServer) -> None:
    with api.register("a", {"type": "x"}, incarnation=7) as events:
        events.next()
        assert api.put("a", {"type": "x"}, incarnation=8, endpoint="two:2").status_code == 200
        name, data = events.next()
        assert name == "superseded"
        assert "two:2" in data["error"]
    assert api.ids() == ["a"]


def test_an_earlier_incarnation_is_refused(api: ApiServer) -> None:
    api.put("a", {"type": "x"}, incarnation=8, endpoint="two:2")
    body = {"replica_id": "a", "endpoint": "one:1", "incarnation": 7, "capabilities": []}
    answer = api.http.post("/register", json=body)
    assert answer.status_code == 409
    assert "two:2" in answer.json()["error"]


def test_whoever_is_deleted_is_told(api: ApiServer) -> None:
    with api.register("a", {"type": "x"}) as events:
        events.next()
        api.wait_ids("a")
        assert api.http.delete("/replicas/a").status_code == 204
        name, data = events.next()
        assert name == "removed"
        assert "'a'" in data["error"]
        assert events.ended()


def test_streams_end_when_the_server_stops(start_api: StartApiServer) -> None:
    api = start_api()
    with api.register("a", {"type": "x"}) as events, api.events("GET", "/watch") as watch:
        events.next()
        watch.next()
        assert api.stop() == 0
        assert events.ended()


def test_there_are_only_so_many(start_api: StartApiServer) -> None:
    api = start_api("--max-replicas", "2")
    assert api.put("a", {"type": "x"}).status_code == 200
    with api.register("b", {"type": "x"}):
        api.wait_ids("a", "b")
        refused = api.put("c", {"type": "x"})
        assert refused.status_code == 429
        assert "--max-replicas" in refused.json()["error"]
        # Those that are there stay, and may change.
        assert api.put("a", {"type": "y"}).status_code == 200
    api.wait_ids("a")
    assert api.put("c", {"type": "x"}).status_code == 200
