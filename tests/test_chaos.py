"""Workers die all the time, and still every request ends, once, and with its own answer."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import numpy as np
import psutil
from anyserve import AsyncClient
from anyserve.errors import UnavailableError

from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import Serve

CALLERS = 30
KILLS = 9
WORKERS = 3


async def test_every_request_ends_with_its_own_answer_or_unavailable(serve: Serve) -> None:
    server = serve("examples.basic.app:app", "--workers", str(WORKERS))
    agent = psutil.Process(server.process.pid)
    chance = random.Random(0)
    stopped = asyncio.Event()
    answered = 0

    async def call(caller: int, client: AsyncClient) -> None:
        nonlocal answered
        # Some are too large to travel in one piece.
        padding = np.full(caller * 10_000, caller, "uint8")
        while not stopped.is_set():
            number = chance.random()
            try:
                result = await client.infer("echo", {"x": [number], "padding": padding}, timeout=60)
            except UnavailableError as error:
                # Twice unlucky: both workers that had it died.
                if "the worker that ran the request is gone" not in str(error):
                    raise
            else:
                assert np.asarray(result["output_x"]).tolist() == [number]
                np.testing.assert_array_equal(np.asarray(result["output_padding"]), padding)
                answered += 1

    async with AsyncClient(server.address) as client:
        await client.infer("echo", {"x": [1]})
        files = agent.num_fds()
        calls = [asyncio.create_task(call(caller, client)) for caller in range(CALLERS)]
        for _ in range(KILLS):
            before = answered
            await asyncio.to_thread(eventually, lambda: server.workers() and answered > before + 50, "answers go on")  # noqa: B023
            chance.choice(server.workers()).kill()
        stopped.set()
        await asyncio.gather(*calls)
        await asyncio.to_thread(eventually, lambda: len(server.workers()) == WORKERS, "all workers are back")
        await asyncio.to_thread(eventually, lambda: agent.num_fds() <= files, "no file is left open")
    # Nothing is left unfinished that the drain would have to wait for.
    assert server.stop() == 0
    assert "still running" not in server.stderr.text
