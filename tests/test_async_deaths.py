"""An async handler, or one beside the loop, that takes its worker with it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from anyserve import Client
from anyserve.errors import InternalError, RequestError, UnavailableError

from tests.background import Background, pid_of
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.server import Server

EXITS = ["exit", "exit-in-task", "exit-in-thread"]


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve("tests.apps.looped:app")


def ask_to_exit(client: Client, how: str) -> None:
    """Sends the request whose handler exits."""
    # On the loop it ends the process at once.
    kind: type[RequestError]
    kind, message = (UnavailableError, "the worker exited with code 3")
    if how == "exit-in-thread":
        kind, message = (InternalError, r"^SystemExit: 3$")
    with pytest.raises(kind, match=message):
        client.infer("exit-in-thread" if how == "exit-in-thread" else "fail", parameters={"how": how}, timeout=60)


@pytest.mark.parametrize("how", EXITS)
def test_an_exit_ends_the_worker_and_another_takes_its_place(server: Server, client: Client, how: str) -> None:
    [worker] = server.workers()
    ask_to_exit(client, how)
    eventually(lambda: worker not in server.workers(), "the worker has ended")
    assert pid_of(client.infer("quick", timeout=60)) != worker.pid
    assert "the worker exited with code 3" in server.stderr.text


@pytest.mark.parametrize("how", EXITS)
def test_what_runs_beside_an_exit_is_unavailable(server: Server, client: Client, gate: Gate, how: str) -> None:
    with Background(server.address) as background:
        beside = background.infer("usual", gate.parameters)
        gate.wait_entered()
        ask_to_exit(client, how)
        assert isinstance(beside.exception(60), UnavailableError)


@pytest.mark.parametrize("how", EXITS)
def test_what_may_run_twice_is_run_again_after_an_exit(server: Server, client: Client, gate: Gate, how: str) -> None:
    with Background(server.address) as background:
        again = background.infer("usual-again", gate.parameters)
        gate.wait_entered()
        ask_to_exit(client, how)
        eventually(lambda: len(gate.entered()) == 2 or again.done(), "it runs again")
        first, second = gate.entered()
        assert first != second
        gate.open()
        assert pid_of(again.result(60)) == second


@pytest.mark.parametrize("how", EXITS)
def test_an_exit_does_not_wait_for_threads(server: Server, client: Client, gate: Gate, how: str) -> None:
    with Background(server.address) as background:
        blocking = background.infer("blocking", gate.parameters)
        gate.wait_entered()
        ask_to_exit(client, how)
        assert isinstance(blocking.exception(60), UnavailableError)


def test_a_kill_ends_all_that_runs_on_the_loop(server: Server, client: Client, gate: Gate) -> None:
    with Background(server.address) as background:
        lost = [background.infer("usual", gate.parameters) for _ in range(5)]
        again = [background.infer("usual-again", gate.parameters) for _ in range(5)]
        [pid] = set(gate.wait_entered(10))
        os.kill(pid, signal.SIGKILL)
        for request in lost:
            error = request.exception(60)
            assert isinstance(error, UnavailableError)
            assert "killed by SIGKILL" in str(error)
        gate.wait_entered(15)
        gate.open()
        assert {pid_of(request.result(60)) for request in again} == set(gate.entered()[10:])
