"""Ten times as many requests as the worker can serve: it serves as many as ever, in time, and the others hear so."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import psutil
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.apps.loaded import SERVICE, SLO
from tests.metrics import Metrics

if TYPE_CHECKING:
    from tests.conftest import Serve

SECONDS = float(os.environ.get("ANYSERVE_TEST_OVERLOAD_SECONDS", "15"))
"""How long the whole of it takes."""

TIMES = 10
"""Requests for each that can be served."""

TICK = 0.01
"""Seconds between two handfuls of requests."""


class Load:
    """A light client, and what became of its requests."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        self.ends: Counter[str] = Counter()
        self.hints: list[int] = []

    async def send(self) -> None:
        try:
            await self._call(service_pb2.ModelInferRequest(model_name="slow"))
            self.ends["OK"] += 1
        except grpc.aio.AioRpcError as error:
            self.ends[error.code().name] += 1
            self.hints += [int(value) for key, value in error.trailing_metadata() or () if key == "retry-after-ms"]

    async def closed(self, clients: int, seconds: float) -> None:
        """So many clients, each of which sends one after the other."""
        until = time.monotonic() + seconds

        async def one() -> None:
            while time.monotonic() < until:
                await self.send()

        await asyncio.gather(*(one() for _ in range(clients)))

    async def opened(self, rate: float, seconds: float) -> None:
        """So many requests in each second, whatever becomes of them."""
        started = time.monotonic()
        tasks: set[asyncio.Task[None]] = set()
        sent = 0
        while (elapsed := time.monotonic() - started) < seconds:
            due = int(elapsed * rate) - sent
            for _ in range(due):
                task = asyncio.create_task(self.send())
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            sent += due
            await asyncio.sleep(TICK)
        await asyncio.gather(*tasks)


class InTime:
    """How many requests were served, and how many of them within the target, by the server's own clock."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._before = self._read()
        self._started = time.monotonic()

    def so_far(self) -> tuple[float, float, float]:
        """The served, those of them in time, and these in each second."""
        now, seconds = self._read(), time.monotonic() - self._started
        served, in_time = (after - before for after, before in zip(now, self._before, strict=True))
        return served, in_time, in_time / seconds

    def _read(self) -> tuple[float, float]:
        name = "first_response_seconds"
        return self._metrics.of(f"{name}_count", "slow"), self._metrics.of(f"{name}_bucket", "slow", le=str(SLO))


@pytest.mark.timeout(4 * SECONDS + 120)
async def test_ten_times_too_much(serve: Serve, record_property: Any) -> None:
    server = serve("tests.apps.loaded:app")
    metrics, agent = Metrics(server), psutil.Process(server.process.pid)
    async with grpc.aio.insecure_channel(server.address) as channel:
        at_capacity = InTime(metrics)
        await Load(channel).closed(4, SECONDS / 4)
        *_, capacity = at_capacity.so_far()
        load, overloaded = Load(channel), InTime(metrics)
        await load.opened(TIMES / SERVICE, SECONDS / 4)
        memory = agent.memory_info().rss
        await load.opened(TIMES / SERVICE, SECONDS / 2)
        served, in_time, goodput = overloaded.so_far()
        grown = agent.memory_info().rss / memory
    numbers = {
        "served_per_second_at_capacity": capacity,
        "served_per_second_in_overload": goodput,
        "sent_for_each_served": load.ends.total() / load.ends["OK"],
        "share_in_time": in_time / served,
        "agent_memory_grown": grown,
        "agent_memory_mib": agent.memory_info().rss / 2**20,
        "ends": dict(load.ends),
        "retry_after_ms": (min(load.hints, default=0), max(load.hints, default=0)),
    }
    print(numbers)
    record_property("overload", str(numbers))
    assert set(load.ends) == {"OK", "RESOURCE_EXHAUSTED"}
    assert (len(load.hints), min(load.hints) > 0) == (load.ends["RESOURCE_EXHAUSTED"], True)
    # Else it was no overload: the machine had no time for the client.
    assert load.ends.total() > TIMES / 2 * served
    assert metrics.value("rejections_total", reason="predicted_miss") == load.ends["RESOURCE_EXHAUSTED"]
    assert in_time >= 0.95 * served
    assert goodput >= 0.9 * capacity
    assert grown < 1.2
