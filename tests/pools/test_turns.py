"""Pools that want more together than there is take turns."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import pytest
from anyserve.errors import DeadlineExceededError

from tests.pools.fleet import pools, said
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.gate import Gate
    from tests.pools.conftest import Start


def one_of(*names: str, **options: Any) -> dict[str, Any]:
    """A file with a budget for one worker of these pools."""
    return {"budget": {"slots": 1}, "pools": pools(*names, resources={"slots": 1}, min_residence=0, **options)}


def test_requests_to_pools_in_turn_are_all_served(start: Start) -> None:
    fleet = start(one_of("a", "b", "c"))
    for model in ["a", "b", "c"] * 3:
        assert fleet.ask(model)["pool"] == model
        assert fleet.used("slots") == (1, 1)
    for model in ("a", "b", "c"):
        assert fleet.steering.hooks(model) == ["on_start", "on_stop"] * 2 + ["on_start"] + ["on_stop"] * (model != "c")
    assert fleet.pool("a")["decision"].endswith("pool 'b' needs its resources")


def test_requests_to_all_pools_at_once_are_all_served(start: Start) -> None:
    fleet = start(one_of("a", "b", "c"))
    models = ["a", "b", "c"] * 70
    random.Random(4).shuffle(models)
    running = [(model, fleet.asking(model, timeout=60)) for model in models]
    for model, request in running:
        assert said(request.result(60))["pool"] == model
    starts = sum(len(fleet.steering.pids(pool)) for pool in ("a", "b", "c"))
    # What waits together is served together.
    assert starts < 20
    assert sum(fleet.pool(name)["failed"] for name in ("a", "b", "c")) == 0


def test_two_hundred_alternating_requests_of_sleepers_do_not_fail(start: Start) -> None:
    fleet = start(one_of("s", "t"))
    for model in ["s", "t"] * 100:
        assert fleet.ask(model)["pool"] == model
    # They change places without a start.
    assert len(fleet.steering.pids("s")) == len(fleet.steering.pids("t")) == 1
    assert len(fleet.steering.pids("s", "on_wake")) == 99


def test_a_busy_worker_finishes_before_it_makes_room(start: Start, gate: Gate) -> None:
    file = one_of("a", "b")
    # It does not wait long for its turn.
    file["pools"]["b"]["slo"] = "200ms"
    fleet = start(file)
    running = fleet.asking("a", gate.parameters)
    [pid] = gate.wait_entered()
    waiting = fleet.asking("b")
    fleet.wait_waiting("b", 1)
    # It is to make room, and still has its request.
    eventually(lambda: fleet.workers("a") == ["draining"], "it is the turn of b", 10)
    assert fleet.pool("a")["workers"][0]["running"] == 1
    # What comes now waits for another worker.
    late = fleet.asking("a")
    fleet.wait_waiting("a", 1)
    assert fleet.steering.pids("b") == []
    gate.open()
    assert said(running.result(30))["pid"] == pid
    assert said(waiting.result(30))["pool"] == "b"
    assert said(late.result(30))["pid"] != pid


def test_a_starting_worker_is_not_evicted(start: Start) -> None:
    fleet = start(one_of("a", "b"))
    fleet.steering.hold("a", "on_start")
    first = fleet.asking("a")
    [pid] = fleet.steering.wait_called("a", "on_start")
    second = fleet.asking("b")
    with pytest.raises(DeadlineExceededError):
        fleet.ask("b", timeout=0.5)
    assert fleet.workers("a") == ["starting"]
    fleet.steering.release("a", "on_start")
    assert said(first.result(30))["pid"] == pid
    assert said(second.result(30))["pool"] == "b"


def test_a_pinned_pool_keeps_its_place_until_it_is_not_pinned_any_more(start: Start) -> None:
    fleet = start(one_of("a", "b"))
    pid = fleet.ask("a")["pid"]
    assert fleet.command("pin", "a").stdout == "pool 'a' is pinned\n"
    assert fleet.pool("a")["pinned"]
    waiting = fleet.asking("b")
    with pytest.raises(DeadlineExceededError):
        fleet.ask("b", timeout=0.5)
    assert fleet.ask("a")["pid"] == pid
    assert fleet.command("pin", "a", "--off").stdout == "pool 'a' is not pinned any more\n"
    assert said(waiting.result(30))["pool"] == "b"
    assert fleet.state("a") == "idle"


def test_a_pinned_pool_says_why_others_wait(start: Start) -> None:
    fleet = start(one_of("a", "b"))
    fleet.ask("a")
    fleet.admin.pin("a", True)
    fleet.asking("b", timeout=2)
    fleet.wait_waiting("b", 1)
    assert fleet.pool("b")["oldest_wait"] > 0
    assert fleet.workers("b") == []


def test_workers_that_are_kept_are_not_evicted(start: Start) -> None:
    file = {
        "budget": {"slots": 2},
        "pools": {
            **pools("a", min=1, max=2, resources={"slots": 1}, min_residence=0),
            **pools("b", "c", resources={"slots": 1}, min_residence=0),
        },
    }
    fleet = start(file)
    [kept] = fleet.pids("a")
    for model in ["b", "c", "a"] * 2:
        assert fleet.ask(model)["pool"] == model
        assert fleet.pids("a") == [kept]


def test_a_worker_is_kept_for_its_minimum_residence(start: Start) -> None:
    file = one_of("a", "b")
    file["pools"]["a"]["min_residence"] = "1s"
    fleet = start(file)
    fleet.ask("a")
    began = time.monotonic()
    fleet.ask("b")
    # Ready a little before its answer came.
    assert time.monotonic() - began > 0.8


def test_gpus_change_hands(start: Start) -> None:
    fleet = start({"budget": {"gpus": [2, 5]}, "pools": pools("a", "b", "s", gpus=2, min_residence=0)})
    for model in ["a", "s", "b", "s", "a"]:
        answer = fleet.ask(model)
        assert (answer["pool"], answer["gpus"], answer["visible"]) == (model, "2,5", "2,5")
        assert fleet.used("gpus") == (2, 2)


def test_a_large_worker_takes_the_place_of_several_small_ones(start: Start) -> None:
    file = {
        "budget": {"slots": 2},
        "pools": {
            **pools("a", "b", resources={"slots": 1}, min_residence=0),
            **pools("c", resources={"slots": 2}, min_residence=0),
        },
    }
    fleet = start(file)
    for _ in range(2):
        fleet.ask("a")
        fleet.ask("b")
        assert [fleet.state("a"), fleet.state("b")] == ["ready", "ready"]
        fleet.ask("c")
        assert [fleet.state("a"), fleet.state("b")] == ["idle", "idle"]


def test_nothing_is_lost_when_workers_die_in_the_middle_of_switches(start: Start) -> None:
    fleet = start(one_of("a", "b", "c"))
    for turn in range(5):
        running = [(model, fleet.asking(model, timeout=60)) for model in ("a", "b", "c")]
        for model, request in running:
            # They are idempotent.
            assert said(request.result(60))["pool"] == model
            if turn % 2 == 0:
                for worker in fleet.server.workers():
                    worker.kill()
    # A killed worker's place is free again.
    eventually(lambda: fleet.used("slots")[0] == len(fleet.server.workers()), "the places are free")
    fleet.ask("a")
    assert fleet.used("slots") == (1, 1)


def test_a_pool_whose_starts_fail_gives_its_place_to_others(start: Start) -> None:
    fleet = start(one_of("a", "b"))
    fleet.steering.fail("a", "on_start", "no weights")
    broken = fleet.asking("a")
    fleet.steering.wait_called("a", "on_start")
    assert fleet.ask("b")["pool"] == "b"
    with pytest.raises(Exception, match="no weights"):
        broken.result(60)
    assert fleet.ask("b")["pool"] == "b"


def test_a_request_that_gives_up_while_others_make_room_leaves_no_place_taken(start: Start) -> None:
    fleet = start(one_of("a", "b", stop_timeout="30s"))
    fleet.ask("a")
    fleet.steering.hold("a", "on_stop")
    with pytest.raises(DeadlineExceededError):
        fleet.ask("b", timeout=0.4)
    fleet.wait_workers("a", "draining")
    fleet.steering.release("a", "on_stop")
    fleet.wait_workers("a")
    for model in ("a", "b", "a"):
        assert fleet.ask(model)["pool"] == model
    assert fleet.used("slots") == (1, 1)


def test_a_sleeper_whose_gpu_another_has_is_served_on_one_that_is_free(start: Start, gate: Gate) -> None:
    fleet = start({"budget": {"gpus": [0, 1]}, "pools": pools("s", "t", gpus=1, min_residence=0)})
    for model in ("s", "t"):
        # Both start on the same one.
        assert fleet.ask(model)["gpus"] == "0"
        fleet.admin.sleep(model)
        fleet.wait_workers(model, "asleep")
    one = fleet.asking("s", gate.parameters)
    gate.wait_entered()
    other = said(fleet.asking("t").result(20))
    assert (other["gpus"], other["visible"]) == ("1", "1")
    gate.open()
    assert said(one.result(30))["gpus"] == "0"


def test_no_more_is_ever_in_use_than_there_is(start: Start) -> None:
    file = {
        "budget": {"slots": 3, "gpus": [0, 1]},
        "pools": {
            **pools("a", "s", max=3, resources={"slots": 1}, min_residence=0, gpus=1),
            **pools("b", "t", resources={"slots": 2}, min_residence=0),
            **pools("c", resources={"slots": 3}, gpus=2, min_residence=0),
        },
    }
    fleet = start(file)
    models = [random.Random(7).choice("abcst") for _ in range(150)]
    running = [(model, fleet.asking(model, {"takes": 0.01}, timeout=60)) for model in models]
    while not all(request.done() for _, request in running):
        status = fleet.admin.status()
        for name, amount in status["resources"].items():
            assert amount["used"] <= amount["total"], name
        awake = [
            gpu
            for pool in status["pools"]
            for worker in pool["workers"]
            if worker["state"] != "asleep"
            for gpu in worker["gpus"]
        ]
        assert len(awake) == len(set(awake))
    for model, request in running:
        assert said(request.result())["pool"] == model
