"""Handlers that call what only another replica serves."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError

from tests.api_server.process import ApiServer
from tests.background import pid_of
from tests.calls import doing
from tests.fleet.process import Fleet
from tests.gate import Gate
from tests.objects.remote import CONTEXT, Remote
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server import Server

CALLERS = "tests.calls.apps.callers:app"
GATED = "tests.apps.gated:app"
STREAMS = "tests.apps.streaming:app"


@pytest.fixture(scope="module")
def caller() -> Iterator[Server]:
    """A replica whose workers call; others serve what is called."""
    with ApiServer() as api, ExitStack() as stack:
        fleet = Fleet(stack, "--api-server", api.url)
        fleet.replica(GATED, "gated")
        fleet.replica(STREAMS, "streaming")
        caller = fleet.replica(CALLERS, "caller")
        with Client(caller.address) as client:
            for model in ("quick", "sent", "one"):
                eventually(partial(client.is_ready, model), f"{model} is known")
        yield caller


@pytest.fixture
def client(caller: Server) -> Iterator[Client]:
    with Client(caller.address) as client:
        yield client


def call_quick() -> int:
    """By a function."""
    return pid_of(CONTEXT.get().call("quick"))


def test_a_call_goes_to_the_other_replica(caller: Server, client: Client) -> None:
    pid = Remote(client.infer, "one").run(call_quick)
    assert pid not in {process.pid for process in caller.processes()}


async def acall_quick() -> int:
    """By a coroutine."""
    return pid_of(await CONTEXT.get().acall("quick"))


def test_a_coroutine_calls_there_too(caller: Server, client: Client) -> None:
    pid = Remote(client.infer, "loop").run(acall_quick)
    assert pid not in {process.pid for process in caller.processes()}


def stream_numbers(count: int) -> list[int]:
    """The numbers of a stream."""
    return [int(result["OUT"][0]) for result in CONTEXT.get().stream("sent", {"N": [count]})]


async def astream_numbers(count: int) -> list[int]:
    """The same by a coroutine."""
    return [int(result["OUT"][0]) async for result in CONTEXT.get().stream("sent", {"N": [count]})]


@pytest.mark.parametrize(("worker", "function"), [("one", stream_numbers), ("loop", astream_numbers)])
def test_a_stream_comes_from_there(client: Client, worker: str, function: Any) -> None:
    assert Remote(client.infer, worker).run(function, 500) == list(range(500))


def watch(gate: str) -> None:
    """Calls somebody who stays until nobody waits."""
    CONTEXT.get().call("watchful", parameters={"gate": gate})


def test_the_deadline_of_the_caller_counts_there(client: Client, gate: Gate) -> None:
    with pytest.raises(DeadlineExceededError):
        Remote(client.infer, "one").run(watch, gate.parameters["gate"], timeout=1)
    gate.wait_cancelled()


def try_nobody() -> list[str]:
    """An error, if nobody in the fleet serves it."""
    return doing.call("nobody", "add", 1, 2)  # type: ignore[no-any-return]


def test_what_nobody_serves_is_not_found(client: Client) -> None:
    kind, message = Remote(client.infer, "one").run(try_nobody)
    assert kind == "NotFoundError"
    assert "nobody" in message
