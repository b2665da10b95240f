"""A client that leaves takes nothing away from others: not their requests, not their places, not their turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from anyserve import AsyncClient, Client, InferResult
from anyserve.errors import DeadlineExceededError
from tritonclient.grpc import service_pb2_grpc

from tests.apps.stream_journal import Journal
from tests.streams import Call, Servers, ask
from tests.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.server import Server

ASYNCIOS = "asyncio.exceptions.CancelledError"


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers("tests.apps.stream_steered") as servers:
        yield servers


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def wait_behind(server: Server, model: str) -> None:
    """Returns when a request that was sent now has waited in vain: what was sent before is long there."""
    with Call(server) as call:
        [error] = call.send(ask(model, parameters={"timeout": 250_000})).rest()
        assert "deadline" in error.error_message


@pytest.mark.parametrize(("app", "model"), [("app", "endless"), ("threads", "endless"), ("loop", "async-endless")])
def test_what_waits_for_a_client_that_left_never_starts(
    servers: Servers, journal: Journal, tmp_path: Path, gate: Gate, app: str, model: str
) -> None:
    server, busy = servers[app], Journal(tmp_path / "busy")
    holds, places = ("async-silent", 100) if app == "loop" else ("halfway", {"app": 1, "threads": 4}[app])
    with Call(server) as holding, Call(server) as call, Client(server.address) as client:
        parameters = {**gate.parameters, **busy.parameters}
        holding.send(*(ask(holds, parameters=parameters) for _ in range(places)))
        busy.wait("started", places)
        call.send(ask(model, parameters=journal.parameters))
        wait_behind(server, model)
        call.rpc.cancel()
        wait_behind(server, model)
        holding.rpc.cancel()
        busy.wait("ended", places)
        client.infer("quick", timeout=PATIENCE)
        with client.stream(model, parameters={"count": 3}) as results:
            assert len(list(results)) == 3
    assert journal.words() == []


def test_what_is_at_the_worker_already_never_starts(servers: Servers, journal: Journal, gate: Gate) -> None:
    server = servers["app"]
    with Call(server) as call, Client(server.address) as client:
        # So quick that the worker has some of them ahead.
        call.send(*(ask("quick") for _ in range(500)))
        for _ in range(500):
            call.take()
        call.send(ask("once", parameters=gate.parameters))
        call.send(*(ask("quick", parameters=journal.parameters) for _ in range(50)))
        gate.wait_entered()
        wait_behind(server, "quick")
        call.rpc.cancel()
        wait_behind(server, "quick")
        gate.open()
        client.infer("quick", timeout=PATIENCE)
    assert journal.words() == []


@pytest.mark.parametrize("app", ["threads", "loop"])
def test_other_requests_of_the_connection_and_of_the_worker_go_on(
    servers: Servers, journal: Journal, gate: Gate, app: str
) -> None:
    server = servers[app]
    with Client(server.address) as client, Call(server) as other:
        mine = client.stream("halfway", parameters=gate.parameters)
        next(mine)
        other.send(ask("halfway", parameters=gate.parameters))
        other.take()
        for _ in range(50):
            with client.stream("endless", parameters=journal.parameters) as results:
                next(results)
        journal.wait("ended", 50)
        gate.open()
        assert len(list(mine)) == 1
        assert len(other.rest()) == 1


@pytest.mark.parametrize(
    ("app", "model", "places"),
    [
        *(("threads", model, 4) for model in ("endless", "endless-yielded", "silent")),
        *(("loop", model, 4) for model in ("endless", "silent")),
        *(("loop", model, 100) for model in ("async-silent", "async-silent-yielded", "async-silent-unary")),
    ],
)
def test_all_places_are_free_again(servers: Servers, journal: Journal, app: str, model: str, places: int) -> None:
    for each in range(1, 4):
        with Call(servers[app]) as call:
            # More than there are places; which of them start does not matter.
            call.send(*(ask(model, parameters=journal.parameters) for _ in range(places + 10)))
            eventually(lambda: running(journal) == places, f"{places} handlers run for the {each}. time")
            call.rpc.cancel()
            eventually(lambda: running(journal) == 0, "all have ended")
        # Nobody takes a place for those that waited.
        with Client(servers[app].address) as client:
            client.infer("quick", timeout=PATIENCE)


def running(journal: Journal) -> int:
    return journal.count("started") - journal.count("ended")


async def test_streams_that_come_and_go_harm_no_other(servers: Servers) -> None:
    async with AsyncClient(servers["loop"].address) as client:

        async def whole(count: int) -> list[int]:
            results = client.stream("async-endless", parameters={"count": count})
            return [int(np.asarray(result["OUT"])[0]) async for result in results]

        async def leave(after: int) -> None:
            results = client.stream("async-endless-yielded")
            for _ in range(after):
                await anext(results)
            await results.close()

        for _ in range(5):
            stay = [asyncio.create_task(whole(count)) for count in range(0, 200, 10)]
            go = [asyncio.create_task(leave(after)) for after in range(20)]
            assert await asyncio.gather(*stay) == [list(range(count)) for count in range(0, 200, 10)]
            await asyncio.gather(*go)


async def test_a_coroutine_is_cancelled_with_its_unary_request(servers: Servers, journal: Journal) -> None:
    async with AsyncClient(servers["loop"].address) as client:
        for each in range(1, 4):
            task = asyncio.create_task(client.infer("async-silent-unary", parameters=journal.parameters))
            await asyncio.to_thread(journal.wait, "started", each)
            task.cancel()
            await asyncio.to_thread(journal.wait, ASYNCIOS, each)
        await client.infer("async-quick")


def test_a_coroutine_is_cancelled_at_the_deadline_of_its_unary_request(servers: Servers, journal: Journal) -> None:
    with Client(servers["loop"].address) as client:
        parameters = {"timeout": 200_000, **journal.parameters}
        with pytest.raises(DeadlineExceededError, match="the deadline passed after"):
            client.infer("async-silent-unary", parameters=parameters)
        journal.wait(ASYNCIOS)


@pytest.mark.parametrize("app", ["app", "threads", "loop"])
def test_a_function_is_told_of_its_unary_requests_end(servers: Servers, journal: Journal, app: str) -> None:
    with grpc.insecure_channel(servers[app].address) as channel, Client(servers[app].address) as client:
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        call = infer.future(ask("silent-unary", parameters=journal.parameters))
        journal.wait("started")
        call.cancel()
        journal.wait("told")
        with pytest.raises(DeadlineExceededError):
            client.infer("silent-unary", parameters={"timeout": 200_000, **journal.parameters})
        journal.wait("told", 2)
        client.infer("quick", timeout=PATIENCE)


def test_a_call_of_unary_requests_that_is_cancelled(servers: Servers, journal: Journal) -> None:
    with Call(servers["loop"]) as call, Client(servers["loop"].address) as client:
        parameters = journal.parameters
        call.send(*(ask(model, parameters=parameters) for model in ("async-silent-unary", "silent-unary")))
        journal.wait("started", 2)
        call.rpc.cancel()
        journal.wait("ended", 2)
        assert {ASYNCIOS, "told"} < set(journal.words())
        client.infer("async-quick")


async def test_clients_that_leave_at_any_moment_leave_nothing_behind(serve: Serve, journal: Journal) -> None:
    server = serve("tests.apps.stream_steered:loop", "--workers", "2")
    workers = server.workers()
    parameters = {"size": 1 << 12, **journal.parameters}
    async with AsyncClient(server.address) as client:

        async def stream(model: str, count: int) -> int:
            async with client.stream(model, parameters={"count": count, **parameters}) as results:
                return len([result async for result in results])

        models = ["async-endless", "async-endless-yielded", "endless", "endless-yielded"]
        for moment in np.linspace(0.001, 0.05, 20):
            streams = [asyncio.create_task(stream(model, 100)) for model in models for _ in range(4)]
            others = [asyncio.create_task(client.infer(f"async-{kind}")) for kind in ("quick", "silent-unary") * 10]
            stay = [asyncio.create_task(stream(model, 5)) for model in models]
            await asyncio.sleep(float(moment))
            for task in [*streams, *others]:
                task.cancel()
            ends = await asyncio.gather(*streams, *others, return_exceptions=True)
            assert all(isinstance(end, InferResult | int | asyncio.CancelledError) for end in ends)
            assert await asyncio.gather(*stay) == [5] * len(models)
    assert server.workers() == workers
    # There is nothing to wait for.
    assert server.stop() == 0
    assert server.stderr.text == ""
