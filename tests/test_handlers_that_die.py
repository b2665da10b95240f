"""A handler that takes its worker with it: the client hears how, and another worker takes the place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError, InternalError, UnavailableError

from tests.server import is_alive
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.server import Server


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve("tests.apps.faulty:app")


@pytest.fixture
def dying_worker(server: Server, client: Client) -> Iterator[None]:
    """The test ends the server's worker; afterwards another one serves."""
    [worker] = server.workers()
    yield
    [pid] = np.asarray(client.infer("fine", timeout=60)["pid"]).tolist()
    assert pid != worker.pid
    assert not is_alive(worker)
    assert [process.pid for process in server.workers()] == [pid]


@pytest.mark.parametrize(
    ("handler", "how"),
    [
        ("quit", "the worker exited with code 3"),
        ("segfault", "the worker was killed by SIGSEGV"),
        ("abort", "the worker was killed by SIGABRT"),
        ("kill", "the worker was killed by SIGKILL"),
    ],
)
@pytest.mark.usefixtures("dying_worker")
def test_a_death_is_unavailable_and_says_how(client: Client, server: Server, handler: str, how: str) -> None:
    with pytest.raises(UnavailableError, match=f"the worker that ran the request is gone: {how}"):
        client.infer(handler)
    assert server.stderr.find(re.compile(f"{how}.*; starting another")) is not None


@pytest.mark.usefixtures("dying_worker")
def test_an_exit_is_an_internal_error_and_ends_the_worker(client: Client, server: Server) -> None:
    with pytest.raises(InternalError, match=r"^SystemExit: 3"):
        client.infer("exit")
    assert server.stderr.find(re.compile("the worker exited with code 3; starting another")) is not None


@pytest.mark.usefixtures("dying_worker")
def test_an_interrupt_is_an_internal_error_and_ends_the_worker(client: Client) -> None:
    with pytest.raises(InternalError, match=r"^KeyboardInterrupt: who"):
        client.infer("raise", parameters={"error": "KeyboardInterrupt", "message": "who"})


@pytest.mark.usefixtures("dying_worker")
def test_a_worker_that_closes_its_channel_is_replaced(client: Client) -> None:
    with pytest.raises(UnavailableError, match="the worker that ran the request is gone"):
        client.infer("close-all")


def test_a_death_is_noticed_even_if_a_child_has_the_workers_files(client: Client) -> None:
    # As with multiprocessing, whose processes are forks.
    with pytest.raises(UnavailableError, match="SIGKILL"):
        client.infer("fork-and-die", timeout=10)
    client.infer("fine", timeout=60)


@pytest.mark.parametrize("how", ["asleep", "busy", "in C", "child"])
@pytest.mark.usefixtures("dying_worker")
def test_a_handler_over_its_timeout_is_ended(client: Client, server: Server, gate: Gate, how: str) -> None:
    before = {process.pid for process in server.processes()}
    with pytest.raises(DeadlineExceededError, match=r"ran longer than its timeout of 300ms; its worker is restarted"):
        client.infer("hang", parameters={"how": how, **gate.parameters})
    assert server.stderr.find(re.compile("its handler ran longer than 300ms; starting another")) is not None
    # What the handler started goes too.
    eventually(lambda: len(server.processes()) == len(before), "only the new worker is there beside the agent")


def test_a_handler_within_its_timeout_is_left_alone(client: Client, server: Server) -> None:
    [worker] = server.workers()
    client.infer("limited")
    assert server.workers() == [worker]


@pytest.mark.parametrize("way", ["grpc-timeout", "timeout parameter"])
def test_a_client_out_of_time_leaves_and_the_handler_is_told(
    client: Client, server: Server, gate: Gate, way: str
) -> None:
    workers = server.workers()
    if way == "grpc-timeout":
        with pytest.raises(DeadlineExceededError, match=r"1s|the deadline passed"):
            client.infer("until-cancelled", parameters=gate.parameters, timeout=1)
    else:
        with pytest.raises(DeadlineExceededError, match="the deadline passed after"):
            client.infer("until-cancelled", parameters={"timeout": 1_000_000, **gate.parameters})
    gate.wait_cancelled()
    client.infer("fine", timeout=60)
    assert server.workers() == workers


def test_a_request_out_of_time_in_the_queue_never_runs(client: Client, server: Server, gate: Gate) -> None:
    with Client(server.address) as other:
        with pytest.raises(DeadlineExceededError):
            client.infer("until-cancelled", parameters={"timeout": 1, **gate.parameters})
        client.infer("fine", timeout=60)
        other.infer("fine", timeout=60)
    assert len(gate.entered()) <= 1


GARBAGE = {
    "lengths over every limit": "ff" * 64,
    "an empty message": "00" * 8,
    "what is no protobuf": "0500000000000000" + b"hello".hex(),
    "an answer to no request of its": "0600000000000000" + "1a0408bf843d",
}
WAYS = [*((what, stay) for what in GARBAGE for stay in (True, False)), ("a part of a frame", False)]


@pytest.mark.parametrize(("what", "stay"), WAYS)
@pytest.mark.usefixtures("dying_worker")
def test_a_worker_that_sends_garbage_is_replaced(client: Client, server: Server, what: str, stay: bool) -> None:
    with pytest.raises(UnavailableError, match="the worker broke the protocol: "):
        client.infer("garbage", parameters={"hex": GARBAGE.get(what, "100000"), "stay": stay})
    assert server.stderr.find(re.compile("the worker broke the protocol: .*; starting another")) is not None
