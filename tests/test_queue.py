"""Requests that wait: up to a limit, and not for those who left."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

import grpc
import pytest
from anyserve import AsyncClient, InferResult
from anyserve.errors import DeadlineExceededError, ResourceExhaustedError
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.background import Background
from tests.gate import Gate
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Serve
    from tests.server import Server

LIMIT = 3
MORE = 5
"""Requests beyond the limit."""


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve("tests.apps.gated:app", "--max-queue-size", str(LIMIT))


def test_what_is_beyond_the_limit_is_refused_at_once(server: Server, gate: Gate) -> None:
    with Background(server.address) as background:
        running = background.infer("once", gate.parameters)
        gate.wait_entered()
        others = {background.infer("quick") for _ in range(LIMIT + MORE)}
        refused: set[Future[InferResult]] = set()
        while len(refused) < MORE:
            done, _ = wait(others - refused, PATIENCE, "FIRST_COMPLETED")
            assert done
            refused |= done
        for request in refused:
            with pytest.raises(
                ResourceExhaustedError, match=r"^3 requests are waiting already, .*\(--max-queue-size\)"
            ):
                request.result()
        gate.open()
        for request in [running, *(others - refused)]:
            request.result(60)
        background.infer("quick").result(60)


def test_the_refusal_says_when_to_try_again(server: Server, gate: Gate) -> None:
    with Background(server.address) as background, grpc.insecure_channel(server.address) as channel:
        background.infer("once", gate.parameters)
        gate.wait_entered()
        others = [background.infer("quick") for _ in range(LIMIT + MORE)]
        done, _ = wait(others, PATIENCE, "FIRST_COMPLETED")
        refusal = done.pop().exception()
        assert isinstance(refusal, ResourceExhaustedError)
        assert refusal.retry_after == 0.1
        while len([request for request in others if request.done()]) < MORE:
            wait([request for request in others if not request.done()], PATIENCE, "FIRST_COMPLETED")
        with pytest.raises(grpc.RpcError) as failure:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(
                service_pb2.ModelInferRequest(model_name="quick")
            )
        assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert ("retry-after-ms", "100") in {tuple(item) for item in failure.value.trailing_metadata()}


async def test_who_leaves_the_queue_makes_room(server: Server, gate: Gate) -> None:
    async with AsyncClient(server.address) as client:
        running = asyncio.create_task(client.infer("once", parameters=gate.parameters))
        await asyncio.to_thread(gate.wait_entered)
        others = [asyncio.create_task(client.infer("quick")) for _ in range(LIMIT + MORE)]
        while sum(task.done() for task in others) < MORE:
            await asyncio.wait([task for task in others if not task.done()], return_when="FIRST_COMPLETED")
        for task in others:
            task.cancel()
        ends = await asyncio.gather(*others, return_exceptions=True)
        assert sum(isinstance(end, ResourceExhaustedError) for end in ends) == MORE
        # Nothing tells when the server has heard of it, so this is tried until it has.
        while isinstance(error := await patient(client), ResourceExhaustedError):
            await asyncio.sleep(0.01)
        assert isinstance(error, DeadlineExceededError)
        gate.open()
        await running


async def patient(client: AsyncClient) -> BaseException | None:
    """Waits in the queue for a moment: how that ends."""
    [error] = await asyncio.gather(client.infer("quick", timeout=0.1), return_exceptions=True)
    return error if isinstance(error, BaseException) else None


async def test_who_left_the_queue_is_never_served(server: Server, gate: Gate, tmp_path: Path) -> None:
    forgotten = Gate(tmp_path / "forgotten")
    async with AsyncClient(server.address) as client:
        running = asyncio.create_task(client.infer("once", parameters=gate.parameters))
        await asyncio.to_thread(gate.wait_entered)
        with pytest.raises(DeadlineExceededError):
            await client.infer("once", parameters={"timeout": 100_000, **forgotten.parameters})
        gate.open()
        await running
        await client.infer("quick")
    assert forgotten.entered() == []
