"""What goes wrong in a batch: for one of its requests, or for all of them."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anyserve import AsyncClient, Client, InferResult
from anyserve.errors import (
    CancelledError,
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    RequestError,
    ResourceExhaustedError,
    UnavailableError,
)

from tests.background import Background
from tests.gate import Gate
from tests.metrics import Metrics
from tests.server import Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.conftest import Serve

    Tasks = list[asyncio.Task[InferResult]]

MOST = 4
"""The max_batch_size of tests.apps.batching."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.batching:app") as server:
        yield server.wait_ready()


def ends(server: Server, kind: str, parameters: Sequence[dict[str, str]]) -> list[Any]:
    """Sends so many requests that make one batch: the results and errors, in the order of the parameters."""
    with Background(server.address) as background:
        requests = [background.infer(kind, given, request_id=f"r{index}") for index, given in enumerate(parameters)]
        return [request.exception(60) or request.result() for request in requests]


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ("ValueError: too long", InternalError, "ValueError: too long"),
        ("KeyError: x", InternalError, "KeyError: 'x'"),
        ("InvalidArgumentError: too long", InvalidArgumentError, "too long"),
        ("UnavailableError: not yet", UnavailableError, "not yet"),
        ("CancelledError: no more", CancelledError, "no more"),
    ],
)
def test_an_exception_in_the_place_of_a_response_fails_that_request_alone(
    server: Server, given: str, kind: type[RequestError], message: str
) -> None:
    first, *others = ends(server, "results", [{"give": given}, {}, {}, {}])
    assert (type(first), str(first)) == (kind, message)
    assert [np.asarray(other["size"]).tolist() for other in others] == [[MOST]] * 3


@pytest.mark.parametrize("given", ["None", "dict", "class", "exit"])
def test_what_is_neither_a_response_nor_an_exception_fails_that_request_alone(server: Server, given: str) -> None:
    first, *others = ends(server, "results", [{"give": given}, {}, {}, {}])
    assert isinstance(first, InternalError)
    assert re.search(r"^handler results returned .*; it must return a ModelInferResponse", str(first))
    assert all(isinstance(other, InferResult) for other in others)


def test_a_coroutine_for_a_batch_fails_in_the_same_ways(server: Server, client: Client) -> None:
    for how, message in (("give", "too long"), ("raise", "too long"), ("return", "handler coroutine returned None")):
        with pytest.raises(RequestError, match=f"^{message}"):
            client.infer("coroutine", parameters={how: "None" if how == "return" else "NotFoundError: too long"})


def test_each_request_has_its_own_error(server: Server) -> None:
    found = ends(server, "results", [{"give": f"InvalidArgumentError: {index}"} for index in range(MOST)])
    assert [str(error) for error in found] == ["0", "1", "2", "3"]


def test_an_error_in_a_batch_says_when_to_try_again(server: Server) -> None:
    first, *_ = ends(server, "results", [{"give": "later"}, {}, {}, {}])
    assert isinstance(first, ResourceExhaustedError)
    assert first.retry_after == 2.5


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        ("ValueError: all of it", InternalError, "ValueError: all of it"),
        ("InvalidArgumentError: all of it", InvalidArgumentError, "all of it"),
    ],
)
def test_a_handler_that_raises_fails_the_whole_batch(
    server: Server, raised: str, kind: type[RequestError], message: str
) -> None:
    found = ends(server, "results", [{}, {"raise": raised}, {}, {}])
    assert [(type(error), str(error)) for error in found] == [(kind, message)] * MOST


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("None", "returned None, not a list of responses, for a batch of 4 requests"),
        ("one less", "returned 3 responses for a batch of 4 requests"),
        ("one more", "returned 5 responses for a batch of 4 requests"),
        ("empty", "returned 0 responses for a batch of 4 requests"),
        ("dict", "returned dict, not a list of responses, for a batch of 4 requests"),
        ("response", "returned ModelInferResponse, not a list of responses, for a batch of 4 requests"),
        ("str", "returned str, not a list of responses, for a batch of 4 requests"),
        ("generator", "returned list_iterator, not a list of responses, for a batch of 4 requests"),
    ],
)
def test_what_is_no_answer_for_each_request_fails_the_whole_batch(server: Server, what: str, message: str) -> None:
    found = ends(server, "results", [{}, {}, {"return": what}, {}])
    assert [str(error) for error in found] == [f"handler results {message}"] * MOST
    assert {type(error) for error in found} == {InternalError}


