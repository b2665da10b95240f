"""A thousand replicas with twenty capabilities each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from tests.api_server.process import ApiServer

REPLICAS = 1000
CAPABILITIES = 20


def offered(number: int) -> list[dict[str, str]]:
    """Each capability is offered by ten replicas."""
    return [{"type": "chat", "model": f"m{number % 100}", "variant": str(variant)} for variant in range(CAPABILITIES)]


@pytest.fixture(scope="module")
def shared_api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        asyncio.run(_fill(server))
        yield server


async def _fill(server: ApiServer) -> None:
    limits = httpx.Limits(max_connections=16)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as http:

        async def put(number: int) -> None:
            body = {"endpoint": f"10.0.0.1:{number + 1}", "capabilities": offered(number), "lease_seconds": 3600}
            answer = await http.put(f"/replicas/r{number}", json=body)
            assert answer.status_code == 200, answer.text

        await asyncio.gather(*(put(number) for number in range(REPLICAS)))


def test_routes(shared_api: ApiServer) -> None:
    found = {shared_api.route(type="chat", model="m7", variant="3").json()["replica_id"] for _ in range(10)}
    assert found == {f"r{number}" for number in range(7, REPLICAS, 100)}
    assert len({shared_api.route(type="chat").json()["replica_id"] for _ in range(50)}) == 50
    assert len(shared_api.ids(model="m7")) == 10
    missing = shared_api.route(model="m100")
    assert missing.status_code == 404
    assert len(missing.json()["error"]) < 1000


def test_the_whole(shared_api: ApiServer) -> None:
    assert len(shared_api.http.get("/registry").json()["replicas"]) == REPLICAS
    with shared_api.events("GET", "/watch") as events:
        name, data = events.next()
        assert name == "snapshot"
        assert sum(len(replica["capabilities"]) for replica in data["replicas"]) == REPLICAS * CAPABILITIES
        shared_api.http.delete("/replicas/r5")
        assert events.next() == ("gone", {"replica_id": "r5"})
        shared_api.put("r5", *offered(5))
        assert events.next()[0] == "put"


def test_the_console_is_told_a_part(shared_api: ApiServer) -> None:
    with shared_api.events("GET", "/console/state") as events:
        assert events.next()[0] == "history"
        name, data = events.next()
        assert name == "capabilities"
        assert (len(data["capabilities"]), data["more"]) == (500, 1500)
        assert data["capabilities"][0]["count"] == 10
        name, data = events.next()
        assert name == "state"
        assert (len(data["replicas"]), data["more"]) == (200, 800)
        assert "error" in data["replicas"][0]
