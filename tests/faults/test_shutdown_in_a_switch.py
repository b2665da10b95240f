"""The agent is told to stop, or dies, while workers come and go: what was accepted ends, and nothing is left."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from anyserve import Client
from anyserve.errors import UnavailableError

from tests.background import Background, pid_of
from tests.faults.fleet import Fleet, functions, instances
from tests.waiting import eventually

if TYPE_CHECKING:
    from concurrent.futures import Future

    from anyserve import InferResult

    from tests.faults.conftest import Start
    from tests.faults.fleet import Folder

PLACE = {"resources": {"places": 1}, "min_residence": 0}


class Switch:
    """One pool's worker is busy with the last it has, another pool's requests wait for its place."""

    def __init__(self, start: Start, folder: Folder, *arguments: str) -> None:
        pools = {"old": functions("old", **PLACE), "new": functions("new", **PLACE)}
        self.fleet = start(pools, *arguments, budget={"places": 1})
        self.gate = folder.gate()
        self.starting = folder.gate("new.gate")
        folder.set_mood("new", "wait")
        self.background = Background(self.fleet.address)
        self.running = self.background.infer("old", {"do": "gate", **self.gate.parameters}, timeout=60)
        self.gate.wait_entered()
        self.waiting = [self.background.infer("new", timeout=60) for _ in range(3)]
        self.waiting.append(self.background.infer("new-again", timeout=60))
        eventually(lambda: self.fleet.pool("new")["waiting"] == 4, "they wait")


def accepted(request: Future[InferResult]) -> bool:
    """Whether it was served; if not, it was refused clearly."""
    error = request.exception(60)
    if error is None:
        return True
    assert isinstance(error, UnavailableError), error
    assert "the server is shutting down" in str(error)
    return False


@pytest.mark.parametrize("when", ["before the old one is idle", "while the new one starts"])
def test_what_was_accepted_is_served_before_the_end(start: Start, folder: Folder, when: str) -> None:
    switch = Switch(start, folder)
    if when == "while the new one starts":
        switch.gate.open()
        switch.starting.wait_entered()
    switch.fleet.send_signal(signal.SIGTERM)
    eventually(lambda: switch.fleet.admin.status()["draining"], "it drains")
    with Client(switch.fleet.address) as client, pytest.raises(UnavailableError, match="shutting down"):
        client.infer("new", timeout=60)
    switch.gate.open()
    pid_of(switch.running.result(60))
    switch.starting.open()
    for request in switch.waiting:
        pid_of(request.result(60))
    assert switch.fleet.wait() == 0


def test_what_cannot_be_served_in_time_is_refused(start: Start, folder: Folder) -> None:
    switch = Switch(start, folder, "--drain-timeout", "1")
    switch.gate.open()
    switch.starting.wait_entered()
    switch.fleet.send_signal(signal.SIGTERM)
    # The new worker never gets ready.
    assert [accepted(request) for request in switch.waiting] == [False] * 4
    assert switch.fleet.wait() == 0
    assert "(--drain-timeout)" in switch.fleet.stderr.text


def test_a_second_signal_ends_it_at_once(start: Start, folder: Folder) -> None:
    switch = Switch(start, folder)
    switch.fleet.send_signal(signal.SIGTERM)
    eventually(lambda: switch.fleet.admin.status()["draining"], "it drains")
    switch.fleet.send_signal(signal.SIGTERM)
    assert switch.fleet.wait() == 0
    assert not accepted(switch.running)
    assert [accepted(request) for request in switch.waiting] == [False] * 4


def test_workers_that_cannot_start_do_not_hold_up_the_end(start: Start, folder: Folder) -> None:
    folder.set_mood("bad", "exit 5")
    fleet = start({"bad": functions("bad")})
    with Background(fleet.address) as background:
        waiting = background.infer("bad", timeout=60)
        eventually(lambda: folder.starts("bad"), "it is tried")
        fleet.send_signal(signal.SIGTERM)
        error = waiting.exception(60)
        assert isinstance(error, UnavailableError)
    assert fleet.wait() == 0


def test_a_worker_that_dies_while_the_agent_drains_is_replaced_for_what_waits(start: Start, folder: Folder) -> None:
    fleet = start({"pool": functions("pool")})
    gate = folder.gate()
    with Background(fleet.address) as background:
        running = background.infer("pool-again", {"do": "gate", **gate.parameters}, timeout=60)
        [first] = gate.wait_entered()
        waiting = background.infer("pool", timeout=60)
        eventually(lambda: fleet.pool("pool")["waiting"] == 1, "it waits")
        fleet.send_signal(signal.SIGTERM)
        eventually(lambda: fleet.admin.status()["draining"], "it drains")
        os.kill(first, signal.SIGKILL)
        gate.wait_entered(2)
        gate.open()
        assert pid_of(running.result(60)) != first
        pid_of(waiting.result(60))
        assert fleet.wait() == 0


def test_signals_in_all_sorts_of_moments_leave_nothing(start: Start, folder: Folder) -> None:
    """From the first moment on, through starts and stops."""
    folder.set_mood("slow", "slow 0.2")
    for round in range(5):
        pools = {"slow": functions("slow", min=1), "class": instances("class", min=round % 2)}
        fleet = start(pools, ready=False)
        goal = len(folder.starts("slow")) + 1
        if round >= 1:
            eventually(lambda: len(folder.starts("slow")) >= goal, "it has begun")  # noqa: B023
        else:
            fleet.wait_ready()
        fleet.send_signal(signal.SIGTERM)
        if round >= 4:
            fleet.send_signal(signal.SIGTERM)
        assert fleet.wait() == 0


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal."""
    status = Path("/proc", str(pid), "status").read_text()
    [mask] = re.findall(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_a_signal_in_the_first_moments_is_not_lost(start: Start) -> None:
    for _ in range(4):
        fleet = start({"pool": functions("pool", min=1)}, ready=False)
        while not catches(fleet.process.pid, signal.SIGTERM):
            assert fleet.process.poll() is None
        fleet.send_signal(signal.SIGTERM)
        eventually(lambda: fleet.process.poll() is not None, "the agent ends", patience=5)  # noqa: B023


@pytest.mark.parametrize("preload", [False, True])
def test_no_worker_outlives_an_agent_that_is_killed(start: Start, folder: Folder, preload: bool) -> None:
    more: dict[str, Any] = {"preload": ["numpy"]} if preload else {}
    folder.set_mood("starting", "wait")
    folder.set_mood("hung", "hang")
    fleet = start(
        {
            "busy": functions("busy", **more),
            "idle": functions("idle", min=1, **more),
            "starting": functions("starting", **more),
            "hung": instances("hung", **more),
            "asleep": instances("asleep", "sleeper", min=1, **more),
            "stopping": instances("stopping", min=1, stop_timeout="1h", **more),
        }
    )
    gate = folder.gate()
    with Background(fleet.address) as background:
        background.infer("busy", {"do": "gate", **gate.parameters})
        for capability in ("starting", "hung"):
            background.infer(capability)
        fleet.admin.sleep("asleep")
        folder.refuse_to_stop("stopping")
        fleet.admin.drain("stopping")
        gate.wait_entered()
        folder.gate("starting.gate").wait_entered()
        fleet.wait_state("hung", "starting")
        fleet.wait_state("asleep", "asleep")
        eventually(lambda: folder.stops("stopping"), "one is about to stop")
        assert len(fleet.all_pids()) == 6
        fleet.process.kill()
        fleet.process.wait()
        eventually(lambda: not fleet.processes(), "every worker is gone", patience=5)


def test_an_agent_that_is_killed_leaves_its_port_and_its_socket_usable(start: Start, folder: Folder) -> None:
    pools = {"pool": functions("pool", min=1)}
    first = start(pools)
    port = str(first.port)
    first.process.kill()
    first.process.wait()
    eventually(lambda: not first.processes(), "every worker is gone")
    again = start(pools, "--port", port)
    assert again.reload() == "pools: 1 kept (pool)\n"


def test_the_agent_stops_while_workers_fall_asleep_and_wake(start: Start, folder: Folder) -> None:
    fleet: Fleet = start({"pool": instances("pool", "sleeper", min=2, max=2)})
    gate = folder.gate()
    with Background(fleet.address) as background:
        fleet.admin.sleep("pool")
        parameters = {"do": "gate", **gate.parameters}
        waiting = [background.infer("pool", parameters, timeout=60) for _ in range(4)]
        eventually(lambda: fleet.pool("pool")["waiting"] + fleet.pool("pool")["running"] == 4, "they are accepted")
        fleet.send_signal(signal.SIGTERM)
        gate.open()
        for request in waiting:
            pid_of(request.result(60))
    assert fleet.wait() == 0
