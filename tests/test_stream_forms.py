"""Every form of a streaming handler, through every client: all responses, in order, each with its request's names."""

from __future__ import annotations

import asyncio
import queue
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from anyserve import AsyncClient, Client, InferResult

from tests.streams import EMPTY_FINAL, Call, Servers, ask, number
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.server import Server

MANY = 300
"""More than may be under way at once."""

SYNC = ["sent", "yielded", "returned"]
FORMS = [
    *(("app", model) for model in SYNC),
    *(("threads", model) for model in SYNC),
    *(("loop", model) for model in [*SYNC, "async-sent", "async-yielded"]),
]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers("tests.apps.streaming") as servers:
        yield servers


@pytest.fixture(params=FORMS, ids=lambda form: "-".join(form))
def form(request: pytest.FixtureRequest, servers: Servers) -> tuple[Server, str]:
    """A server and the name of a handler."""
    app, model = request.param
    return servers[app], model


def numbers(results: list[InferResult], output: str = "OUT") -> list[int]:
    return [int(np.asarray(result[output]).item()) for result in results]


def test_the_blocking_client(form: tuple[Server, str]) -> None:
    server, model = form
    with Client(server.address) as client:
        for count in (MANY, 1, 0):
            results = list(client.stream(model, {"N": [count]}, request_id="17", timeout=60))
            assert numbers(results) == list(range(count))
            assert {(result.response.id, result.response.model_name) for result in results} <= {("17", model)}
        squares = list(client.stream(model, {"N": [4]}, outputs=["SQUARE"]))
    assert [list(result) for result in squares] == [["SQUARE"]] * 4
    assert numbers(squares, "SQUARE") == [0, 1, 4, 9]


async def test_the_asyncio_client(form: tuple[Server, str]) -> None:
    server, model = form
    async with AsyncClient(server.address) as client:

        async def collect(count: int) -> list[InferResult]:
            return [result async for result in client.stream(model, {"N": [count]}, request_id=str(count))]

        counts = [MANY, 0, 1, 2, 100, MANY + 1]
        for count, results in zip(counts, await asyncio.gather(*map(collect, counts)), strict=True):
            assert numbers(results) == list(range(count))
            assert all(result.response.id == str(count) for result in results)


def triton_input(count: int) -> list[Any]:
    made = tritonclient.grpc.InferInput("N", [1], "INT64")
    made.set_data_from_numpy(np.array([count]))
    return [made]


def test_tritonclient(form: tuple[Server, str]) -> None:
    server, model = form
    heard: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    with tritonclient.grpc.InferenceServerClient(server.address) as triton:
        triton.start_stream(lambda result, error: heard.put((result, error)))
        for count in (MANY, 3):
            triton.async_stream_infer(model, triton_input(count), request_id=str(count))
        seen: dict[str, list[int]] = {"3": [], str(MANY): []}
        for _ in range(3 + MANY):
            result, error = heard.get(timeout=PATIENCE)
            assert error is None
            seen[result.get_response().id].append(int(result.as_numpy("OUT").item()))
        triton.stop_stream()
    assert seen == {"3": [0, 1, 2], str(MANY): list(range(MANY))}
    assert heard.empty()


async def test_tritonclient_for_asyncio(form: tuple[Server, str]) -> None:
    server, model = form

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for count in (MANY, 3):
            output = tritonclient.grpc.InferRequestedOutput("SQUARE")
            inputs = triton_input(count)
            yield {"model_name": model, "inputs": inputs, "outputs": [output], "request_id": str(count)}

    seen: dict[str, list[int]] = {"3": [], str(MANY): []}
    async with tritonclient.grpc.aio.InferenceServerClient(server.address) as triton:
        async for result, error in triton.stream_infer(requests()):
            assert error is None
            assert result.as_numpy("OUT") is None
            seen[result.get_response().id].append(int(result.as_numpy("SQUARE").item()))
    assert seen == {id: [number * number for number in range(int(id))] for id in seen}


def test_a_call_of_the_protocol(form: tuple[Server, str]) -> None:
    server, model = form
    with Call(server) as call:
        call.send(ask(model, 2, id="a"), ask(model, MANY, id="b", parameters=EMPTY_FINAL), ask(model, 0, id="c"))
        seen: dict[str, list[int]] = {"a": [], "b": []}
        for response in call.rest():
            infer = response.infer_response
            assert infer.model_name == model
            if infer.outputs:
                assert [output.name for output in infer.outputs] == ["OUT", "SQUARE"]
                seen[infer.id].append(number(response))
    assert seen == {"a": [0, 1], "b": list(range(MANY))}
