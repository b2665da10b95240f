"""Gateways that stop, die and start, and those without anybody to ask."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import tritonclient.grpc as triton_grpc
from anyserve.errors import NotFoundError, UnavailableError

from tests.background import Background, pid_of
from tests.calls import doing
from tests.objects.remote import parameters_of
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.fleet.process import Fleet
    from tests.gate import Gate

GATED = "tests.apps.gated:app"


def test_a_gateway_without_replicas_is_not_ready(fleet: Fleet) -> None:
    gateway = fleet.gateway().wait_replicas(1)
    client = fleet.client(gateway)
    with triton_grpc.InferenceServerClient(gateway.address) as triton:
        assert triton.is_server_live()
        assert not triton.is_server_ready()
        with pytest.raises(NotFoundError, match=r"no capability matches .*quick.*: none is served by any replica"):
            client.infer("quick", timeout=30)
        replica = fleet.replica(GATED, "a")
        eventually(triton.is_server_ready, "there is a replica")
        client.infer("quick", timeout=30)
        assert replica.stop() == 0
        eventually(lambda: not triton.is_server_ready(), "there is none any more")
        with pytest.raises((NotFoundError, UnavailableError)):
            client.infer("quick", timeout=30)


def test_a_gateway_that_is_killed_comes_back(fleet: Fleet) -> None:
    replica = fleet.replica(GATED, "a")
    first = fleet.gateway().wait_replicas(2).wait_knows("quick")
    client = fleet.client(first)
    workers = {worker.pid for worker in replica.workers()}
    assert pid_of(client.infer("quick", timeout=30)) in workers
    first.process.kill()
    first.process.wait()
    with pytest.raises(UnavailableError):
        client.infer("quick", timeout=30)
    second = fleet.gateway("--port", str(first.port)).wait_knows("quick")
    assert second.address == first.address
    assert pid_of(client.infer("quick", timeout=30)) in workers


def test_a_gateway_that_dies_cancels_what_it_passed_on(fleet: Fleet, gate: Gate) -> None:
    fleet.replica(GATED, "a")
    gateway = fleet.gateway().wait_replicas(2).wait_knows("watchful")
    with Background(gateway.address) as background:
        running = background.infer("watchful", gate.parameters, timeout=60)
        gate.wait_entered()
        gateway.process.kill()
        with pytest.raises(UnavailableError):
            running.result(30)
    gate.wait_cancelled()


def test_what_is_under_way_when_a_gateway_stops_is_finished(fleet: Fleet, gate: Gate) -> None:
    fleet.replica(GATED, "a")
    fleet.replica("tests.calls.apps.callers:app", "b")
    gateway = fleet.gateway().wait_replicas(3).wait_knows("once", "stream")
    path = gate.parameters["gate"]
    stream = fleet.client(gateway).stream("stream", parameters=parameters_of(doing.linger, path), timeout=60)
    assert next(stream).response.parameters["result"] == '"first"'
    with Background(gateway.address) as background:
        running = background.infer("once", gate.parameters, timeout=60)
        gate.wait_entered(2)
        gateway.send_signal(signal.SIGTERM)
        with triton_grpc.InferenceServerClient(gateway.address) as triton:
            eventually(lambda: not is_ready(triton), "it takes nothing more")
        gate.open()
        assert pid_of(running.result(30))
        assert [result.response.parameters["result"] for result in stream] == ['"open"']
    assert gateway.wait() == 0


def is_ready(triton: triton_grpc.InferenceServerClient) -> bool:
    """Whether it takes requests; one that is gone takes none."""
    try:
        return bool(triton.is_server_ready())
    except triton_grpc.InferenceServerException:
        return False
