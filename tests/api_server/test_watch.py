"""Those who watch the fleet change."""

from __future__ import annotations

import json
import socket

from tests.api_server.conftest import StartApiServer
from tests.api_server.process import ApiServer
from tests.waiting import eventually


def test_a_snapshot_and_then_the_changes(api: ApiServer) -> None:
    api.put("a", {"type": "x"}, incarnation=1)
    with api.events("GET", "/watch") as events:
        name, data = events.next()
        replica = {
            "replica_id": "a",
            "endpoint": "127.0.0.1:9",
            "incarnation": 1,
            "capabilities": [{"type": "x"}],
        }
        assert name == "snapshot"
        assert data["complete"] is True
        assert [{key: got[key] for key in replica} for got in data["replicas"]] == [replica]
        api.put("b", {"type": "y"}, incarnation=2)
        name, data = events.next()
        assert name == "put"
        assert (data["replica_id"], data["capabilities"]) == ("b", [{"type": "y"}])
        # A renewal is no change.
        api.put("b", {"type": "y"}, incarnation=2)
        api.put("b", {"type": "z"}, incarnation=2)
        assert events.next()[1]["capabilities"] == [{"type": "z"}]
        api.http.delete("/replicas/a")
        assert events.next() == ("gone", {"replica_id": "a"})
        assert api.metric("anyserve_api_watchers") == 1
    eventually(lambda: api.metric("anyserve_api_watchers") == 0, "nobody watches")


def test_a_stream_says_that_it_is_alive(api: ApiServer) -> None:
    with api.events("GET", "/watch") as events:
        events.next()
        with socket.create_connection((api.host, api.port), timeout=30) as raw:
            raw.sendall(b"GET /watch HTTP/1.1\r\nhost: x\r\n\r\n")
            received = b""
            while b"\r\n:\n\n\r\n" not in received:
                received += raw.recv(65536)


def test_there_are_only_so_many(start_api: StartApiServer) -> None:
    api = start_api("--max-watchers", "1")
    with api.events("GET", "/watch") as events:
        events.next()
        refused = api.http.get("/watch")
        assert refused.status_code == 503
        assert "--max-watchers" in refused.json()["error"]
        assert refused.headers["retry-after"]
    eventually(lambda: api.metric("anyserve_api_watchers") == 0, "nobody watches")
    with api.events("GET", "/watch") as events:
        events.next()


def test_a_server_that_has_just_started_does_not_say_that_replicas_are_gone(start_api: StartApiServer) -> None:
    api = start_api("--settle-time", "1.5")
    with api.events("GET", "/watch") as events:
        name, data = events.next()
        assert (name, data) == ("snapshot", {"replicas": [], "complete": False})
        api.put("a", {"type": "x"})
        assert events.next()[0] == "put"
        name, data = events.next()
        assert name == "snapshot"
        assert data["complete"] is True
        assert [replica["replica_id"] for replica in data["replicas"]] == ["a"]


def test_a_reader_that_is_too_slow_is_told_to_start_again(start_api: StartApiServer) -> None:
    api = start_api()
    large = [{"type": f"t{number}", "text": "x" * 250} for number in range(1000)]
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(60)
        raw.connect((api.host, api.port))
        raw.sendall(b"GET /watch HTTP/1.1\r\nhost: x\r\n\r\n")
        eventually(lambda: api.metric("anyserve_api_watchers") == 1, "it watches")
        # Enough to fill what the kernel takes, and then what the server keeps for a reader.
        for number in range(20):
            api.put("a", *large, {"number": number}, incarnation=1)
        body = {"endpoint": "127.0.0.1:9", "incarnation": 1}
        for number in range(4200):
            text = json.dumps({**body, "capabilities": [{"number": number}]})
            assert api.http.put("/replicas/b", content=text).status_code == 200
        received = b""
        while piece := raw.recv(1 << 20):
            received = received[-4096:] + piece
            if received.endswith(b"0\r\n\r\n"):
                break
        assert b"event: overrun" in received
        assert b"connect again" in received
