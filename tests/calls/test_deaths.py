"""Workers that are killed while they call, or are called; and too much at once."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest
from anyserve import Client
from anyserve.errors import ResourceExhaustedError, UnavailableError

from tests.background import Background
from tests.calls import doing
from tests.calls.conftest import APP
from tests.calls.doing import acall, add, callee, stay
from tests.objects.remote import CONTEXT, PATIENCE, Agent, Remote, parameters_of, result_of
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Serve
    from tests.gate import Gate


@pytest.fixture
def agent(serve: Serve) -> Iterator[Agent]:
    """An agent of the test's own."""
    server = serve(APP)
    with Client(server.address) as client:
        yield Agent(server, client)


def kill(agent: Agent, pid: int) -> None:
    """As the kernel does when memory is short."""
    next(worker for worker in agent.server.workers() if worker.pid == pid).kill()


def say_how_it_ended(name: str, gate: str) -> list[str]:
    """A call of a worker that dies with it, and one after that."""
    try:
        callee(name).run(stay, gate)
    except UnavailableError as error:
        return [str(error), str(callee(name).run(add, 1, 2))]
    return ["no error"]


def test_a_callee_that_dies_is_unavailable(agent: Agent, gate: Gate) -> None:
    with Background(agent.server.address) as background:
        parameters = parameters_of(say_how_it_ended, "two", gate.parameters["gate"])
        running = background.infer("one", parameters, timeout=PATIENCE)
        [pid] = gate.wait_entered()
        kill(agent, pid)
        message, after = result_of(running.result(PATIENCE))
    assert "the worker that ran the request is gone: the worker was killed by SIGKILL" in message
    assert after == "3"


async def asay_how_it_ended(gate: str) -> list[Any]:
    """The same for a stream and a call at once."""
    stream = CONTEXT.get().stream("stream", parameters=parameters_of(doing.linger, gate))
    found = [result_of(await anext(stream))]
    try:
        await anext(stream)
    except UnavailableError as error:
        found.append(str(error))
    return [*found, await acall("two", add, 1, 2)]


def test_a_stream_whose_worker_dies_is_unavailable(agent: Agent, gate: Gate) -> None:
    with Background(agent.server.address) as background:
        parameters = parameters_of(asay_how_it_ended, gate.parameters["gate"])
        running = background.infer("loop", parameters, timeout=PATIENCE)
        [pid] = gate.wait_entered()
        kill(agent, pid)
        first, message, after = result_of(running.result(PATIENCE))
    assert (first, after) == ("first", 3)
    assert "killed by SIGKILL" in message


async def acall_and_stay(gate: str) -> Any:
    """Several calls that stay."""
    return await asyncio.gather(*(acall("pair", stay, gate) for _ in range(4)))


def where() -> int:
    """The process."""
    return os.getpid()


@pytest.mark.parametrize(("name", "function"), [("one", doing.call), ("loop", acall_and_stay)])
def test_a_caller_that_dies_takes_its_calls_with_it(agent: Agent, gate: Gate, name: str, function: Any) -> None:
    path = gate.parameters["gate"]
    with Background(agent.server.address) as background:
        pid = agent.worker(name).run(where)
        arguments = ("pair", "stay", path) if name == "one" else (path,)
        lost = background.infer(name, parameters_of(function, *arguments), timeout=PATIENCE)
        gate.wait_entered()
        kill(agent, pid)
        with pytest.raises(UnavailableError, match="SIGKILL"):
            lost.result(PATIENCE)
        gate.wait_cancelled()
    assert agent.worker(name).run(where) != pid
    # Its calls gave their slots back.
    pair = agent.worker("pair")
    eventually(lambda: pair.run(add, 1, 2) == 3, "the pool serves on")


def test_workers_die_again_and_again_under_calls(agent: Agent) -> None:
    """Whatever dies: every request ends, with an answer or an error, and in the end all is as before."""
    with Background(agent.server.address) as background:
        running = []
        for round_number in range(3):
            running += [background.infer("loop", parameters_of(call_often, 20), timeout=PATIENCE) for _ in range(8)]
            eventually(lambda: len(agent.server.workers()) >= 2, "there are workers")
            for worker in agent.server.workers()[round_number % 2 :: 2]:
                worker.kill()
        ended = 0
        for request in running:
            error = request.exception(PATIENCE)
            assert error is None or (isinstance(error, UnavailableError) and "SIGKILL" in str(error))
            assert error or result_of(request.result()) <= 20
            ended += 1
    assert ended == 24
    assert agent.worker("loop").run(call_often, 20) == 20


async def call_often(count: int) -> int:
    """How many of its calls went well."""
    done = 0
    for number in range(count):
        try:
            assert await acall("two", add, number, 0) == number
            done += 1
        except UnavailableError:
            await asyncio.sleep(0.01)
    return done


async def flood(count: int) -> list[Any]:
    """More calls than may wait; those that are refused are told when to try again."""
    calls = (acall("two", add, number, 0) for number in range(count))
    found = await asyncio.gather(*calls, return_exceptions=True)
    refused = [error for error in found if isinstance(error, ResourceExhaustedError)]
    assert all(error.retry_after is not None for error in refused)
    served = [result for result in found if isinstance(result, int)]
    return [len(served), len(refused)]


def test_more_calls_than_may_wait_are_refused(serve: Serve) -> None:
    server = serve(APP, "--max-queue-size", "50")
    with Client(server.address) as client:
        loop = Remote(client.infer, "loop")
        served, refused = loop.run(flood, 500)
        assert served + refused == 500
        assert served >= 50
        assert refused > 0
        assert loop.run(flood, 20) == [20, 0]
