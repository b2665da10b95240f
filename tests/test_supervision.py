"""Workers are there, are replaced when they die, and what they died with ends once and in one way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import grpc
import psutil
import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError, UnavailableError
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.background import Background, pid_of
from tests.gate import Gate
from tests.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Serve

APP = "tests.apps.gated:app"


def test_as_many_workers_start_as_were_asked_for(serve: Serve) -> None:
    server = serve(APP, "--workers", "3")
    assert server.ready_workers == 3
    assert len(server.workers()) == 3


def test_a_worker_that_died_idle_is_replaced(serve: Serve, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "import")
    gate.open()
    server = serve("tests.apps.moody:app", environment={"ANYSERVE_TEST_FOLDER": str(tmp_path)})
    with Client(server.address) as client, Background(server.address) as background:
        [worker] = server.workers()
        assert pid_of(client.infer("quick")) == worker.pid
        assert client.is_ready()
        gate.close()
        worker.kill()
        eventually(lambda: not client.is_ready(), "the server is not ready")
        assert not client.is_ready("quick")
        # A request waits for the next worker.
        waiting = background.infer("quick")
        gate.wait_entered(2)
        assert not client.is_ready()
        gate.open()
        assert pid_of(waiting.result(60)) != worker.pid
        assert client.is_ready()
        assert client.is_ready("quick")
    assert server.stderr.find(re.compile(r"killed by SIGKILL.*; starting another")) is not None


def test_a_request_ends_at_its_deadline_even_if_there_is_no_worker(serve: Serve, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "import")
    gate.open()
    server = serve("tests.apps.moody:app", environment={"ANYSERVE_TEST_FOLDER": str(tmp_path)})
    with Client(server.address) as client:
        gate.close()
        server.workers()[0].kill()
        eventually(lambda: not client.is_ready(), "the server is not ready")
        with pytest.raises(DeadlineExceededError, match="the deadline passed"):
            client.infer("quick", parameters={"timeout": 100_000})


def test_a_request_before_the_first_worker_is_unavailable(serve: Serve, tmp_path: Path) -> None:
    environment = {"ANYSERVE_TEST_FOLDER": str(tmp_path)}
    server = serve("tests.apps.moody:app", "--metrics-port", "none", environment=environment, ready=False)
    gate = Gate(tmp_path / "import")
    gate.wait_entered()
    # The first port that it opens is that of gRPC.
    ports = psutil.Process(server.process.pid).net_connections("tcp")
    listening = min(ports, key=lambda connection: connection.fd)
    with Client(f"127.0.0.1:{listening.laddr.port}") as client:
        assert not client.is_ready()
        with pytest.raises(UnavailableError, match="the server is starting: no worker is ready yet"):
            client.infer("quick")
        gate.open()
        server.wait_ready()
        assert client.is_ready()
        client.infer("quick")


def test_health_follows_readiness(serve: Serve, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "import")
    gate.open()
    server = serve("tests.apps.moody:app", environment={"ANYSERVE_TEST_FOLDER": str(tmp_path)})
    with grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        gate.close()
        server.workers()[0].kill()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        gate.open()
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("broken", "importing 'tests.apps.moody' raised RuntimeError: in a bad mood"),
        ("changed", "it serves {type: quick}, {type: new}, but its pool serves {type: quick}"),
    ],
)
def test_a_worker_that_cannot_be_replaced_is_tried_again(serve: Serve, tmp_path: Path, mood: str, reason: str) -> None:
    Gate(tmp_path / "import").open()
    server = serve("tests.apps.moody:app", environment={"ANYSERVE_TEST_FOLDER": str(tmp_path)})
    (tmp_path / mood).touch()
    server.workers()[0].kill()
    assert server.stderr.find(re.compile(f"{re.escape(reason)}.*; starting another")) is not None
    with Client(server.address) as client:
        assert not client.is_ready()
        (tmp_path / mood).unlink()
        client.infer("quick", timeout=60)


def test_other_workers_go_on_when_one_dies(serve: Serve) -> None:
    server = serve(APP, "--workers", "2")
    with Client(server.address) as client:
        first, second = server.workers()
        first.kill()
        for _ in range(50):
            client.infer("quick", timeout=60)
            assert client.is_ready()
        eventually(lambda: len(server.workers()) == 2, "there are two workers again")
        assert second in server.workers()


def test_a_request_whose_worker_died_is_unavailable(serve: Serve, gate: Gate) -> None:
    server = serve(APP, "--workers", "2")
    with Background(server.address) as background:
        running = background.infer("once", gate.parameters)
        [pid] = gate.wait_entered()
        next(worker for worker in server.workers() if worker.pid == pid).kill()
        with pytest.raises(UnavailableError, match=r"the worker that ran the request is gone: .*SIGKILL"):
            running.result(60)
    assert gate.entered() == [pid]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_idempotent_request_whose_worker_died_is_answered_by_another(serve: Serve, gate: Gate, workers: int) -> None:
    server = serve(APP, "--workers", str(workers))
    with Background(server.address) as background:
        running = background.infer("again", gate.parameters)
        [first] = gate.wait_entered()
        next(worker for worker in server.workers() if worker.pid == first).kill()
        second = gate.wait_entered(2)[1]
        gate.open()
        assert pid_of(running.result(60)) == second != first


@pytest.mark.parametrize(("handler", "attempts"), [("deadly", 1), ("deadly-again", 2)])
def test_a_request_that_kills_its_worker_is_not_tried_for_ever(
    serve: Serve, gate: Gate, handler: str, attempts: int
) -> None:
    server = serve(APP, "--workers", "2")
    with Client(server.address) as client:
        with pytest.raises(UnavailableError, match="SIGKILL"):
            client.infer(handler, parameters=gate.parameters)
        assert len(set(gate.entered())) == len(gate.entered()) == attempts
        client.infer("quick", timeout=60)
    assert len(gate.entered()) == attempts


@pytest.mark.parametrize("warm", [False, True])
def test_what_waits_behind_a_request_that_dies_is_served(serve: Serve, gate: Gate, warm: bool) -> None:
    server = serve(APP)
    with Client(server.address) as client, Background(server.address) as background:
        if warm:
            # Then some of what waits is with the worker already.
            for waiting in [background.infer("quick") for _ in range(300)]:
                waiting.result(60)
        running = background.infer("once", gate.parameters)
        waiting_too = [background.infer("quick", timeout=60) for _ in range(50)]
        [pid] = gate.wait_entered()
        late = background.infer("quick", timeout=60)
        server.workers()[0].kill()
        with pytest.raises(UnavailableError):
            running.result(60)
        for waiting in [*waiting_too, late]:
            # Those before the slow one were answered by the first worker.
            pid_of(waiting.result(60))
        assert pid_of(late.result()) != pid
        client.infer("quick", timeout=60)
