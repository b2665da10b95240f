"""The results of a stream as this package's clients give them: taken one by one, closed early, and after the end."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from anyserve import AsyncClient, Client, InferResult
from anyserve.errors import NotFoundError, UnavailableError

from tests.apps.stream_journal import Journal
from tests.server import ROOT
from tests.streams import Servers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gate import Gate
    from tests.server import Server

CANCELLED = "anyserve.errors.CancelledError"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Servers("tests.apps.stream_steered") as servers:
        yield servers["loop"]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def first(result: InferResult) -> int:
    return int(np.asarray(result["OUT"])[0])


def test_a_stream_is_an_iterator_that_stays_at_its_end(client: Client) -> None:
    results = client.stream("endless", parameters={"count": 2})
    assert iter(results) is results
    assert [first(result) for result in results] == [0, 1]
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(results)
    results.close()
    results.close()


def test_a_closed_stream_is_over_and_its_request_cancelled(client: Client, journal: Journal) -> None:
    results = client.stream("endless", parameters=journal.parameters)
    assert first(next(results)) == 0
    results.close()
    assert list(results) == []
    journal.wait(CANCELLED)


def test_leaving_the_block_cancels_the_request(client: Client, journal: Journal) -> None:
    def leave() -> None:
        with client.stream("endless", parameters=journal.parameters) as results:
            assert first(next(results)) == 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave()
    journal.wait(CANCELLED)


def test_a_stream_that_nobody_holds_is_cancelled(client: Client, journal: Journal) -> None:
    for result in client.stream("endless", parameters=journal.parameters):
        assert first(result) == 0
        break
    gc.collect()
    journal.wait(CANCELLED)


def test_the_results_come_as_they_are_made(client: Client, gate: Gate) -> None:
    with client.stream("halfway", parameters=gate.parameters) as results:
        next(results)
        gate.wait_entered()
        gate.open()
        next(results)
        assert list(results) == []


def test_a_stream_outlives_its_client(server: Server, gate: Gate) -> None:
    with Client(server.address) as client:
        results = client.stream("halfway", parameters=gate.parameters)
        next(results)
    with pytest.raises(RuntimeError, match="closed"):
        client.stream("halfway", parameters=gate.parameters)
    gate.open()
    assert len(list(results)) == 1


def test_threads_have_streams_of_their_own(client: Client) -> None:
    seen: list[list[int]] = []
    threads = [
        threading.Thread(
            target=lambda: seen.append([first(result) for result in client.stream("endless", parameters={"count": 99})])
        )
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [list(range(99))] * 20


def test_an_interrupt_ends_the_wait(server: Server, journal: Journal) -> None:
    code = (
        f"from anyserve import Client\n"
        f"print(list(Client({server.address!r}).stream('silent', parameters={journal.parameters!r})))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        journal.wait("started")
        process.send_signal(2)
        _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    journal.wait("told")


def test_nobody_answers() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(UnavailableError):
        list(client.stream("endless"))


async def test_the_asyncio_stream_is_the_twin(server: Server, journal: Journal) -> None:
    async with AsyncClient(server.address) as client:
        results = client.stream("async-endless", parameters={"count": 2})
        assert aiter(results) is results
        assert [first(result) async for result in results] == [0, 1]
        assert [result async for result in results] == []
        await results.close()
        async with client.stream("async-endless", parameters=journal.parameters) as results:
            assert first(await anext(results)) == 0
        assert [result async for result in results] == []
        await asyncio.to_thread(journal.wait, "asyncio.exceptions.CancelledError")
        with pytest.raises(NotFoundError):
            await anext(client.stream("nothing here"))
    with pytest.raises(RuntimeError, match="closed"):
        client.stream("async-endless")


async def test_a_stream_that_was_never_asked_for_anything_sends_nothing(server: Server, journal: Journal) -> None:
    async with AsyncClient(server.address) as client:
        async with client.stream("async-endless", parameters=journal.parameters):
            pass
        results = client.stream("async-endless", parameters=journal.parameters)
        await results.close()
        await client.infer("async-quick")
    assert journal.words() == []


async def test_a_task_that_gives_up_leaves_its_block_well(server: Server) -> None:
    async def read(client: AsyncClient) -> None:
        async with client.stream("async-silent") as results:
            await anext(results)

    async with AsyncClient(server.address) as client:
        for _ in range(10):
            tasks = [asyncio.create_task(read(client)) for _ in range(50)]
            await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(end) for end in ends} == {asyncio.CancelledError}
