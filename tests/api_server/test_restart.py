"""An API server that is killed, and comes back."""

from __future__ import annotations

import threading

import httpx
import pytest

from tests.api_server.conftest import StartApiServer
from tests.api_server.process import ApiServer


class Keeper:
    """Registers a replica by leases, again and again, as agents do."""

    def __init__(self, api: ApiServer, replica_id: str) -> None:
        self._api = api
        self._replica_id = replica_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            try:
                self._api.put(self._replica_id, {"type": "x"}, lease_seconds=2, incarnation=7)
            except httpx.HTTPError:
                # Nobody is there at the moment.
                continue


def test_what_was_known_comes_back_with_the_replicas(start_api: StartApiServer) -> None:
    first = start_api()
    with Keeper(first, "a"):
        first.wait_ids("a")
        first.kill()
        second = start_api(port=first.port)
        second.wait_ids("a", type="x")
        second.kill()
        third = start_api("--settle-time", "2", port=first.port)
        with third.events("GET", "/watch") as events:
            name, data = events.next()
            assert name == "snapshot"
            assert data["complete"] is False
            while not (name == "snapshot" and data["complete"]):
                name, data = events.next()
            assert [replica["replica_id"] for replica in data["replicas"]] == ["a"]


def test_streams_end_with_the_server(start_api: StartApiServer) -> None:
    api = start_api()
    with api.register("a", {"type": "x"}) as events:
        events.next()
        api.kill()
        with pytest.raises((StopIteration, httpx.HTTPError)):
            events.next()
