"""``context.stream``: results as they come, as fast as they are taken, for as long as they are wanted."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anyserve import ModelInferResponse
from anyserve.errors import DeadlineExceededError, PermissionDeniedError

from tests.background import Background
from tests.calls import doing
from tests.gate import Gate
from tests.objects.remote import CONTEXT, PATIENCE, Remote, parameters_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyserve import Client, InferResult

    from tests.objects.remote import Remote as Worker


def results(name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The stream of what a generator in another worker gives."""
    return CONTEXT.get().stream(name, parameters=parameters_of(function, *arguments), **options)


def value(result: InferResult) -> str:
    """What the generator gave."""
    return str(result.response.parameters["result"])


def take_all(name: str, function: str, number: int) -> list[str]:
    """By a loop."""
    return [value(result) for result in results(name, getattr(doing, function), number)]


@pytest.mark.parametrize(("name", "function"), [("stream", "count"), ("astream", "acount")])
@pytest.mark.parametrize("number", [0, 1, 200])
def test_results_come_in_order(one: Worker, name: str, function: str, number: int) -> None:
    assert one.run(take_all, name, function, number) == [str(index) for index in range(number)]


async def take_all_async(name: str, function: str, number: int) -> list[str]:
    """By an async loop."""
    return [value(result) async for result in results(name, getattr(doing, function), number)]


@pytest.mark.parametrize("number", [0, 1, 200])
def test_coroutines_take_them_too(loop: Worker, number: int) -> None:
    expected = [str(index) for index in range(number)]
    assert loop.run(take_all_async, "stream", "count", number) == expected


def take_one() -> list[Any]:
    """Of a handler with one response."""
    found = [value(result) for result in results("two", doing.add, 1, 2)]
    return found


def test_a_handler_with_one_response_can_be_streamed_from(one: Worker) -> None:
    assert one.run(take_one) == ["3"]


def take_until_error(number: int) -> list[str]:
    """What comes before the error, and the error."""
    found = []
    try:
        for result in results("stream", doing.fail_after, number):
            found.append(value(result))
    except PermissionDeniedError as error:
        return [*found, str(error)]
    return found


@pytest.mark.parametrize("number", [0, 3])
def test_an_error_comes_behind_the_results_before_it(one: Worker, number: int) -> None:
    assert one.run(take_until_error, number) == [*(str(index) for index in range(number)), "no more"]


def take_first_and_leave(gate: str, how: str) -> str:
    """Takes one result, and no more."""
    stream = results("stream", doing.linger, gate)
    first = value(next(stream))
    if how == "close":
        stream.close()
        assert list(stream) == []
    elif how == "with":
        with stream:
            pass
    del stream
    return first


@pytest.mark.parametrize("how", ["close", "with", "drop"])
def test_a_stream_that_is_left_is_cancelled(one: Worker, gate: Gate, how: str) -> None:
    assert one.run(take_first_and_leave, gate.parameters["gate"], how) == '"first"'
    gate.wait_cancelled()


async def take_first_and_leave_async(gate: str) -> str:
    """The same for coroutines; somebody else waits for the second."""
    async with aclosing(results("stream", doing.linger, gate)) as stream:
        first = value(await anext(stream))
        second = asyncio.create_task(anext(stream, None))
        await asyncio.sleep(0)
    assert await second is None
    return first


def test_a_coroutine_leaves_a_stream(loop: Worker, gate: Gate) -> None:
    assert loop.run(take_first_and_leave_async, gate.parameters["gate"]) == '"first"'
    gate.wait_cancelled()


async def wait_in_vain(gate: str) -> list[str]:
    """Who gives up waiting for a result loses none."""
    async with results("stream", doing.linger, gate) as stream:
        found = [value(await anext(stream))]
        try:
            await asyncio.wait_for(anext(stream), 0.2)
        except TimeoutError:
            Gate(gate).open()
            found += [value(result) async for result in stream]
    return found


@pytest.mark.parametrize("own_loop", [False, True])
def test_giving_up_on_one_result_loses_none(shared: Client, gate: Gate, own_loop: bool) -> None:
    worker, function = ("one", run_wait_in_vain) if own_loop else ("loop", wait_in_vain)
    assert Remote(shared.infer, worker).run(function, gate.parameters["gate"]) == ['"first"', '"open"']


def run_wait_in_vain(gate: str) -> list[str]:
    """On a loop that does not read the channel."""
    return asyncio.run(wait_in_vain(gate))


def take_slowly(gate: str, number: int) -> list[Any]:
    """Takes one result, then waits for the test, then takes the rest."""
    stream = results("stream", doing.count, number, gate)
    first = value(next(stream))
    Gate(gate).stay()
    return [first, len(list(stream))]


def test_a_stream_is_not_far_ahead_of_who_takes_it(shared: Client, gate: Gate) -> None:
    journal = Path(gate.parameters["gate"] + ".sent")

    def sent() -> int:
        return len(journal.read_text().splitlines()) if journal.exists() else 0

    with Background(shared.endpoint) as background:
        running = background.infer("one", parameters_of(take_slowly, gate.parameters["gate"], 5000), timeout=PATIENCE)
        gate.wait_entered()
        # The windows on the way are full: it comes to a stand, far from the end.
        seen = -1
        while seen != sent():
            seen = sent()
            time.sleep(0.3)
        assert seen < 300
        gate.open()
        assert running.result(PATIENCE).response.parameters["result"] == '["0", 4999]'
    assert sent() == 5000


def big(number: int, size: int) -> Iterator[ModelInferResponse]:
    """Responses with large contents."""
    for index in range(number):
        response = ModelInferResponse(parameters={"result": str(index)})
        response.add_output("a", data=np.full(size, index, np.uint8))
        yield response


def take_big(number: int, size: int) -> list[int]:
    """The first and the last byte of each, and how many there were."""
    sums = [int(result["a"][0]) + int(result["a"][-1]) for result in results("stream", big, number, size)]
    return [len(sums), sum(sums)]


@pytest.mark.parametrize(("number", "size"), [(200, 9_000), (40, 300_000), (5, 3 << 20)])
def test_large_results_come_too(one: Worker, number: int, size: int) -> None:
    assert one.run(take_big, number, size) == [number, 2 * sum(range(number))]


def take_until_late(gate: str) -> list[str]:
    """The timeout holds for the stream as a whole."""
    found = []
    try:
        for result in results("stream", doing.linger, gate, timeout=0.5):
            found.append(value(result))
    except DeadlineExceededError:
        found.append("late")
    return found


def test_a_stream_has_a_timeout(one: Worker, gate: Gate) -> None:
    assert one.run(take_until_late, gate.parameters["gate"]) == ['"first"', "late"]
    gate.wait_cancelled()


def test_a_stream_is_passed_on(shared: Client) -> None:
    stream = shared.stream("astream", parameters=parameters_of(apass_on, 100), timeout=PATIENCE)
    assert [value(result) for result in stream] == [f'"{index}"' for index in range(100)]


async def apass_on(number: int) -> Any:
    """The same by coroutines."""
    async for result in results("stream", doing.count, number):
        yield value(result)


def test_a_client_that_leaves_ends_the_streams_beneath(shared: Client, gate: Gate) -> None:
    with shared.stream("astream", parameters=parameters_of(apass_linger, gate.parameters["gate"])) as stream:
        assert value(next(stream)) == '"first"'
    gate.wait_cancelled()


async def apass_linger(gate: str) -> Any:
    """One that stays."""
    async for result in results("stream", doing.linger, gate):
        yield value(result).strip('"')
