"""Workers that nobody needs stop, and a request waits through the start of another."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from anyserve import AsyncClient
from anyserve.errors import DeadlineExceededError, UnavailableError
from tritonclient.grpc import InferenceServerClient
from tritonclient.grpc.aio import InferenceServerClient as AsyncInferenceServerClient

from tests.pools.fleet import pools, said
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.gate import Gate
    from tests.pools.conftest import Start


def test_an_idle_worker_stops_and_the_next_request_starts_another(start: Start) -> None:
    fleet = start({"pools": pools("a", idle_timeout="200ms")})
    first = fleet.ask("a")["pid"]
    fleet.wait_state("a", "idle", patience=1.5)
    assert "it was idle for" in fleet.pool("a")["decision"]
    assert fleet.client.is_ready("a")
    assert fleet.ask("a")["pid"] != first
    assert fleet.steering.hooks("a")[:3] == ["on_start", "on_stop", "on_start"]


def test_a_busy_worker_is_not_idle(start: Start, gate: Gate) -> None:
    fleet = start({"pools": pools("a", idle_timeout="100ms")})
    running = fleet.asking("a", gate.parameters)
    gate.wait_entered()
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > 0.4, "some idle timeouts have passed")
    assert fleet.workers("a") == ["busy"]
    gate.open()
    assert said(running.result(30))["calls"] == 1
    fleet.wait_state("a", "idle", patience=1.5)


def test_the_workers_that_a_pool_keeps_are_not_stopped(start: Start) -> None:
    fleet = start({"pools": pools("a", idle_timeout="100ms", min=1, max=2)})
    [kept] = fleet.pids("a")
    fleet.admin.scale("a", 2, 2)
    fleet.wait_workers("a", "ready", "ready")
    fleet.admin.scale("a", 1, 2)
    fleet.wait_workers("a", "ready")
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > 0.3, "some idle timeouts have passed")
    assert fleet.workers("a") == ["ready"]
    assert kept in fleet.pids("a")


def test_every_kind_of_client_waits_through_a_start(start: Start) -> None:
    fleet = start({"pools": pools("a", "b", "c", "loop", "stream", idle_timeout="never")})
    for pool in ("a", "b", "c", "loop", "stream"):
        fleet.steering.hold(pool, "on_start")

    async def ask_all() -> tuple[Any, Any, Any, list[int]]:
        async with (
            AsyncClient(fleet.server.address) as client,
            AsyncInferenceServerClient(fleet.server.address) as triton,
        ):

            async def stream() -> list[int]:
                return [int(said(result)["calls"]) async for result in client.stream("stream", timeout=30)]

            def blocking() -> Any:
                with InferenceServerClient(fleet.server.address) as blocking:
                    return blocking.infer("c", [], client_timeout=30)

            asking = asyncio.gather(
                client.infer("a", timeout=30), triton.infer("b", []), asyncio.to_thread(blocking), stream()
            )
            for pool in ("a", "b", "c", "stream"):
                await asyncio.to_thread(fleet.steering.wait_called, pool, "on_start")
                assert fleet.state(pool) == "starting"
                assert fleet.pool(pool)["waiting"] == 1
                fleet.steering.release(pool, "on_start")
            return await asking

    own, triton, blocking, streamed = asyncio.run(ask_all())
    assert said(own)["pool"] == "a"
    assert triton.get_response().parameters["pool"].string_param == "b"
    assert blocking.get_response().parameters["pool"].string_param == "c"
    assert streamed == [1, 2, 3]


def test_a_deadline_shorter_than_the_start_ends_the_request_in_time(start: Start) -> None:
    fleet = start({"pools": pools("a", "stream")})
    for pool in ("a", "stream"):
        fleet.steering.hold(pool, "on_start")
    with pytest.raises(DeadlineExceededError, match="the deadline passed"):
        fleet.ask("a", parameters={"timeout": 200_000})
    with pytest.raises(DeadlineExceededError), fleet.client.stream("stream", timeout=0.2) as results:
        list(results)
    # The start goes on, and serves the next.
    fleet.wait_workers("a", "starting")
    fleet.steering.release("a", "on_start")
    assert fleet.ask("a")["calls"] == 1
    assert len(fleet.steering.pids("a")) == 1


def test_a_request_that_is_cancelled_while_its_worker_starts_leaves_nothing_behind(start: Start) -> None:
    fleet = start({"pools": pools("a", idle_timeout="100ms")})
    fleet.steering.hold("a", "on_start")

    async def ask_and_leave() -> None:
        async with AsyncClient(fleet.server.address) as client:
            task = asyncio.create_task(client.infer("a"))
            await asyncio.to_thread(fleet.steering.wait_called, "a", "on_start")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(ask_and_leave())
    fleet.wait_waiting("a", 0)
    fleet.steering.release("a", "on_start")
    fleet.wait_state("a", "idle")
    assert fleet.steering.hooks("a") == ["on_start", "on_stop"]


def test_many_requests_at_once_start_one_worker(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    answers = [said(request.result(30)) for request in [fleet.asking("a") for _ in range(60)]]
    assert len({answer["pid"] for answer in answers}) == 1
    assert sorted(answer["calls"] for answer in answers) == list(range(1, 61))
    assert len(fleet.steering.pids("a")) == 1


def test_a_backlog_starts_as_many_workers_as_there_may_be(start: Start, gate: Gate) -> None:
    fleet = start({"pools": pools("a", max=3)})
    running = [fleet.asking("a", gate.parameters) for _ in range(12)]
    assert len(set(gate.wait_entered(3))) == 3
    assert fleet.workers("a") == ["busy"] * 3
    assert len(fleet.steering.pids("a")) == 3
    gate.open()
    assert {said(request.result(30))["pool"] for request in running} == {"a"}


def test_requests_that_several_cold_pools_match_start_only_one(start: Start) -> None:
    fleet = start({"pools": pools("a", "b", "c")})
    answers = [said(request.result(30)) for request in [fleet.asking("letter") for _ in range(20)]]
    assert len({answer["pid"] for answer in answers}) == 1
    assert sum(len(fleet.steering.pids(pool)) for pool in ("a", "b", "c")) == 1


def test_a_start_that_fails_is_tried_again_while_the_request_waits(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    fleet.steering.fail("a", "on_start", "no memory for the weights")
    waiting = fleet.asking("a")
    fleet.steering.wait_called("a", "on_start", 2)
    fleet.steering.repair("a", "on_start")
    assert said(waiting.result(30))["calls"] == 1
    assert fleet.pool("a")["reason"] == ""


def test_after_repeated_failures_those_who_wait_are_told_why(start: Start) -> None:
    fleet = start({"pools": pools("a", "b")})
    fleet.steering.fail("a", "on_start", "no memory for the weights")
    waiting = [fleet.asking("a") for _ in range(5)]
    for request in waiting:
        with pytest.raises(UnavailableError, match=r"pool 'a' cannot start a worker.*no memory for the weights"):
            request.result(30)
    assert len(fleet.steering.pids("a")) == 3
    assert fleet.state("a") == "failed"
    assert "no memory for the weights" in fleet.pool("a")["reason"]
    assert not fleet.client.is_ready("a")
    with InferenceServerClient(fleet.server.address) as triton:
        models = triton.get_model_repository_index(as_json=True)["models"]
    [failed] = [model for model in models if "model: a" in model["name"] or model["name"] == "a"]
    assert failed["state"] == "UNAVAILABLE"
    assert "no memory for the weights" in failed["reason"]
    # Others are not harmed, and it recovers.
    fleet.ask("b")
    fleet.steering.repair("a", "on_start")

    def served() -> bool:
        try:
            fleet.ask("a")
        except UnavailableError:
            return False
        return True

    eventually(served, "the pool recovers")
    assert fleet.state("a") == "ready"


def test_a_worker_that_is_killed_while_it_starts_is_replaced(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    fleet.steering.hold("a", "on_start")
    waiting = fleet.asking("a")
    [first] = fleet.steering.wait_called("a", "on_start")
    fleet.kill(first)
    second = fleet.steering.wait_called("a", "on_start", 2)[1]
    fleet.steering.release("a", "on_start")
    assert said(waiting.result(30))["pid"] == second


def test_a_worker_that_is_killed_while_it_stops_is_no_loss(start: Start) -> None:
    fleet = start({"pools": pools("a", stop_timeout="20s")})
    fleet.steering.hold("a", "on_stop")
    first = fleet.ask("a")["pid"]
    fleet.admin.scale("a", 0)
    fleet.steering.wait_called("a", "on_stop")
    assert fleet.workers("a") == ["draining"]
    # It may have another while the first one goes.
    second = fleet.ask("a")["pid"]
    assert second != first
    assert sorted(fleet.workers("a")) == ["draining", "ready"]
    fleet.kill(first)
    fleet.wait_workers("a", "ready")
    assert fleet.ask("a")["pid"] == second


def test_a_worker_that_does_not_stop_is_killed(start: Start) -> None:
    fleet = start({"pools": pools("a", stop_timeout="200ms")})
    fleet.steering.hold("a", "on_stop")
    fleet.ask("a")
    fleet.admin.scale("a", 0)
    fleet.steering.wait_called("a", "on_stop")
    fleet.wait_state("a", "idle")
    assert fleet.server.workers() == []


def test_a_start_that_hangs_is_given_up_and_those_who_wait_are_told(start: Start) -> None:
    fleet = start({"pools": pools("a", start_timeout="300ms")})
    fleet.steering.hold("a", "on_start")
    with pytest.raises(UnavailableError, match="the worker was not ready within 300ms"):
        fleet.ask("a")
    pids = fleet.steering.pids("a")
    assert len(pids) == len(set(pids)) == 3
    assert fleet.state("a") == "failed"
    assert fleet.server.workers() == []


def test_a_start_that_hangs_is_told_with_the_limit_that_held(start: Start) -> None:
    fleet = start({"pools": pools("a", start_timeout="100ms")})
    fleet.steering.hold("a", "on_start")
    with pytest.raises(UnavailableError) as failure:
        fleet.ask("a")
    assert "start_timeout" in str(failure.value)
    assert "--start-timeout" not in str(failure.value)
