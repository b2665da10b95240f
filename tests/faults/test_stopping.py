"""Workers that do not stop when they are asked to: they are killed after ``stop_timeout``, and nothing waits longer."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import psutil
from anyserve import Client

from tests.background import Background, pid_of
from tests.faults.fleet import instances
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.faults.conftest import Start
    from tests.faults.fleet import Folder, Pool

STOP_TIMEOUT = "300ms"


def stubborn(**options: Any) -> Pool:
    """A pool whose workers may refuse to stop."""
    return instances("stubborn", stop_timeout=STOP_TIMEOUT, **options)


def test_the_agent_does_not_wait_longer_at_its_end(start: Start, folder: Folder) -> None:
    fleet = start({"stubborn": stubborn(min=2)})
    pids = fleet.pids("stubborn")
    folder.refuse_to_stop("stubborn")
    begun = time.monotonic()
    fleet.send_signal(signal.SIGINT)
    eventually(lambda: sorted(folder.stops("stubborn")) == sorted(pids), "both are asked to stop")
    assert fleet.wait() == 0
    assert time.monotonic() - begun >= 0.3
    # Both at once, and long before what any other limit would be.
    assert time.monotonic() - begun < 20


def test_the_stop_timeout_alone_bounds_the_end(start: Start, folder: Folder) -> None:
    """Less than the usual 5 seconds and the agent's own 30: told apart by a limit between them."""
    fleet = start({"stubborn": stubborn(min=1)}, "--drain-timeout", "30")
    folder.refuse_to_stop("stubborn")
    fleet.send_signal(signal.SIGTERM)
    assert fleet.process.wait(4) == 0


def test_a_second_signal_does_not_wait_at_all(start: Start, folder: Folder) -> None:
    fleet = start({"stubborn": stubborn(min=1) | {"stop_timeout": "1h"}})
    folder.refuse_to_stop("stubborn")
    fleet.send_signal(signal.SIGTERM)
    eventually(lambda: folder.stops("stubborn"), "it is asked to stop")
    fleet.send_signal(signal.SIGTERM)
    assert fleet.wait() == 0


def test_a_drained_worker_that_does_not_stop_is_killed(start: Start, folder: Folder) -> None:
    fleet = start({"stubborn": stubborn(), "other": instances("other")})
    with Client(fleet.address) as client:
        pid = pid_of(client.infer("stubborn", timeout=60))
        folder.refuse_to_stop("stubborn")
        fleet.admin.drain("stubborn")
        eventually(lambda: folder.stops("stubborn") == [pid], "it is asked to stop")
        client.infer("other", timeout=60)
        fleet.wait_gone(pid)
        assert fleet.pool("stubborn")["state"] == "drained"
        # It was asked to go: that is no restart.
        assert fleet.restarts("killed") == 0


def test_an_evicted_worker_that_does_not_stop_makes_room_all_the_same(start: Start, folder: Folder) -> None:
    place: dict[str, Any] = {"resources": {"places": 1}, "min_residence": 0}
    fleet = start({"stubborn": stubborn(**place), "other": instances("other", **place)}, budget={"places": 1})
    with Client(fleet.address) as client:
        pid = pid_of(client.infer("stubborn", timeout=60))
        folder.refuse_to_stop("stubborn")
        client.infer("other", timeout=60)
        assert folder.stops("stubborn") == [pid]
        fleet.wait_gone(pid)
        # Nothing holds the place twice.
        assert fleet.admin.status()["resources"]["places"] == {"total": 1, "used": 1}


def test_a_replaced_worker_that_does_not_stop_is_killed(start: Start, folder: Folder) -> None:
    fleet = start({"stubborn": stubborn(min=1)})
    [pid] = fleet.pids("stubborn")
    folder.refuse_to_stop("stubborn")
    folder.configure({"stubborn": stubborn(min=1, env={"ANYSERVE_TEST_VERSION": "2"})})
    assert "1 replaced" in fleet.reload()
    with Client(fleet.address) as client:
        assert client.infer("stubborn", timeout=60).response.parameters["version"] == "2"
    fleet.wait_gone(pid)
    eventually(lambda: fleet.pool_names() == ["stubborn"], "the old one is forgotten")


def test_a_worker_that_is_stopped_by_a_signal_while_it_is_to_stop_is_killed(start: Start) -> None:
    fleet = start({"stubborn": stubborn(min=1)})
    [pid] = fleet.pids("stubborn")
    os.kill(pid, signal.SIGSTOP)
    fleet.admin.scale("stubborn", 0)
    fleet.admin.drain("stubborn")
    fleet.wait_gone(pid)


def test_a_sleeping_worker_is_asked_to_stop_too(start: Start, folder: Folder) -> None:
    fleet = start({"stubborn": instances("stubborn", "sleeper", min=1, stop_timeout=STOP_TIMEOUT)})
    fleet.admin.sleep("stubborn")
    pid = fleet.wait_state("stubborn", "asleep")
    folder.refuse_to_stop("stubborn")
    fleet.send_signal(signal.SIGTERM)
    assert fleet.wait() == 0
    assert folder.stops("stubborn") == [pid]


def test_a_worker_that_is_idle_for_too_long_is_stopped_though_nothing_else_happens(start: Start) -> None:
    fleet = start({"pool": instances("pool", idle_timeout="300ms", min_residence=0)})
    with Client(fleet.address) as client:
        pid = pid_of(client.infer("pool", timeout=60))
    eventually(lambda: not psutil.pid_exists(pid), "it is stopped", patience=5)


def test_requests_that_come_while_a_worker_refuses_to_stop_are_served_by_another(start: Start, folder: Folder) -> None:
    fleet = start({"stubborn": stubborn()})
    with Client(fleet.address) as client, Background(fleet.address) as background:
        pid = pid_of(client.infer("stubborn", timeout=60))
        folder.refuse_to_stop("stubborn")
        fleet.admin.scale("stubborn", 0)
        eventually(lambda: folder.stops("stubborn") == [pid], "it is asked to stop")
        others = [background.infer("stubborn", timeout=60) for _ in range(5)]
        assert pid not in {pid_of(request.result(60)) for request in others}