def test_a_tuple_of_responses_will_do(server: Server) -> None:
    found = ends(server, "results", [{"return": "tuple"}, {}, {}, {}])
    assert all(isinstance(result, InferResult) for result in found)


def test_the_worker_outlives_every_bad_answer(server: Server) -> None:
    workers = server.workers()
    ends(server, "results", [{"return": "None"}, {}, {}, {}])
    ends(server, "results", [{"raise": "ValueError: x"}, {}, {}, {}])
    assert all(isinstance(result, InferResult) for result in ends(server, "results", [{}] * MOST))
    assert server.workers() == workers


async def running_batch(
    server: Server, client: AsyncClient, kind: str, folder: Path, **parameters: Any
) -> tuple[Tasks, Gate]:
    """The requests of a full batch that stays in the gate; the parameters are for one of them."""
    busy, gate = Gate(folder / "busy"), Gate(folder / "batch")
    before = asyncio.create_task(client.infer("batch", parameters=busy.parameters))
    await asyncio.to_thread(busy.wait_entered)
    each = [{**gate.parameters, **(parameters if index == 1 else {})} for index in range(MOST)]
    tasks = [asyncio.create_task(client.infer(kind, parameters=given)) for given in each]
    await asyncio.to_thread(Metrics(server).wait_waiting, kind, MOST)
    busy.open()
    await before
    await asyncio.to_thread(gate.wait_entered)
    return tasks, gate


async def test_who_leaves_a_running_batch_is_told_apart(server: Server, tmp_path: Path) -> None:
    async with AsyncClient(server.address) as client:
        tasks, _ = await running_batch(server, client, "contexts", tmp_path)
        tasks[1].cancel()
        # The handler goes on when it sees that a request was cancelled.
        results = await asyncio.gather(tasks[0], *tasks[2:])
    assert [np.asarray(result["size"]).item() for result in results] == [MOST] * 3
    assert not any(np.asarray(result["cancelled"]).item() for result in results)
    assert tasks[1].cancelled()


async def test_a_deadline_in_a_running_batch_ends_its_request_alone(server: Server, tmp_path: Path) -> None:
    async with AsyncClient(server.address) as client:
        tasks, _ = await running_batch(server, client, "contexts", tmp_path, timeout=2_000_000)
        with pytest.raises(DeadlineExceededError, match="the deadline passed after"):
            await tasks[1]
        results = await asyncio.gather(tasks[0], *tasks[2:])
    assert [np.asarray(result["size"]).item() for result in results] == [MOST] * 3


async def test_a_coroutine_for_a_batch_goes_on_while_anybody_waits_for_it(server: Server, tmp_path: Path) -> None:
    async with AsyncClient(server.address) as client:
        tasks, gate = await running_batch(server, client, "coroutine", tmp_path)
        for task in tasks[1:]:
            task.cancel()
        metrics = Metrics(server)
        await asyncio.to_thread(
            eventually,
            lambda: metrics.of("requests_total", "coroutine", outcome="cancelled") == MOST - 1,
            "the server knows who left",
        )
        gate.open()
        assert np.asarray((await tasks[0])["size"]).item() == MOST


async def test_a_coroutine_for_a_batch_is_cancelled_when_nobody_waits_for_it(server: Server, tmp_path: Path) -> None:
    async with AsyncClient(server.address) as client:
        tasks, _ = await running_batch(server, client, "coroutine", tmp_path)
        for task in tasks:
            task.cancel()
        # The worker runs one batch at a time, and the gate stays closed.
        await client.infer("coroutine", timeout=60)


@pytest.mark.parametrize("kind", ["deadly", "deadly-again"])
def test_a_worker_that_dies_in_a_batch(serve: Serve, gate: Gate, kind: str) -> None:
    server = serve("tests.apps.batching:app")
    found = ends(server, kind, [gate.parameters] * MOST)
    if kind == "deadly":
        assert {type(error) for error in found} == {UnavailableError}
        assert all("killed by SIGKILL" in str(error) for error in found)
        assert len(gate.entered()) == 1
    else:
        # Another worker took the batch, all of it.
        assert [np.asarray(result["size"]).tolist() for result in found] == [[MOST]] * MOST
        assert len(set(gate.entered())) == 2
