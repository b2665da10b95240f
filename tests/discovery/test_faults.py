"""What becomes of requests when replicas and API servers die."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from anyserve.errors import UnavailableError

from tests.api_server.process import ApiServer
from tests.discovery.fleet import Load
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.discovery.fleet import Fleet
    from tests.gate import Gate


def kill(fleet: Fleet, name: str) -> None:
    """As kill -9 does, with all of its processes."""
    for process in fleet.replicas[name].processes():
        process.kill()


@pytest.mark.parametrize(("model", "retry"), [("again", False), ("once", True)])
def test_a_replica_is_killed_and_no_repeatable_request_fails(fleet: Fleet, model: str, retry: bool) -> None:
    fleet.start("a", "b")
    with Load(fleet.client(retry_on_failure=retry), model) as load:
        load.wait_more(100, replica="a")
        kill(fleet, "a")
        load.wait_more(200, replica="b")
    assert not load.errors


def test_a_replica_is_killed_and_only_what_it_had_fails(fleet: Fleet) -> None:
    fleet.start("a", "b")
    with Load(fleet.client(), "once") as load:
        load.wait_more(100, replica="a")
        kill(fleet, "a")
        eventually(lambda: fleet.api.ids(type="once") == ["b"], "it is gone within its lease")
        failed = len(load.errors)
        load.wait_more(200, replica="b")
    assert len(load.errors) == failed <= 4, load.errors
    assert {type(error) for error in load.errors} <= {UnavailableError}


def test_a_replica_is_stopped_and_no_request_fails(fleet: Fleet) -> None:
    fleet.start("a", "b")
    with Load(fleet.client(), "once") as load:
        load.wait_more(100, replica="a")
        fleet.replicas["a"].stop(signal.SIGTERM)
        load.wait_more(200, replica="b")
    assert not load.errors


def test_the_api_server_is_killed_and_comes_back_and_no_request_fails(fleet: Fleet) -> None:
    fleet.start("a", "b")
    with Load(fleet.client(), "once") as load:
        load.wait_more()
        fleet.api.kill()
        load.wait_more(500)
        fleet.restart_api(lambda port: ApiServer(port=port))
        eventually(lambda: fleet.api.ids(type="once") == ["a", "b"], "both are registered again")
        load.wait_more(100, replica="a")
        load.wait_more(100, replica="b")
    assert not load.errors


def test_a_stream_that_has_begun_is_not_sent_again(fleet: Fleet, gate: Gate) -> None:
    fleet.start("a", "b")
    client = fleet.client(retry_on_failure=True)
    with client.stream("count", parameters=gate.parameters) as results:
        name = next(results)["replica"][0].decode()
        gate.wait_entered()
        kill(fleet, name)
        with pytest.raises(UnavailableError):
            next(results)
    assert len(gate.entered()) == 1


def test_the_last_replica_is_killed(fleet: Fleet) -> None:
    fleet.start("a")
    client = fleet.client()
    assert client.infer("again")["replica"] == [b"a"]
    kill(fleet, "a")
    with pytest.raises(UnavailableError, match="cannot reach"):
        client.infer("again", timeout=10)
    fleet.start("a")

    def is_found() -> bool:
        # It has another port, of which the client hears in a moment.
        try:
            return bool(client.infer("again", timeout=10)["replica"] == [b"a"])
        except UnavailableError:
            return False

    eventually(is_found, "the new one is found")
