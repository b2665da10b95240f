"""Async handlers run on one loop, many at once, and everything of asyncio works in them."""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anyserve import Client
from anyserve.errors import CancelledError, InternalError, NotFoundError, RequestError

from tests.background import Background, pid_of
from tests.metrics import Metrics
from tests.server import Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anyserve import InferResult

    from tests.conftest import Serve
    from tests.gate import Gate

APP = "tests.apps.looped:app"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(APP) as server:
        yield server.wait_ready()


def item(result: InferResult, name: str) -> Any:
    """An output of one element."""
    [found] = np.asarray(result[name]).tolist()
    return found


@pytest.mark.parametrize(("kind", "concurrency"), [("five", 5), ("usual", 32)])
def test_as_many_run_at_once_as_may(serve: Serve, gate: Gate, kind: str, concurrency: int) -> None:
    server = serve(APP)
    metrics = Metrics(server)
    with Background(server.address) as background:
        requests = [background.infer(kind, gate.parameters) for _ in range(concurrency + 3)]
        gate.wait_entered(concurrency)
        metrics.wait_waiting(kind, 3)
        assert (metrics.of("in_flight", kind), len(gate.entered())) == (concurrency, concurrency)
        gate.open()
        results = [request.result(60) for request in requests]
    assert {item(result, "most") for result in results} == {concurrency}


def test_they_share_a_loop_and_a_thread(server: Server, gate: Gate) -> None:
    with Background(server.address) as background:
        requests = [background.infer("usual", gate.parameters) for _ in range(10)]
        gate.wait_entered(10)
        quick = background.infer("quick").result(60)
        gate.open()
        results = [quick, *(request.result(60) for request in requests)]
    assert len({(item(result, "thread"), item(result, "loop")) for result in results}) == 1


def test_each_has_its_own_context_variables(server: Server, gate: Gate) -> None:
    with Background(server.address) as background:
        requests = [background.infer("usual", gate.parameters, request_id=f"r{index}") for index in range(10)]
        gate.wait_entered(10)
        assert item(background.infer("quick").result(60), "label") == b"nobody's"
        gate.open()
        assert [item(request.result(60), "label").decode() for request in requests] == [f"r{i}" for i in range(10)]


def test_what_is_not_async_runs_on_threads_beside_the_loop(server: Server, gate: Gate) -> None:
    with Background(server.address) as background:
        blocking = [background.infer("blocking", gate.parameters) for _ in range(2)]
        gate.wait_entered(2)
        on_loop = item(background.infer("quick").result(60), "thread")
        gate.open()
        threads = {item(request.result(60), "thread") for request in blocking}
    assert len(threads) == 2
    assert on_loop not in threads


def test_tools_of_asyncio(client: Client) -> None:
    result = client.infer("tools", timeout=60)
    assert (item(result, "sum"), item(result, "timed_out"), item(result, "subprocess")) == (3, True, 0)
    assert item(result, "labels") == b"the handler's,the handler's,the handler's"
    assert (item(result, "another_thread"), item(result, "slept")) == (True, True)


def test_a_task_may_outlive_its_request(client: Client, gate: Gate) -> None:
    client.infer("background", parameters=gate.parameters)
    gate.wait_entered()
    assert item(client.infer("how-many-ended"), "ended") == 0
    gate.open()
    eventually(lambda: item(client.infer("how-many-ended"), "ended") == 1, "the task has ended")


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("ValueError", InternalError, r"^ValueError: too long$"),
        ("NotFoundError", NotFoundError, r"^not here$"),
        ("timeout", InternalError, r"^TimeoutError: $"),
        ("group", InternalError, r"^ExceptionGroup: unhandled errors in a TaskGroup \(1 sub-exception\)$"),
        ("cancelled", CancelledError, r"^the handler was cancelled$"),
        ("None", InternalError, r"^handler fail returned None; it must return a ModelInferResponse$"),
        ("coroutine", InternalError, r"^handler fail returned function; it must return a ModelInferResponse$"),
    ],
)
def test_exceptions_reach_the_client(
    client: Client, server: Server, how: str, kind: type[RequestError], message: str
) -> None:
    workers = server.workers()
    with pytest.raises(RequestError, match=message) as failure:
        client.infer("fail", parameters={"how": how})
    assert type(failure.value) is kind
    client.infer("quick", timeout=60)
    assert server.workers() == workers


def test_an_idle_worker_takes_no_time(serve: Serve) -> None:
    server = serve(APP)
    with Client(server.address) as client:
        for _ in range(100):
            client.infer("quick")
    [worker] = server.workers()
    before, started = worker.cpu_times(), time.monotonic()
    time.sleep(1)
    after, ended = worker.cpu_times(), time.monotonic()
    used = after.user + after.system - before.user - before.system
    assert used < 0.1 * (ended - started)


@pytest.mark.parametrize("kind", ["usual", "blocking"])
def test_a_stop_waits_for_what_runs(serve: Serve, gate: Gate, kind: str) -> None:
    server = serve(APP)
    [worker] = server.workers()
    with Background(server.address) as background:
        running = [background.infer(kind, gate.parameters) for _ in range(2)]
        gate.wait_entered(2)
        server.send_signal(signal.SIGTERM)
        with Client(server.address) as client:
            eventually(lambda: not client.is_ready(), "the server is stopping")
        assert not any(request.done() for request in running)
        gate.open()
        assert {pid_of(request.result(60)) for request in running} == {worker.pid}
    assert server.wait() == 0


def test_a_stop_does_not_wait_for_tasks_of_requests_that_ended(serve: Serve, gate: Gate) -> None:
    server = serve(APP)
    with Client(server.address) as client:
        client.infer("background", parameters=gate.parameters)
        gate.wait_entered()
    assert server.stop() == 0


def test_a_handler_that_was_told_to_give_up_is_cancelled(server: Server, gate: Gate, tmp_path: Path) -> None:
    workers = server.workers()
    with Background(server.address) as background:
        beside = background.infer("usual", gate.parameters)
        gate.wait_entered()
        limited = background.infer("limited", {"gate": str(tmp_path / "limited"), "stubborn": False})
        error = limited.exception(60)
        assert isinstance(error, TimeoutError)
        assert re.search("ran longer than its timeout of 300ms, and was told to give up", str(error))
        eventually((tmp_path / "limited.told").exists, "the handler got a CancelledError")
        assert not beside.done()
        gate.open()
        assert pid_of(beside.result(60)) == workers[0].pid
    assert server.workers() == workers


def test_a_handler_that_does_not_give_up_is_ended_with_its_worker(serve: Serve, gate: Gate, tmp_path: Path) -> None:
    server = serve(APP)
    with Background(server.address) as background:
        beside = background.infer("usual", gate.parameters)
        again = background.infer("usual-again", gate.parameters)
        gate.wait_entered(2)
        limited = background.infer("limited", {"gate": str(tmp_path / "limited"), "stubborn": True})
        assert isinstance(limited.exception(60), TimeoutError)
        assert "the worker was killed: its handler ran longer than" in str(beside.exception(60))
        gate.wait_entered(3)
        gate.open()
        assert pid_of(again.result(60)) == gate.entered()[2]
