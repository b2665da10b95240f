"""Registries that say what is not so: requests end soon, at somebody who serves them or with NOT_FOUND."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from anyserve.errors import NotFoundError, UnavailableError

from tests.background import pid_of

if TYPE_CHECKING:
    from tests.api_server.process import ApiServer
    from tests.fleet.process import Fleet
    from tests.server import Server

GATED = "tests.apps.gated:app"
GHOST = {"type": "ghost"}
QUICK = {"type": "quick"}


def claim(api: ApiServer, name: str, server: Server, *capabilities: dict[str, str]) -> None:
    """Registers a replica by hand, in the place of the one that has the name."""
    answer = api.put(name, *capabilities, endpoint=server.address, incarnation=time.time_ns())
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("names", [("a", "b"), ("x", "y")], ids=["their own names", "other names"])
def test_two_that_are_said_to_serve_it_do_not_ask_each_other_for_ever(
    fleet: Fleet, api: ApiServer, names: tuple[str, str]
) -> None:
    a, b = (fleet.replica(GATED, name) for name in "ab")
    for name, server in zip(names, (a, b), strict=True):
        claim(api, name, server, GHOST)
    gateway = fleet.gateway().wait_knows("ghost")
    for server in (a, b, gateway):
        client = fleet.client(server)
        for _ in range(20):
            with pytest.raises(NotFoundError, match="ghost"):
                client.infer("ghost", timeout=30)
        with pytest.raises(NotFoundError, match="ghost"):
            list(client.stream("ghost", timeout=30))


def test_a_stale_route_ends_where_it_is_served(fleet: Fleet, api: ApiServer) -> None:
    stale = fleet.replica("examples.basic.app:app", "stale")
    serving = fleet.replica(GATED, "serving")
    gateway = fleet.gateway().wait_replicas(3).wait_knows("quick")
    claim(api, "wrong", stale, QUICK)
    gateway.wait_replicas(4)
    client = fleet.client(gateway)
    workers = {worker.pid for worker in serving.workers()}
    assert {pid_of(client.infer("quick", timeout=30)) for _ in range(32)} == workers
    assert gateway.passed_on("wrong") > 0
    assert gateway.passed_on("serving") > 0


def nobody() -> str:
    """An endpoint where nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def test_replicas_that_are_not_there_are_passed_over(fleet: Fleet, api: ApiServer) -> None:
    for name in "pqr":
        assert api.put(name, QUICK, GHOST, endpoint=nobody()).status_code == 200
    fleet.replica(GATED, "serving")
    gateway = fleet.gateway().wait_replicas(5).wait_knows("quick")
    client = fleet.client(gateway)
    for _ in range(64):
        client.infer("quick", timeout=30)
    with pytest.raises(UnavailableError, match=r"cannot reach 127\.0\.0\.1"):
        client.infer("ghost", timeout=30)


def test_a_thousand_replicas(fleet: Fleet, api: ApiServer) -> None:
    serving = fleet.replica(GATED, "serving")
    gateway = fleet.gateway().wait_replicas(2).wait_knows("quick")
    process = psutil.Process(gateway.process.pid)
    before = process.memory_info().rss
    for number in range(1000):
        capabilities = [{"type": "chat", "model": f"model-{number}-{index}"} for index in range(20)]
        assert api.put(f"fake-{number}", *capabilities).status_code == 200
    gateway.wait_replicas(1002)
    client = fleet.client(gateway)
    workers = {worker.pid for worker in serving.workers()}
    assert {pid_of(client.infer("quick", timeout=30)) for _ in range(32)} == workers
    with pytest.raises(UnavailableError, match="cannot reach"):
        client.infer("model-999-19", timeout=30)
    with pytest.raises(NotFoundError):
        client.infer("model-1000-0", timeout=30)
    assert api.route(model="model-500-7").json()["replica_id"] == "fake-500"
    # A few KiB for each capability would be too many.
    assert process.memory_info().rss - before < 100 << 20
