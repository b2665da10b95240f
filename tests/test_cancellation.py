"""A client that leaves takes its request with it, and a handler that asks is told."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from anyserve import AsyncClient, Client
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.server import ROOT, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Serve
    from tests.gate import Gate


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.gated:app") as server:
        workers = server.wait_ready().workers()
        yield server
        with Client(server.address) as client:
            client.infer("quick", timeout=60)
        assert server.workers() == workers


async def test_a_cancelled_task_cancels_its_request(server: Server, gate: Gate) -> None:
    async with AsyncClient(server.address) as client:
        task = asyncio.create_task(client.infer("watchful", parameters=gate.parameters))
        await asyncio.to_thread(gate.wait_entered)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(gate.wait_cancelled)
        await client.infer("quick")


async def test_a_task_out_of_time_cancels_its_request(server: Server, gate: Gate) -> None:
    async with AsyncClient(server.address) as client:
        task = asyncio.create_task(client.infer("watchful", parameters=gate.parameters))
        await asyncio.to_thread(gate.wait_entered)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task, 0.01)
        await asyncio.to_thread(gate.wait_cancelled)


async def test_cancelled_tasks_harm_no_other(serve: Serve) -> None:
    server = serve("tests.apps.gated:app", "--workers", "2")
    async with AsyncClient(server.address) as client:
        # Somewhere there the cancellations catch up with the requests.
        for moment in np.linspace(0.005, 0.02, 40):
            tasks = [asyncio.create_task(client.infer("quick")) for _ in range(300)]
            await asyncio.sleep(float(moment))
            for task in tasks[::2]:
                task.cancel()
            # Raises what any of the others raised.
            await asyncio.gather(*tasks[1::2])
            await asyncio.gather(*tasks[::2], return_exceptions=True)
        # Nothing is left of those that were cancelled: the drain has nothing to wait for.
        await client.infer("quick")
    assert server.stop() == 0
    assert server.stderr.text == ""


def test_a_cancelled_call_cancels_its_request(server: Server, gate: Gate) -> None:
    request = service_pb2.ModelInferRequest(model_name="watchful")
    request.parameters["gate"].string_param = gate.parameters["gate"]
    with grpc.insecure_channel(server.address) as channel:
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(request)
        gate.wait_entered()
        call.cancel()
        gate.wait_cancelled()
        assert call.code() is grpc.StatusCode.CANCELLED


def client_process(server: Server, gate: Gate) -> subprocess.Popen[str]:
    """A process that waits for a handler in the gate."""
    code = (
        f"from anyserve import Client\nClient({server.address!r}).infer('watchful', parameters={gate.parameters!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    gate.wait_entered()
    return process


def test_a_client_that_dies_cancels_its_request(server: Server, gate: Gate) -> None:
    with client_process(server, gate) as process:
        process.kill()
        gate.wait_cancelled()


def test_a_blocking_client_hears_an_interrupt(server: Server, gate: Gate) -> None:
    with client_process(server, gate) as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert "KeyboardInterrupt" in errors
        assert process.returncode == -signal.SIGINT
        gate.wait_cancelled()


def test_a_handler_that_does_not_ask_finishes_in_peace(server: Server, gate: Gate) -> None:
    with grpc.insecure_channel(server.address) as channel, contextlib.suppress(grpc.FutureCancelledError):
        request = service_pb2.ModelInferRequest(model_name="once")
        request.parameters["gate"].string_param = gate.parameters["gate"]
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(request)
        [pid] = gate.wait_entered()
        call.cancel()
        gate.open()
    assert pid in {worker.pid for worker in server.workers()}
