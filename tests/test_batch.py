"""Batches: they fill while the worker is busy, or for as long as they may wait, and never beyond their size."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anyserve import AsyncClient, Client

from tests.background import Background
from tests.metrics import Metrics
from tests.server import Server

if TYPE_CHECKING:
    from concurrent.futures import Future

    from anyserve import InferResult

    from tests.conftest import Serve
    from tests.gate import Gate

MOST = 4
"""The max_batch_size of tests.apps.batching."""


@pytest.fixture(scope="module")
def server() -> Any:
    with Server("tests.apps.batching:app") as server:
        yield server.wait_ready()


def number(result: InferResult, name: str) -> int:
    """An output of one element."""
    [found] = np.asarray(result[name]).tolist()
    return int(found)


def sizes(requests: list[Future[InferResult]]) -> list[int]:
    """The sizes of the batches that the requests were in, each once."""
    results = [request.result(60) for request in requests]
    return sorted(number(result, "size") for result in results if number(result, "index") == 0)


def test_a_request_alone_is_a_batch_of_one(client: Client) -> None:
    result = client.infer("batch", request_id="alone")
    assert (number(result, "index"), number(result, "size"), result["asked"]) == (0, 1, [b"alone"])


@pytest.mark.parametrize(
    ("kind", "count", "batches"), [("batch", 4, [4]), ("batch", 10, [2, 4, 4]), ("coroutine", 6, [2, 4])]
)
def test_batches_fill_while_the_worker_is_busy(
    server: Server, gate: Gate, kind: str, count: int, batches: list[int]
) -> None:
    with Background(server.address) as background:
        running = background.infer(kind, gate.parameters)
        gate.wait_entered()
        waiting = [background.infer(kind) for _ in range(count)]
        Metrics(server).wait_waiting(kind, count)
        gate.open()
        assert sizes(waiting) == batches
        assert sizes([running]) == [1]


def test_each_request_of_a_batch_has_its_own_answer(server: Server, gate: Gate) -> None:
    with Background(server.address) as background:
        background.infer("batch", gate.parameters)
        gate.wait_entered()
        waiting = {name: background.infer("batch", request_id=name) for name in "abcdefg"}
        Metrics(server).wait_waiting("batch", len(waiting))
        gate.open()
        answers = {name: request.result(60) for name, request in waiting.items()}
    assert {name: result["asked"] for name, result in answers.items()} == {name: [name.encode()] for name in "abcdefg"}
    assert {result.response.id for result in answers.values()} == set("abcdefg")


def test_a_batch_is_in_the_order_of_arrival(server: Server, gate: Gate) -> None:
    metrics = Metrics(server)
    with Background(server.address) as background:
        background.infer("batch", gate.parameters)
        gate.wait_entered()
        waiting = []
        for count in range(1, MOST + 1):
            waiting.append(background.infer("batch"))
            metrics.wait_waiting("batch", count)
        gate.open()
        assert [number(request.result(60), "index") for request in waiting] == [0, 1, 2, 3]


def test_a_batch_that_may_wait_goes_when_it_is_full(server: Server) -> None:
    with Background(server.address) as background:
        waiting = [background.infer("full") for _ in range(MOST - 1)]
        Metrics(server).wait_waiting("full", MOST - 1)
        waiting.append(background.infer("full"))
        assert sizes(waiting) == [MOST]


def test_a_batch_that_may_wait_goes_when_the_delay_is_over(server: Server) -> None:
    with Background(server.address) as background:
        waiting = [background.infer("soon") for _ in range(MOST - 2)]
        assert sum(sizes(waiting)) == MOST - 2


def test_a_batch_waits_for_others_while_the_worker_is_free(server: Server, client: Client) -> None:
    metrics = Metrics(server)
    waited = metrics.of("queue_seconds_sum", "soon")
    assert number(client.infer("soon"), "size") == 1
    assert metrics.of("queue_seconds_sum", "soon") - waited >= 0.29


def test_a_batch_that_may_wait_goes_before_a_request_is_late(client: Client) -> None:
    assert number(client.infer("full", timeout=2), "size") == 1
    assert number(client.infer("full", parameters={"timeout": 2_000_000}), "size") == 1


def test_a_batch_that_waits_holds_nobody_else_up(server: Server, client: Client) -> None:
    with Background(server.address) as background:
        waiting = [background.infer("full") for _ in range(MOST - 1)]
        Metrics(server).wait_waiting("full", MOST - 1)
        assert number(client.infer("batch", timeout=60), "size") == 1
        waiting.append(background.infer("full"))
        assert sizes(waiting) == [MOST]


async def test_who_left_a_batch_that_waits_is_not_in_it(server: Server) -> None:
    metrics = Metrics(server)
    async with AsyncClient(server.address) as client:
        leaving = asyncio.create_task(client.infer("full"))
        await asyncio.to_thread(metrics.wait_waiting, "full", 1)
        leaving.cancel()
        await asyncio.to_thread(metrics.wait_waiting, "full", 0)
        results = await asyncio.gather(*(client.infer("full") for _ in range(MOST)))
    assert sorted(number(result, "index") for result in results) == [0, 1, 2, 3]


def test_a_batch_handler_sees_the_context_of_each_request(server: Server, gate: Gate) -> None:
    with Background(server.address) as background:
        running = background.infer("contexts", gate.parameters, timeout=60)
        gate.wait_entered()
        waiting = [background.infer("contexts", timeout=60) for _ in range(2)]
        waiting.append(background.infer("contexts"))
        Metrics(server).wait_waiting("contexts", 3)
        gate.open()
        results = [request.result(60) for request in [running, *waiting]]
    assert [number(result, "limited") for result in results] == [1, 1, 1, 0]
    assert {number(result, "cancelled") for result in results} == {0}
    assert {tuple(result["type"]) for result in results} == {(b"contexts",)}


def test_batches_of_several_workers_run_side_by_side(serve: Serve, gate: Gate) -> None:
    server = serve("tests.apps.batching:app", "--workers", "2")
    with Background(server.address) as background:
        slow = [background.infer("batch", gate.parameters) for _ in range(2)]
        entered = gate.wait_entered(2)
        waiting = [background.infer("batch") for _ in range(2 * MOST)]
        Metrics(server).wait_waiting("batch", 2 * MOST)
        gate.open()
        assert sizes(waiting) == [MOST, MOST]
        assert {number(request.result(60), "pid") for request in slow} == set(entered)


def test_a_stop_does_not_wait_for_batches_to_fill(serve: Serve) -> None:
    server = serve("tests.apps.batching:app", "--drain-timeout", "1")
    with Background(server.address) as background:
        waiting = [background.infer("full") for _ in range(MOST - 1)]
        Metrics(server).wait_waiting("full", MOST - 1)
        assert server.stop() == 0
        assert sizes(waiting) == [MOST - 1]
