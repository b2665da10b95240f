"""What workers take of the machine: GPUs by number, memory and counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pools.fleet import pools, said
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.gate import Gate
    from tests.pools.conftest import Start

GRAPHICS = "tests.pools.apps.mixed:graphics"


def test_workers_have_gpus_of_their_own_and_see_only_them(start: Start) -> None:
    fleet = start(GRAPHICS, "--gpus", "3,1,7,5")
    fleet.admin.scale("graphics", 2)
    fleet.wait_workers("graphics", "ready", "ready")
    assert fleet.used("gpus") == (4, 4)
    told = {worker["pid"]: worker["gpus"] for worker in fleet.pool("graphics")["workers"]}
    answers: dict[int, str] = {}

    def both_answered() -> bool:
        answer = fleet.ask("graphics")
        assert answer["gpus"] == answer["context"] == answer["visible"]
        answers[answer["pid"]] = answer["gpus"]
        return len(answers) == 2

    # One that just answered is not preferred for ever.
    requests = [fleet.asking("graphics") for _ in range(100)]
    for request in requests:
        answer = said(request.result(30))
        answers[answer["pid"]] = answer["gpus"]
    eventually(both_answered, "both workers have answered")
    assert answers == {pid: ",".join(map(str, gpus)) for pid, gpus in told.items()}
    assert sorted(gpu for gpus in told.values() for gpu in gpus) == [1, 3, 5, 7]


def test_gpus_are_given_back_by_a_worker_that_stops_or_dies(start: Start) -> None:
    fleet = start(GRAPHICS, "--gpus", "0,1")
    for how in ("stop", "kill"):
        first = fleet.ask("graphics")
        assert (first["gpus"], fleet.used("gpus")) == ("0,1", (2, 2))
        if how == "stop":
            fleet.admin.scale("graphics", 0)
        else:
            fleet.server.workers()[0].kill()
        fleet.wait_state("graphics", "idle")
        assert fleet.used("gpus") == (0, 2)
    assert fleet.ask("graphics")["gpus"] == "0,1"


def test_a_worker_that_takes_no_gpus_is_told_nothing_of_them(start: Start) -> None:
    fleet = start("tests.pools.apps.steered:app", "--gpus", "0,1", environment={"CUDA_VISIBLE_DEVICES": "0,1"})
    answer = fleet.ask("a")
    assert (answer["gpus"], answer["visible"]) == ("", "0,1")


# Not strict: how often it happens depends on the machine.
def test_a_pool_that_needs_more_gpus_than_there_are_is_refused_with_the_arithmetic(start: Start) -> None:
    fleet = start("tests.pools.apps.mixed:hungry", "--gpus", "0,1", ready=False)
    assert "each worker of pool 'hungry' takes 3 GPUs; the budget has 2" in fleet.refused()


@pytest.mark.parametrize(
    ("budget", "fleet_pools", "reason"),
    [
        (
            {"memory": "1GiB"},
            pools("a", memory="1025MiB"),
            "anyserve.yaml:7:13: pools.a.memory: pool 'a' takes 1025MiB of memory for each worker; the budget has 1GiB",
        ),
        (
            {"slots": 2},
            pools("a", min=3, max=3, resources={"slots": 1}),
            "2:10: budget.slots: the pools' min workers together take 3 of 'slots' (a 3 x 1); the budget has 2",
        ),
        (
            {"slots": 2},
            {**pools("a", min=1, resources={"slots": 1}), **pools("b", resources={"slots": 2})},
            "pool 'b' takes 2 of 'slots' for each worker; the other pools' min workers (a 1 x 1) leave 1 of 2",
        ),
        (
            {"slots": 2},
            pools("a", resources={"licences": 1}),
            "8:17: pools.a.resources.licences: the budget does not name 'licences'; it names slots",
        ),
    ],
)
def test_a_file_whose_pools_cannot_fit_is_refused_before_anything_starts(
    start: Start, budget: dict[str, object], fleet_pools: dict[str, object], reason: str
) -> None:
    fleet = start({"budget": budget, "pools": fleet_pools}, ready=False)
    said = fleet.refused()
    assert reason in said
    assert said.startswith(f"{fleet.file}:")
    assert fleet.steering.notes("a") == []


def test_what_a_class_itself_takes_is_compared_with_the_budget(start: Start) -> None:
    file = {"budget": {"gpus": [0, 1]}, "pools": {"mine": {"target": "tests.pools.apps.mixed:hungry"}}}
    fleet = start(file, ready=False)
    assert "each worker of pool 'mine' takes 3 GPUs; the budget has 2" in fleet.refused()


def test_a_budget_that_is_exactly_full_serves_all(start: Start) -> None:
    file = {
        "budget": {"gpus": [0, 1], "memory": "1GiB", "slots": 4},
        "pools": {
            **pools("a", min=2, max=2, gpus=1, memory="256MiB", resources={"slots": 1}),
            **pools("b", min=1, memory="512MiB", resources={"slots": 2}),
        },
    }
    fleet = start(file)
    assert fleet.server.ready_workers == 3
    assert fleet.used("gpus") == (2, 2)
    assert fleet.used("memory") == (1 << 30, 1 << 30)
    assert fleet.used("slots") == (4, 4)
    # One that dies is replaced: what it had is free again, and only then.
    fleet.server.workers()[0].kill()
    for model in ("a", "b") * 10:
        fleet.ask(model)
    fleet.wait_workers("a", "ready", "ready")
    fleet.wait_workers("b", "ready")


def test_a_pool_grows_only_as_far_as_there_is_room(start: Start, gate: Gate) -> None:
    file = {"budget": {"slots": 2}, "pools": pools("a", max=4, resources={"slots": 1})}
    fleet = start(file)
    running = [fleet.asking("a", gate.parameters) for _ in range(4)]
    assert len(set(gate.wait_entered(2))) == 2
    assert fleet.used("slots") == (2, 2)
    gate.open()
    assert len({said(request.result(30))["pid"] for request in running}) == 2
    assert len(fleet.steering.pids("a")) == 2
