"""No request waits behind a busy worker while another one is free."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from anyserve import AsyncClient

from tests.background import Background, pid_of
from tests.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Serve
    from tests.server import Server

ROUNDS = 5


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve("tests.apps.gated:app", "--workers", "2")


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[list[Gate]]:
    gates = [Gate(tmp_path / f"gate{number}") for number in range(ROUNDS)]
    yield gates
    for gate in gates:
        gate.open()


async def quick(client: AsyncClient, count: int) -> set[int]:
    """Sends so many fast requests at once: who answered."""
    results = await asyncio.gather(*(client.infer("quick", timeout=60) for _ in range(count)))
    return {pid_of(result) for result in results}


async def test_fast_requests_pass_a_slow_one(server: Server, gate: Gate) -> None:
    async with AsyncClient(server.address) as client:
        slow = asyncio.create_task(client.infer("once", parameters=gate.parameters))
        [busy] = await asyncio.to_thread(gate.wait_entered)
        assert busy not in await quick(client, 300)
        assert not slow.done()
        gate.open()
        assert pid_of(await slow) == busy


async def test_fast_requests_pass_slow_ones_that_come_in_between(server: Server, gates: list[Gate]) -> None:
    async with AsyncClient(server.address) as client:
        # Fast handlers get their requests ahead of time.
        await quick(client, 500)
        for gate in gates:
            before = asyncio.create_task(quick(client, 200))
            slow = asyncio.create_task(client.infer("once", parameters=gate.parameters))
            after = asyncio.create_task(quick(client, 200))
            await before
            await after
            assert not slow.done()
            [busy] = await asyncio.to_thread(gate.wait_entered)
            gate.open()
            assert pid_of(await slow) == busy


async def test_a_worker_that_was_slow_gets_work_again(server: Server, gate: Gate) -> None:
    async with AsyncClient(server.address) as client:
        slow = asyncio.create_task(client.infer("once", parameters=gate.parameters))
        await asyncio.to_thread(gate.wait_entered)
        await quick(client, 100)
        gate.open()
        await slow
        for _ in range(20):
            if len(await quick(client, 200)) == 2:
                return
    pytest.fail("one worker does all the work")


def test_two_slow_requests_run_side_by_side(server: Server, gate: Gate) -> None:
    with Background(server.address) as background:
        slow = [background.infer("once", gate.parameters) for _ in range(2)]
        pids = gate.wait_entered(2)
        assert len(set(pids)) == 2
        gate.open()
        assert {pid_of(request.result(60)) for request in slow} == set(pids)
