"""Workers that die and handlers that never end, while streams are under way."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import grpc
import numpy as np
import psutil
import pytest
from anyserve import AsyncClient, Client, InferResult
from anyserve.errors import DeadlineExceededError, UnavailableError

from tests.apps.stream_journal import Journal
from tests.streams import STATUS, Call, ask, number
from tests.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Serve
    from tests.gate import Gate

MANY = 100
LOST = "the worker that ran the request is gone: the worker was killed by SIGKILL"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


async def test_a_worker_that_is_killed_ends_each_of_its_hundred_streams(serve: Serve) -> None:
    server = serve("tests.apps.fault_streams:app")
    [worker] = server.workers()
    async with AsyncClient(server.address) as client:
        streams = [client.stream("ticking") for _ in range(MANY)]
        firsts = await asyncio.gather(*(anext(stream) for stream in streams))
        assert [np.asarray(first["OUT"]).item() for first in firsts] == [0] * MANY

        async def drain(index: int) -> int:
            return len([result async for result in streams[index]])

        draining = [asyncio.create_task(drain(index)) for index in range(MANY)]
        worker.kill()
        # They would go on for ever.
        for end in await asyncio.gather(*draining, return_exceptions=True):
            assert isinstance(end, UnavailableError)
            assert str(end).startswith(LOST)
        # Another one comes in its place.
        assert np.asarray((await anext(client.stream("ticking", timeout=PATIENCE)))["OUT"]).item() == 0
    assert worker not in server.workers()


def test_a_worker_that_is_killed_ends_the_streams_of_one_call_in_band(serve: Serve) -> None:
    server = serve("tests.apps.fault_streams:app")
    with Call(server) as call, Call(server, STATUS) as strict:
        ids = [str(index) for index in range(MANY // 2)]
        call.send(*(ask("ticking", id=id) for id in ids))
        strict.send(*(ask("ticking", id=id) for id in ids))
        begun: set[str] = set()
        while begun != set(ids):
            begun.add(call.take().infer_response.id)
        strict.take()
        server.workers()[0].kill()
        errors: dict[str, str] = {}
        while len(errors) < len(ids):
            response = call.take()
            if response.error_message:
                errors[response.infer_response.id] = response.error_message
        assert set(errors) == set(ids)
        assert all(text.startswith(LOST) for text in errors.values())
        with pytest.raises(grpc.RpcError):
            list(strict)
        assert strict.rpc.code() is grpc.StatusCode.UNAVAILABLE
        # The call goes on, with the next worker.
        assert number(call.send(ask("quick")).take()) == 1


def test_what_waits_survives_the_worker(serve: Serve, gate: Gate) -> None:
    server = serve("tests.apps.stream_steered:app")
    with Call(server) as call:
        call.send(ask("halfway", id="1", parameters=gate.parameters))
        assert call.take().infer_response.id == "1"
        call.send(ask("endless", id="2", parameters={"count": 2}), ask("quick", id="3"))
        server.workers()[0].kill()
        lost, *rest = call.rest()
    assert (lost.infer_response.id, "SIGKILL" in lost.error_message) == ("1", True)
    assert sorted((response.infer_response.id, response.error_message) for response in rest) == [
        ("2", ""),
        ("2", ""),
        ("3", ""),
    ]


def numbers(results: Iterator[InferResult]) -> list[int]:
    return [int(np.asarray(result["OUT"])[0]) for result in results]


def test_what_may_run_twice_does_so_before_its_first_response(serve: Serve, gate: Gate) -> None:
    server = serve("tests.apps.fault_streams:alone")
    with Client(server.address) as client:
        results = client.stream("once-more", parameters={"after": 0, **gate.parameters})
        gate.wait_entered()
        server.workers()[0].kill()
        gate.wait_entered(2)
        gate.open()
        assert numbers(results) == [0, 1, 2, 3]


def test_what_may_run_twice_does_not_after_its_first_response(serve: Serve, gate: Gate) -> None:
    server = serve("tests.apps.fault_streams:alone")
    with Client(server.address) as client:
        results = client.stream("once-more", parameters={"after": 2, **gate.parameters})
        gate.wait_entered()
        server.workers()[0].kill()
        assert numbers(itertools.islice(results, 2)) == [0, 1]
        with pytest.raises(UnavailableError) as failure:
            next(results)
        assert str(failure.value).startswith(LOST)
        gate.open()
        assert numbers(client.stream("once-more", parameters={"after": 0, **gate.parameters})) == [0, 1, 2, 3]
    assert len(gate.entered()) == 2


def test_what_came_before_the_end_of_a_worker_is_received(serve: Serve, journal: Journal) -> None:
    server = serve("tests.apps.stream_steered:app")
    with Client(server.address) as client:
        results = client.stream("endless", parameters={"size": 1 << 16, **journal.parameters})
        assert numbers(itertools.islice(results, 1)) == [0]
        journal.wait("sent", 50)
        server.workers()[0].kill()
        assert numbers(itertools.islice(results, 49)) == list(range(1, 50))
        with pytest.raises(UnavailableError) as failure:
            list(results)
        assert str(failure.value).startswith(LOST)


@pytest.mark.parametrize("what", ["exit", "exit-yielding"])
def test_a_handler_that_exits_beside_others_takes_the_worker_with_it(serve: Serve, what: str) -> None:
    server = serve("tests.apps.fault_streams:app")
    with Client(server.address) as client:
        other = client.stream("ticking")
        next(other)
        with pytest.raises(UnavailableError, match="the worker exited with code 3"):
            list(client.stream(what))
        with pytest.raises(UnavailableError, match="the worker exited with code 3"):
            list(other)
        client.infer("quick", timeout=PATIENCE)


@pytest.mark.parametrize(("app", "model"), [("alone", "hangs"), ("beside", "hangs"), ("beside", "async-hangs")])
def test_the_deadline_of_its_client_ends_a_stream_that_never_ends(
    serve: Serve, journal: Journal, app: str, model: str
) -> None:
    server = serve(f"tests.apps.fault_streams:{app}")
    [worker] = server.workers()
    with Call(server) as call:
        call.send(ask(model, id="17", parameters={"how": "polite", "timeout": 150_000, **journal.parameters}))
        assert number(call.take()) == 1
        [error] = call.rest()
    assert error.error_message.startswith("the deadline passed after ")
    journal.wait("told")
    assert server.workers() == [worker]


@pytest.mark.parametrize("how", ["impolite", "sending", "in C"])
def test_the_timeout_ends_a_stream_that_never_ends_and_its_worker(serve: Serve, journal: Journal, how: str) -> None:
    server = serve("tests.apps.fault_streams:alone")
    [worker] = server.workers()
    with Client(server.address) as client:
        results = client.stream("hangs", parameters={"how": how, **journal.parameters})
        next(results)
        with pytest.raises(DeadlineExceededError, match=r"ran longer than its timeout of 300ms; its worker is restart"):
            list(results)
        with pytest.raises(DeadlineExceededError):
            list(client.stream("hangs", parameters={"how": how, **journal.parameters}))
    assert worker not in server.workers()


@pytest.mark.parametrize("model", ["hangs", "async-hangs"])
def test_the_timeout_tells_a_stream_beside_others_to_give_up(serve: Serve, journal: Journal, model: str) -> None:
    server = serve("tests.apps.fault_streams:beside")
    [worker] = server.workers()
    with Client(server.address) as client:
        for each in range(1, 4):
            results = client.stream(model, parameters={"how": "polite", **journal.parameters})
            next(results)
            with pytest.raises(DeadlineExceededError, match=r"timeout of 300ms, and was told to give up$"):
                list(results)
            journal.wait("told", each)
        client.infer("quick", timeout=PATIENCE)
    assert server.workers() == [worker]


def test_a_stream_that_does_not_give_up_ends_with_its_worker_in_the_end(serve: Serve) -> None:
    cases = [("hangs", "impolite"), ("async-hangs", "blocking")]
    servers = [serve("tests.apps.fault_streams:beside") for _ in cases]
    workers = [server.workers() for server in servers]
    for (model, how), server in zip(cases, servers, strict=True):
        with Client(server.address) as client:
            results = client.stream(model, parameters={"how": how})
            next(results)
            with pytest.raises(DeadlineExceededError):
                list(results)
    for server, [worker] in zip(servers, workers, strict=True):
        eventually(lambda worker=worker: not psutil.pid_exists(worker.pid), "the worker has ended")  # type: ignore[misc]
        with Client(server.address) as client:
            client.infer("quick", timeout=PATIENCE)


@pytest.mark.parametrize("leaves", ["at the deadline", "at once"])
def test_the_timeout_holds_for_handlers_whose_client_has_left(serve: Serve, journal: Journal, leaves: str) -> None:
    server = serve("tests.apps.fault_streams:alone")
    [worker] = server.workers()
    with Call(server) as call:
        limit = {"timeout": 150_000} if leaves == "at the deadline" else {}
        call.send(ask("hangs", parameters={"how": "impolite", **limit, **journal.parameters}))
        journal.wait("started")
        if leaves == "at once":
            call.rpc.cancel()
        eventually(lambda: not psutil.pid_exists(worker.pid), "the worker has ended")


@pytest.mark.parametrize("app", ["alone", "beside"])
def test_a_handler_that_hangs_after_it_closed_its_stream_does_not_hold_up_others(
    serve: Serve, journal: Journal, gate: Gate, app: str
) -> None:
    server = serve(f"tests.apps.fault_streams:{app}")
    gate.open()
    with Client(server.address) as client:
        results = client.stream("hangs", parameters={"how": "after close", **journal.parameters})
        assert len(list(results)) == 1
        assert len(list(client.stream("halfway", parameters=gate.parameters, timeout=3))) == 2
