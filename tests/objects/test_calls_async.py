"""Objects and calls from coroutines: the event loop waits with them, and everything else goes on afterwards."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyserve
import numpy as np
import pytest
from anyserve.errors import DeadlineExceededError, NotFoundError

from tests.gate import Gate
from tests.objects import doing
from tests.objects.doing import named
from tests.objects.remote import PATIENCE, Remote
from tests.objects.test_calls import add, describe_error, stay
from tests.objects.test_references import describe

if TYPE_CHECKING:
    from anyserve import Client


@pytest.fixture
def loop(shared: Client) -> Remote:
    """A worker whose handlers are coroutines."""
    return Remote(shared.infer, "loop")


async def use_everything() -> list[Any]:
    """Each call of the object system, with breaks in between."""
    array = np.full(20_000, 5, np.uint8)
    ref = anyserve.create(array, key="loop")
    await asyncio.sleep(0)
    found = [anyserve.lookup("loop") == ref, doing.summary(anyserve.get("loop")), anyserve.stat(ref).key]
    empty = anyserve.create_empty(20_000, "UINT8")
    await asyncio.sleep(0.01)
    empty.array[:] = 6
    sealed = empty.seal()
    found += [Remote(anyserve.call, "two").run(doing.read, str(sealed)), anyserve.delete(ref)]
    return found


def test_a_coroutine_uses_objects(loop: Remote) -> None:
    assert loop.run(use_everything) == [True, [5, 20_000], "loop", [6, 20_000], True]


async def call_describe(name: str) -> Any:
    """A reference as an input."""
    result = Remote(anyserve.call, "two").infer(describe, inputs={"a": named(name)})
    return result.response.parameters["result"]


def test_a_coroutine_calls_with_a_reference(one: Remote, loop: Remote) -> None:
    ref = one.run(doing.create, 9, 20_000)
    assert loop.run(call_describe, ref) == f'[9, 20000, "UINT8", [20000], "{ref}"]'


TICKS = {"count": 0}


async def tick(gate: str) -> int:
    """Goes on for as long as the test says; how often it had a turn."""
    opened = Gate(gate)
    opened.stay(lambda: True)
    turns = 0
    while not opened.is_open:
        await asyncio.sleep(0.001)
        turns += 1
        TICKS["count"] += 1
    return turns


async def call_while_others_run(count: int) -> list[int]:
    """Calls that hold the loop up, and whether the other coroutine had turns between them."""
    two = Remote(anyserve.call, "two")
    turns = []
    for number in range(count):
        before = TICKS["count"]
        assert two.run(add, number, 1) == number + 1
        while TICKS["count"] == before:
            await asyncio.sleep(0)
        turns.append(TICKS["count"] - before)
    return turns


def test_other_coroutines_go_on_after_a_call(loop: Remote, gate: Gate) -> None:
    with ThreadPoolExecutor(4) as pool:
        ticking = pool.submit(loop.run, tick, gate.parameters["gate"])
        gate.wait_entered()
        calling = [pool.submit(loop.run, call_while_others_run, 50) for _ in range(2)]
        assert all(min(call.result(PATIENCE)) > 0 for call in calling)
        gate.open()
        assert ticking.result(PATIENCE) > 0


async def call_add(left: int, right: int) -> int:
    """A handler that does nothing but call."""
    return int(Remote(anyserve.call, "two").run(add, left, right))


def test_requests_that_arrive_during_a_call_are_served(loop: Remote) -> None:
    """What comes in while the loop waits for an answer is read in the loop's place, and must not be forgotten."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: loop.run(call_add, number, 1), range(200)))
    assert answers == list(range(1, 201))


async def gather_calls(count: int) -> list[int]:
    """Calls from threads beside the loop, which reads the channel meanwhile."""
    return list(await asyncio.gather(*(asyncio.to_thread(add_by_call, number) for number in range(count))))


def add_by_call(number: int) -> int:
    """Runs on a thread."""
    return int(Remote(anyserve.call, "two").run(add, number, 1))


def test_threads_beside_the_loop_call_too(loop: Remote) -> None:
    assert loop.run(gather_calls, 40) == list(range(1, 41))


async def call_on_loop_and_threads(count: int) -> int:
    """Both at once: whoever reads the channel, everybody gets his answer."""
    tasks = [asyncio.create_task(asyncio.to_thread(add_by_call, number)) for number in range(count)]
    total = 0
    for number in range(count):
        total += int(Remote(anyserve.call, "two").run(add, number, 1))
        await asyncio.sleep(0)
    return total + sum(await asyncio.gather(*tasks))


def test_the_loop_and_threads_call_at_once(loop: Remote) -> None:
    assert loop.run(call_on_loop_and_threads, 30) == 2 * sum(range(1, 31))


async def describe_errors() -> list[Any]:
    """The errors of those that are called, and of those that are not there."""
    found: list[Any] = [describe_error("PermissionDeniedError", 2.5)[::2]]
    for wrong in (lambda: anyserve.call("nobody"), lambda: anyserve.get("no such key")):
        try:
            wrong()
        except NotFoundError as error:
            found.append(str(error))
        await asyncio.sleep(0)
    return found


def test_errors_have_their_classes(loop: Remote) -> None:
    error, no_model, no_key = loop.run(describe_errors)
    assert error == ["PermissionDeniedError", 2.5]
    assert "nobody" in no_model
    assert no_key == "no object goes by the key 'no such key'"


async def call_gate(gate: str) -> str:
    """Runs out of time."""
    try:
        Remote(anyserve.call, "two").infer(stay, gate, timeout=1)
    except DeadlineExceededError:
        await asyncio.sleep(0.01)
        return "late"
    return "in time"


def test_a_call_out_of_time_leaves_the_loop_as_it_was(loop: Remote, gate: Gate) -> None:
    assert loop.run(call_gate, gate.parameters["gate"]) == "late"
    gate.wait_cancelled()
    assert loop.run(call_add, 1, 2) == 3
