"""Calls that could never run end with an error that says so; those that could, run."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from anyserve import Client
from anyserve.errors import FailedPreconditionError

from tests.background import Background
from tests.calls import doing
from tests.calls.doing import acall, add, stay
from tests.gate import Gate
from tests.objects.remote import CONTEXT, PATIENCE, Remote, parameters_of, result_of

if TYPE_CHECKING:
    from tests.conftest import Serve
    from tests.objects.remote import Remote as Worker

NEVER = "can never run"


def chain(*names: str) -> Any:
    """Each calls the next; the last one adds."""
    first, *others = names
    function, arguments = (chain, tuple(others)) if others else (add, (1, 2))
    try:
        return Remote(CONTEXT.get().call, first).run(function, *arguments)
    except FailedPreconditionError as error:
        return str(error)


@pytest.mark.parametrize(
    "names", [("one", "one"), ("one", "two", "one"), ("one", "two", "pair", "two"), ("pair", "pair", "pair")]
)
def test_a_call_of_a_worker_that_waits_for_it_ends(shared: Client, names: tuple[str, ...]) -> None:
    """The last one called is told, and the first hears it: nothing hangs."""
    found = Remote(shared.infer, names[0]).run(chain, *names[1:])
    assert NEVER in found
    assert f"{{model: {names[-1]}, type: caller}}" in found
    assert f"pool '{names[-1]}'" in found


@pytest.mark.parametrize("names", [("pair", "pair"), ("many", "many"), ("one", "two", "pair", "pair"), ("loop",) * 5])
def test_a_call_for_which_there_is_another_slot_runs(shared: Client, names: tuple[str, ...]) -> None:
    if "loop" in names:
        assert Remote(shared.infer, "loop").run(achain, 5) == 3
    else:
        assert Remote(shared.infer, names[0]).run(chain, *names[1:]) == 3


async def achain(depth: int) -> Any:
    """A coroutine that calls its own worker."""
    return await acall("loop", achain, depth - 1) if depth else await acall("two", add, 1, 2)


def test_a_third_worker_that_may_not_start_is_none(shared: Client) -> None:
    assert "pool 'many', which runs 2 at once" in Remote(shared.infer, "many").run(chain, "many", "many")


async def gather_with_self(gate: str) -> list[str]:
    """A call that can run beside one that cannot."""
    calls = [acall("two", stay, gate), acall("narrow", anothing)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    return [str(result) for result in found]


async def anothing() -> None:
    """Never runs."""


def test_a_handler_that_waits_for_more_than_that_is_told_when_nothing_else_is_left(shared: Client, gate: Gate) -> None:
    with Background(shared.endpoint) as background:
        parameters = parameters_of(gather_with_self, gate.parameters["gate"])
        running = background.infer("narrow", parameters, timeout=PATIENCE)
        gate.wait_entered()
        gate.open()
        first, second = result_of(running.result(PATIENCE))
    assert first == "open"
    assert NEVER in second


def call_across(gate: str, name: str) -> Any:
    """Calls the other one once both run."""
    Gate(gate).stay()
    return doing.call(name, "add", 1, 2)


def test_two_that_call_each_other_at_once_go_on(shared: Client, gate: Gate) -> None:
    """One of them is told; the other's call runs then."""
    path = gate.parameters["gate"]
    with ThreadPoolExecutor(2) as pool:
        pairs = (("one", "two"), ("two", "one"))
        both = [pool.submit(Remote(shared.infer, name).run, call_across, path, other) for name, other in pairs]
        gate.wait_entered(2)
        gate.open()
        found = [result.result(PATIENCE) for result in both]
    told = [result for result in found if result != 3]
    assert len(told) == 1
    assert told[0][0] == "FailedPreconditionError"
    assert NEVER in told[0][1]


def test_a_queue_in_front_of_a_slot_is_no_circle(shared: Client) -> None:
    """Many callers of one worker wait for each other's turns, and have them."""
    with ThreadPoolExecutor(16) as pool:
        loop = Remote(shared.infer, "loop")
        assert list(pool.map(lambda number: loop.run(acall_two, number), range(64))) == list(range(64))


async def acall_two(number: int) -> int:
    """Something short."""
    return int(await acall("two", add, number, 0))


def stream_of_itself() -> str:
    """The same as a stream."""
    try:
        list(CONTEXT.get().stream("one", parameters=parameters_of(add, 1, 2)))
    except FailedPreconditionError as error:
        return str(error)
    return "no error"


def test_a_stream_that_could_never_begin_ends(one: Worker) -> None:
    assert NEVER in one.run(stream_of_itself)


def test_a_machine_that_those_fill_who_wait_is_told(serve: Serve) -> None:
    """The one GPU belongs to the worker that calls what needs it."""
    server = serve("tests.calls.apps.crowded:app", "--gpus", "0")
    with Client(server.address) as client:
        found = Remote(client.infer, "left").run(chain, "right")
        assert NEVER in found
        assert "pool 'right', for whose workers there is no room" in found
        # When it does not wait, it goes.
        assert Remote(client.infer, "right").run(add, 1, 2) == 3
    roomy = serve("tests.calls.apps.crowded:app", "--gpus", "0,1")
    with Client(roomy.address) as client:
        assert Remote(client.infer, "left").run(chain, "right") == 3
