"""Handlers that are not async, several at once in one worker."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError, InternalError, UnavailableError

from tests.background import Background, pid_of
from tests.gate import Gate
from tests.metrics import Metrics
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anyserve import InferResult

    from tests.conftest import Serve
    from tests.server import Server


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve("tests.apps.threaded:app")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "other")
    yield gate
    gate.open()


def item(result: InferResult, name: str) -> Any:
    """An output of one element."""
    [found] = np.asarray(result[name]).tolist()
    return found


def test_as_many_run_at_once_as_may_each_on_its_thread(server: Server, gate: Gate) -> None:
    metrics = Metrics(server)
    with Background(server.address) as background:
        requests = [background.infer("four", gate.parameters) for _ in range(6)]
        gate.wait_entered(4)
        metrics.wait_waiting("four", 2)
        assert (metrics.of("in_flight", "four"), len(gate.entered())) == (4, 4)
        gate.open()
        results = [request.result(60) for request in requests]
    assert len({pid_of(result) for result in results}) == 1
    assert len({item(result, "thread") for result in results}) == 4
    assert {item(result, "most") for result in results} == {4}


def test_each_capability_keeps_its_own_limit(server: Server, gate: Gate) -> None:
    metrics = Metrics(server)
    with Background(server.address) as background:
        requests = [background.infer(kind, gate.parameters) for kind in ("one", "two") for _ in range(4)]
        gate.wait_entered(3)
        metrics.wait_waiting("one", 3)
        metrics.wait_waiting("two", 2)
        assert (metrics.of("in_flight", "one"), metrics.of("in_flight", "two")) == (1, 2)
        # The fourth thread is for others.
        assert pid_of(background.infer("four").result(60)) == gate.entered()[0]
        gate.open()
        results = [request.result(60) for request in requests]
    assert [item(result, "most") for result in results] == [1] * 4 + [2] * 4


def test_requests_over_a_limit_do_not_take_the_threads_of_others(server: Server, gate: Gate) -> None:
    metrics = Metrics(server)
    with Background(server.address) as background:
        first = [background.infer("one", gate.parameters) for _ in range(10)]
        gate.wait_entered()
        metrics.wait_waiting("one", 9)
        quick = [background.infer("four") for _ in range(50)]
        assert len({item(request.result(60), "thread") for request in quick}) <= 3
        assert metrics.of("in_flight", "one") == 1
        gate.open()
        assert {item(request.result(60), "most") for request in first} == {1}


def test_batches_run_side_by_side(server: Server, gate: Gate) -> None:
    with Background(server.address) as background:
        running = []
        for count in (1, 2):
            running.append(background.infer("batch", gate.parameters))
            gate.wait_entered(count)
        waiting = [background.infer("batch") for _ in range(6)]
        Metrics(server).wait_waiting("batch", 6)
        gate.open()
        assert [item(request.result(60), "size") for request in running + waiting] == [1, 1] + [3] * 6


def test_who_left_is_told_and_nobody_else(server: Server, client: Client, gate: Gate, other: Gate) -> None:
    with Background(server.address) as background:
        staying = background.infer("four", other.parameters)
        other.wait_entered()
        with pytest.raises(DeadlineExceededError):
            client.infer("four", parameters={"timeout": 200_000, **gate.parameters})
        gate.wait_cancelled()
        assert not staying.done()
        other.open()
        staying.result(60)


@pytest.mark.parametrize("thread", ["main", "another"])
def test_an_exit_ends_the_worker_whatever_the_thread(server: Server, gate: Gate, thread: str) -> None:
    [worker] = server.workers()
    with Background(server.address) as background, Client(server.address) as client:
        requests = [background.infer("exit", {"thread": thread, **gate.parameters}) for _ in range(4)]
        gate.wait_entered(4)
        gate.open()
        errors = [request.exception(60) for request in requests]
        kinds = [type(error) for error in errors]
        assert set(kinds) <= {InternalError, UnavailableError}
        if thread == "main":
            assert sorted(kinds, key=str) == sorted([InternalError] + [UnavailableError] * 3, key=str)
        assert pid_of(client.infer("four", timeout=60)) != worker.pid
    assert server.stderr.find(re.compile("the worker exited with code 3; starting another")) is not None


def test_a_kill_ends_all_threads(server: Server, gate: Gate, other: Gate) -> None:
    with Background(server.address) as background:
        lost = [background.infer("four", gate.parameters) for _ in range(2)]
        again = [background.infer("four-again", other.parameters) for _ in range(2)]
        gate.wait_entered(2)
        [pid] = set(other.wait_entered(2))
        os.kill(pid, signal.SIGKILL)
        assert {type(request.exception(60)) for request in lost} == {UnavailableError}
        other.wait_entered(4)
        other.open()
        assert {pid_of(request.result(60)) for request in again} == set(other.entered()[2:])


def limited(background: Background, gate: Gate, *, stubborn: bool) -> BaseException | None:
    """How a request ends whose handler runs longer than its timeout."""
    return background.infer("limited", {"stubborn": stubborn, **gate.parameters}).exception(60)


def test_a_handler_over_its_timeout_fails_alone(server: Server, gate: Gate, other: Gate, tmp_path: Path) -> None:
    workers = server.workers()
    with Background(server.address) as background:
        beside = background.infer("four", gate.parameters)
        gate.wait_entered()
        error = limited(background, other, stubborn=False)
        assert isinstance(error, DeadlineExceededError)
        assert str(error) == "the handler ran longer than its timeout of 300ms, and was told to give up"
        eventually((tmp_path / "other.told").exists, "the handler saw context.cancelled")
        assert not beside.done()
        gate.open()
        assert pid_of(beside.result(60)) == workers[0].pid
    assert server.workers() == workers


def test_a_handler_that_does_not_give_up_is_ended_with_its_worker(server: Server, gate: Gate, other: Gate) -> None:
    with Background(server.address) as background:
        beside = background.infer("four", gate.parameters)
        gate.wait_entered()
        assert isinstance(limited(background, other, stubborn=True), DeadlineExceededError)
        assert not beside.done()
        error = beside.exception(60)
        assert isinstance(error, UnavailableError)
        assert "its handler ran longer than" in str(error)
        assert pid_of(background.infer("four").result(60)) not in gate.entered()


def test_a_stop_waits_for_what_runs_on_threads(server: Server, gate: Gate) -> None:
    with Background(server.address) as background, Client(server.address) as client:
        running = [background.infer("four", gate.parameters) for _ in range(4)]
        gate.wait_entered(4)
        waiting = [background.infer("one") for _ in range(2)]
        Metrics(server).wait_waiting("one", 2)
        server.send_signal(signal.SIGTERM)
        eventually(lambda: not client.is_ready(), "the server is stopping")
        gate.open()
        assert {pid_of(request.result(60)) for request in running + waiting} == set(gate.entered())
    assert server.wait() == 0


def test_idle_threads_take_no_time(server: Server) -> None:
    with Background(server.address) as background:
        for request in [background.infer("four") for _ in range(100)]:
            request.result(60)
    [worker] = server.workers()
    before, started = worker.cpu_times(), time.monotonic()
    time.sleep(1)
    after, ended = worker.cpu_times(), time.monotonic()
    used = after.user + after.system - before.user - before.system
    assert used < 0.1 * (ended - started)
