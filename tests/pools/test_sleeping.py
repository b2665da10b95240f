"""Workers that sleep keep their process, and wake for the next request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from anyserve.errors import RequestError

from tests.pools.fleet import pools, said
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.gate import Gate
    from tests.pools.conftest import Start


def one_of(*names: str, **options: Any) -> dict[str, Any]:
    """A file with a budget for one worker of these pools that is awake."""
    return {"budget": {"slots": 1}, "pools": pools(*names, resources={"slots": 1}, min_residence=0, **options)}


def test_an_idle_worker_goes_to_sleep_and_wakes_for_the_next_request(start: Start) -> None:
    fleet = start({"pools": pools("s", idle_timeout="200ms")})
    first = fleet.ask("s")
    fleet.wait_state("s", "asleep", patience=1.5)
    assert fleet.client.is_ready("s")
    second = fleet.ask("s")
    assert (second["pid"], second["calls"]) == (first["pid"], 2)
    assert fleet.steering.hooks("s")[:3] == ["on_start", "on_sleep", "on_wake"]


def test_a_worker_that_is_told_to_sleep_keeps_its_process_and_wakes_when_told(start: Start) -> None:
    fleet = start({"pools": pools("s")})
    pid = fleet.ask("s")["pid"]
    assert fleet.command("sleep", "s").stdout == "pool 's': 1 worker goes to sleep once it is idle\n"
    fleet.wait_workers("s", "asleep")
    assert fleet.workers("s") == ["asleep"]
    assert fleet.pids("s") == [pid]
    assert fleet.command("wake", "s").stdout == "pool 's': 1 worker wakes\n"
    fleet.wait_state("s", "ready")
    assert fleet.ask("s") | {"calls": 2, "pid": pid} == fleet.ask("s") | {"calls": 2, "pid": pid}
    assert fleet.steering.hooks("s") == ["on_start", "on_sleep", "on_wake"]


def test_a_request_wakes_a_worker_that_was_told_to_sleep(start: Start) -> None:
    fleet = start({"pools": pools("s", min=1)})
    [pid] = fleet.pids("s")
    for turn in range(1, 4):
        fleet.admin.sleep("s")
        fleet.wait_workers("s", "asleep")
        answer = fleet.ask("s")
        assert (answer["pid"], answer["calls"]) == (pid, turn)


def test_waking_a_pool_without_workers_starts_one(start: Start) -> None:
    fleet = start({"pools": pools("s", "a")})
    fleet.admin.wake("s")
    fleet.wait_workers("s", "ready")
    fleet.admin.wake("a")
    fleet.wait_workers("a", "ready")


def test_a_pool_that_cannot_sleep_says_so(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    with pytest.raises(RequestError, match="the workers of pool 'a' cannot sleep: its class has no on_sleep"):
        fleet.admin.sleep("a")
    done = fleet.command("sleep", "a")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "anyserve: the workers of pool 'a' cannot sleep: its class has no on_sleep\n"


def test_what_a_sleeper_takes_is_free_while_it_sleeps(start: Start) -> None:
    fleet = start(one_of("s", "t", "a"))
    pid = fleet.ask("s")["pid"]
    assert fleet.ask("t")["pool"] == "t"
    assert fleet.state("s") == "asleep"
    assert fleet.ask("a")["pool"] == "a"
    assert (fleet.state("s"), fleet.state("t"), fleet.used("slots")) == ("asleep", "asleep", (1, 1))
    answer = fleet.ask("s")
    assert (answer["pid"], answer["calls"]) == (pid, 2)
    assert fleet.state("a") == "idle"


def test_a_sleeper_keeps_its_memory_and_is_stopped_if_others_need_that(start: Start) -> None:
    file: dict[str, Any] = {"budget": {"memory": "3GiB"}, "pools": pools("s", "t", memory="2GiB", min_residence=0)}
    file["pools"]["s"]["asleep"] = {"memory": "1GiB"}
    fleet = start(file)
    fleet.ask("s")
    fleet.admin.sleep("s")
    fleet.wait_workers("s", "asleep")
    assert fleet.used("memory") == (1 << 30, 3 << 30)
    fleet.ask("t")
    assert (fleet.state("s"), fleet.used("memory")) == ("asleep", (3 << 30, 3 << 30))
    # t keeps all of its memory asleep: it has to stop.
    fleet.ask("s")
    assert (fleet.state("t"), fleet.used("memory")) == ("idle", (2 << 30, 3 << 30))
    assert fleet.steering.hooks("t")[-1] == "on_stop"


def test_gpus_are_the_same_after_a_sleep(start: Start) -> None:
    """A process cannot be given other GPUs than those that it started with."""
    file = {"budget": {"gpus": [0, 1]}, "pools": pools("s", "t", "a", gpus=1, min_residence=0)}
    fleet = start(file)
    first = fleet.ask("s")
    fleet.ask("t")
    fleet.ask("a")
    fleet.ask("t")
    again = fleet.ask("s")
    assert again["visible"] == again["gpus"]
    [told] = [worker["gpus"] for worker in fleet.pool("s")["workers"]]
    assert again["gpus"] == ",".join(map(str, told))
    if again["pid"] == first["pid"]:
        assert again["gpus"] == first["gpus"]


def test_a_worker_that_cannot_fall_asleep_is_replaced(start: Start) -> None:
    fleet = start(one_of("s", "a"))
    first = fleet.ask("s")["pid"]
    fleet.steering.fail("s", "on_sleep", "the weights are stuck")
    assert fleet.ask("a")["pool"] == "a"
    eventually(lambda: first not in fleet.pids("s"), "it is gone")
    assert fleet.server.stderr.find(re.compile("the weights are stuck")) is not None
    eventually(lambda: fleet.metrics.value("worker_restarts_total", reason="hook_failed") == 1, "it is counted")
    assert fleet.ask("s")["pid"] != first


def test_a_worker_that_cannot_wake_is_replaced_and_the_request_served(start: Start) -> None:
    fleet = start({"pools": pools("s")})
    first = fleet.ask("s")["pid"]
    fleet.admin.sleep("s")
    fleet.wait_workers("s", "asleep")
    fleet.steering.fail("s", "on_wake", "the GPU is gone")
    running = [fleet.asking("s") for _ in range(5)]
    [second] = {said(request.result(30))["pid"] for request in running}
    assert second != first
    found = fleet.server.stderr.find(re.compile(r"on_wake.*the GPU is gone"))
    assert found is not None
    assert 'File "' in fleet.server.stderr.text
    eventually(lambda: fleet.metrics.value("worker_restarts_total", reason="hook_failed") == 1, "it is counted")


@pytest.mark.parametrize("state", ["asleep", "falling-asleep", "waking"])
def test_a_worker_that_is_killed_while_it_sleeps_or_changes_is_replaced(start: Start, state: str) -> None:
    fleet = start({"pools": pools("s")})
    first = fleet.ask("s")["pid"]
    if state == "falling-asleep":
        fleet.steering.hold("s", "on_sleep")
    fleet.admin.sleep("s")
    fleet.wait_workers("s", "falling-asleep" if state == "falling-asleep" else "asleep")
    waiting = None
    if state == "waking":
        fleet.steering.hold("s", "on_wake")
        waiting = fleet.asking("s")
        fleet.wait_workers("s", "waking")
    fleet.kill(first)
    assert (said(waiting.result(30)) if waiting else fleet.ask("s"))["pid"] != first
    fleet.wait_workers("s", "ready")


def test_a_request_that_comes_while_its_worker_falls_asleep_is_served_after_that(start: Start) -> None:
    fleet = start({"pools": pools("s")})
    first = fleet.ask("s")["pid"]
    fleet.steering.hold("s", "on_sleep")
    fleet.admin.sleep("s")
    fleet.steering.wait_called("s", "on_sleep")
    waiting = fleet.asking("s")
    fleet.wait_waiting("s", 1)
    assert fleet.workers("s") == ["falling-asleep"]
    fleet.steering.release("s", "on_sleep")
    answer = said(waiting.result(30))
    assert (answer["pid"], answer["calls"]) == (first, 2)


def test_a_busy_worker_falls_asleep_once_it_has_finished(start: Start, gate: Gate) -> None:
    fleet = start({"pools": pools("s")})
    running = fleet.asking("s", gate.parameters)
    [pid] = gate.wait_entered()
    fleet.admin.sleep("s")
    assert fleet.steering.pids("s", "on_sleep") == []
    gate.open()
    assert said(running.result(30))["pid"] == pid
    fleet.wait_workers("s", "asleep")


def test_a_worker_whose_on_sleep_hangs_is_replaced_after_its_start_timeout(start: Start) -> None:
    fleet = start({"pools": pools("s", start_timeout="1s")})
    first = fleet.ask("s")["pid"]
    fleet.steering.hold("s", "on_sleep")
    fleet.admin.sleep("s")
    fleet.steering.wait_called("s", "on_sleep")
    assert fleet.ask("s")["pid"] != first
    assert "falling asleep or waking took over 1s (start_timeout)" in fleet.server.stderr.text


def test_a_worker_whose_on_sleep_hangs_is_ended_even_if_nobody_waits(start: Start) -> None:
    fleet = start({"pools": pools("s", start_timeout="500ms")})
    first = fleet.ask("s")["pid"]
    fleet.steering.hold("s", "on_sleep")
    fleet.admin.sleep("s")
    fleet.steering.wait_called("s", "on_sleep")
    eventually(lambda: first not in fleet.pids("s"), "it is gone", 1.5)


def test_commands_in_quick_succession_leave_a_pool_that_serves(start: Start) -> None:
    fleet = start({"pools": pools("s", max=2)})

    def wait_come(sent: int) -> None:
        states = ("waiting", "running", "ended")
        eventually(lambda: sum(fleet.pool("s")[state] for state in states) == sent, "all have come")

    for turn in range(8):
        running = [fleet.asking("s") for _ in range(4)]
        # What comes while it drains is refused.
        wait_come(4 * turn + 4)
        fleet.admin.sleep("s")
        fleet.admin.wake("s")
        fleet.admin.sleep("s")
        if turn % 3 == 0:
            fleet.admin.scale("s", 0, 2)
        if turn % 3 == 1:
            fleet.admin.drain("s")
            fleet.admin.scale("s", 0, 2)
        for request in running:
            assert said(request.result(30))["pool"] == "s"
    fleet.admin.wake("s")
    fleet.wait_state("s", "ready")


def test_a_sleeper_stops_with_its_agent(start: Start) -> None:
    fleet = start({"pools": pools("s", min=1)})
    fleet.admin.sleep("s")
    fleet.wait_workers("s", "asleep")
    assert fleet.server.stop() == 0
    assert fleet.steering.hooks("s")[:2] == ["on_start", "on_sleep"]
