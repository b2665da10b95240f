"""Requests that come while the first workers start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import pytest
from anyserve import Client
from anyserve.errors import UnavailableError

from tests.pools.fleet import FACTORY, pools
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.pools.conftest import Start
    from tests.pools.fleet import Fleet


def booting(start: Start) -> tuple[Fleet, str]:
    """An agent one of whose pools is not ready, and where it listens."""
    file = {"pools": {**pools("a", min=1), **pools("b")}}
    fleet = start(file, "--metrics-port", "none", ready=False)
    fleet.steering.hold("a", "on_start")
    fleet.steering.wait_called("a", "on_start")
    return fleet, f"127.0.0.1:{grpc_port(fleet)}"


def grpc_port(fleet: Fleet) -> int:
    """The port of an agent that has not said it yet: it is the first that is opened."""
    listening = psutil.Process(fleet.server.process.pid).net_connections("tcp")
    return min(listening, key=lambda connection: connection.fd).laddr.port


def test_a_request_for_a_cold_pool_is_served_while_others_start(start: Start) -> None:
    fleet, address = booting(start)
    with Client(address) as client:
        assert client.is_ready("b")
        assert client.infer("b", timeout=30).response.parameters["pool"] == "b"
    assert "ready:" not in fleet.server.stdout.text
    fleet.steering.release("a", "on_start")
    fleet.wait_ready()


def test_a_request_waits_for_a_pool_that_starts(start: Start) -> None:
    fleet, address = booting(start)
    with Client(address) as client:
        assert not client.is_ready("a")
        fleet.steering.release("a", "on_start")
        fleet.wait_ready()
        assert client.infer("a", timeout=30).response.parameters["pool"] == "a"


def test_a_request_for_a_pool_that_is_not_known_yet_is_told_that_the_server_starts(start: Start) -> None:
    """A client that tries again when a server is unavailable gets there; one that is told NOT_FOUND gives up."""
    fleet = start({"pools": {**pools("a"), "made": {"factory": FACTORY}}}, "--metrics-port", "none", ready=False)
    fleet.steering.hold("factory", "make")
    fleet.steering.wait_called("factory", "make")
    with Client(f"127.0.0.1:{grpc_port(fleet)}") as client:
        with pytest.raises(UnavailableError, match="starting"):
            client.infer("made", timeout=10)
        fleet.steering.release("factory", "make")
        fleet.wait_ready()
        client.infer("made", timeout=10)


def test_a_request_whose_worker_cannot_start_does_not_end_an_agent_that_starts(start: Start) -> None:
    fleet, address = booting(start)
    fleet.steering.fail("b", "on_start", "no weights")
    with Client(address) as client, pytest.raises(UnavailableError, match="no weights"):
        client.infer("b", timeout=10)
    eventually(lambda: fleet.server.process.poll() is None, "the agent goes on", 1)
    fleet.steering.release("a", "on_start")
    fleet.wait_ready()
    assert fleet.ask("a")["pool"] == "a"


def test_an_agent_that_is_stopped_while_its_workers_start_ends(start: Start) -> None:
    fleet, _ = booting(start)
    assert fleet.server.stop() == 0
