"""``acall``: the event loop goes on, and whoever gives up cancels the call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyserve
import pytest
from anyserve.errors import (
    CancelledError,
    DeadlineExceededError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
)

from tests.calls import doing
from tests.calls.doing import acall, add, stay
from tests.gate import Gate
from tests.objects.remote import CONTEXT, parameters_of, result_of

if TYPE_CHECKING:
    from tests.objects.remote import Remote as Worker


async def gather(count: int) -> list[int]:
    """Many at once, by the context and by the module."""
    module = [anyserve.acall("two", parameters=parameters_of(add, number, 1)) for number in range(count)]
    context = [acall("two", add, number, 1) for number in range(count)]
    results = await asyncio.gather(*module)
    return [result_of(result) for result in results] + await asyncio.gather(*context)


def test_a_coroutine_makes_many_calls_at_once(loop: Worker) -> None:
    assert loop.run(gather, 50) == list(range(1, 51)) * 2


async def call_while_ticking(gate: str) -> list[Any]:
    """The loop has turns while the call waits for the test."""
    call = asyncio.create_task(acall("two", stay, gate))
    ticks = 0
    while not call.done():
        await asyncio.sleep(0.001)
        ticks += 1
        if ticks == 20:
            Gate(gate).open()
    return [ticks >= 20, call.result()]


def test_the_loop_goes_on_meanwhile(loop: Worker, gate: Gate) -> None:
    assert loop.run(call_while_ticking, gate.parameters["gate"]) == [True, "open"]


async def give_up(gate: str) -> Any:
    """Cancels its own call once that runs."""
    call = asyncio.create_task(acall("two", stay, gate))
    while not Gate(gate).entered():
        await asyncio.sleep(0.001)
    call.cancel()
    try:
        await call
    except asyncio.CancelledError:
        return await acall("two", add, 1, 2)
    return "not cancelled"


def test_a_cancelled_task_cancels_its_call(loop: Worker, gate: Gate) -> None:
    assert loop.run(give_up, gate.parameters["gate"]) == 3
    gate.wait_cancelled()


async def time_out(gate: str) -> Any:
    """asyncio's own timeout."""
    try:
        await asyncio.wait_for(acall("two", stay, gate), 0.5)
    except TimeoutError:
        return await acall("two", add, 1, 2)
    return "no timeout"


def test_a_timeout_of_asyncio_cancels_the_call(loop: Worker, gate: Gate) -> None:
    assert loop.run(time_out, gate.parameters["gate"]) == 3
    gate.wait_cancelled()


async def errors() -> list[str]:
    """The classes of what went wrong."""
    found = []
    for name, function, arguments in (("nobody", add, (1, 2)), ("two", deny, ())):
        try:
            await acall(name, function, *arguments)
        except (NotFoundError, PermissionDeniedError) as error:
            found.append(type(error).__name__)
    return found


def deny() -> None:
    """Runs in the worker that is called."""
    raise PermissionDeniedError("no")


def test_errors_have_their_classes(loop: Worker) -> None:
    assert loop.run(errors) == ["NotFoundError", "PermissionDeniedError"]


def call_from_own_loop(count: int) -> list[int]:
    """A handler that is not async runs a loop of its own, which does not read the channel."""

    async def both() -> list[int]:
        async with asyncio.timeout(30):
            with_stream = [result_of(result) async for result in stream_of(count)]
            return list(await asyncio.gather(*(acall("two", add, n, 0) for n in range(count)))) + with_stream

    return asyncio.run(both())


def stream_of(count: int) -> Any:
    """A stream of so many results."""
    return CONTEXT.get().stream("stream", parameters=parameters_of(doing.count, count))


def test_a_loop_of_ones_own_calls_too(one: Worker) -> None:
    assert one.run(call_from_own_loop, 5) == list(range(5)) * 2


def give_up_on_own_loop(gate: str) -> str:
    """The same, given up."""
    try:
        asyncio.run(asyncio.wait_for(acall("two", stay, gate), 0.5))
    except TimeoutError:
        return "gave up"
    return "no timeout"


def test_a_call_from_ones_own_loop_is_cancelled(one: Worker, gate: Gate) -> None:
    assert one.run(give_up_on_own_loop, gate.parameters["gate"]) == "gave up"
    gate.wait_cancelled()


async def too_many(gate: str, count: int) -> list[Any]:
    """More calls than may be under way."""
    tasks = [asyncio.create_task(acall("two", stay, gate)) for _ in range(count)]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    refused = [task.exception() for task in done]
    while len(refused) < count - 1024:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        refused += [task.exception() for task in done]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    kinds = {type(error).__name__ for error in refused}
    return [len(refused), sorted(kinds), str(refused[0])]


def test_1024_calls_of_a_worker_may_be_under_way(loop: Worker, gate: Gate) -> None:
    # Without a deadline: what waits too long for its turn is refused as well.
    found = loop.infer(too_many, gate.parameters["gate"], 1030, timeout=None)
    refused, kinds, message = result_of(found)
    assert (refused, kinds) == (6, [ResourceExhaustedError.__name__])
    assert message == "1024 calls of this worker are under way already, as many as may be"


async def outlive(gate: str) -> int:
    """Leaves a call behind that goes on when the handler has answered."""
    task = asyncio.create_task(acall("pair", stay, gate))
    while not Gate(gate).entered():
        await asyncio.sleep(0.001)
    LEFT_BEHIND.append(task)
    return len(LEFT_BEHIND)


LEFT_BEHIND: list[asyncio.Task[Any]] = []


async def take_left_behind() -> str:
    """What became of it."""
    return str(await LEFT_BEHIND.pop())


def test_a_call_may_outlive_the_handler_that_left_it(loop: Worker, gate: Gate) -> None:
    assert loop.run(outlive, gate.parameters["gate"]) == 1
    gate.open()
    assert loop.run(take_left_behind) == "open"


async def call_given_up(gate: str) -> str:
    """What a coroutine hears that does not go when it is told to."""
    try:
        await acall("two", stay, gate)
    except asyncio.CancelledError:
        try:
            await acall("two", add, 1, 2)
        except CancelledError as error:
            Gate(gate + ".heard").stay(lambda: True)
            return str(error)
    return "not cancelled"


def test_who_was_given_up_makes_no_more_calls(loop: Worker, gate: Gate) -> None:
    with pytest.raises(DeadlineExceededError):
        loop.run(call_given_up, gate.parameters["gate"], timeout=1)
    Gate(gate.parameters["gate"] + ".heard").wait_entered()
