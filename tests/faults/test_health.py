"""Workers that are alive and not well: each is ended for a reason that the log, the metrics and the client are told."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError, UnavailableError

from tests.background import Background, pid_of
from tests.faults.fleet import functions, instances, kill
from tests.faults.load import Load
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.faults.conftest import Start
    from tests.faults.fleet import Folder

HEARTBEAT = "2s"
"""The shortest that is allowed."""


def test_a_stopped_worker_is_replaced_and_its_request_unavailable_or_tried_again(start: Start, folder: Folder) -> None:
    shared: dict[str, Any] = {"heartbeat_timeout": HEARTBEAT}
    fleet = start({"one": functions("one", **shared), "class": instances("class", "again", **shared)})
    gate, again = folder.gate(), folder.gate("again")
    with Background(fleet.address) as background:
        lost = background.infer("one", {"do": "gate", **gate.parameters}, timeout=60)
        retried = background.infer("class", {"do": "gate", **again.parameters}, timeout=60)
        [pid], [first] = gate.wait_entered(), again.wait_entered()
        os.kill(pid, signal.SIGSTOP)
        os.kill(first, signal.SIGSTOP)
        waiting = background.infer("one", timeout=60)
        with pytest.raises(UnavailableError, match=r"no sign of life for 2s"):
            lost.result(60)
        assert pid_of(waiting.result(60)) != pid
        second = again.wait_entered(2)[1]
        again.open()
        assert pid_of(retried.result(60)) == second != first
        assert fleet.restarts("silent") == 2
        fleet.logs("no sign of life for 2s.*pool=.*one")
        fleet.wait_gone(pid)
        fleet.wait_gone(first)


def test_a_worker_that_is_stopped_while_idle_starting_or_asleep_is_found_out(start: Start, folder: Folder) -> None:
    folder.set_mood("starting", "wait")
    shared: dict[str, Any] = {"heartbeat_timeout": HEARTBEAT}
    fleet = start(
        {
            "idle": functions("idle", min=1, **shared),
            "starting": functions("starting", **shared),
            "asleep": instances("asleep", "sleeper", min=1, **shared),
        }
    )
    with Background(fleet.address) as background, Client(fleet.address) as client:
        waiting = background.infer("starting", timeout=60)
        [starting] = folder.gate("starting.gate").wait_entered()
        [asleep], [idle] = fleet.pids("asleep"), fleet.pids("idle")
        fleet.admin.sleep("asleep")
        fleet.wait_state("asleep", "asleep")
        for pid in (idle, starting, asleep):
            os.kill(pid, signal.SIGSTOP)
        eventually(lambda: fleet.restarts("silent") == 3, "all three are found out")
        folder.gate("starting.gate").open()
        assert pid_of(waiting.result(60)) != starting
        assert pid_of(client.infer("idle", timeout=60)) != idle
        assert pid_of(client.infer("asleep", timeout=60)) != asleep
        for pid in (idle, starting, asleep):
            fleet.wait_gone(pid)


def test_a_stopped_worker_that_goes_on_in_time_is_left_alone(start: Start) -> None:
    fleet = start({"pool": functions("pool", min=1, heartbeat_timeout="3s")})
    [pid] = fleet.pids("pool")
    with Background(fleet.address) as background:
        os.kill(pid, signal.SIGSTOP)
        running = background.infer("pool", timeout=60)
        eventually(lambda: fleet.pool("pool")["running"] == 1, "the worker has the request")
        os.kill(pid, signal.SIGCONT)
        assert pid_of(running.result(60)) == pid
    assert fleet.restarts("silent") == 0


def test_a_handler_that_holds_the_gil_is_no_silence(start: Start, folder: Folder) -> None:
    fleet = start({"pool": functions("pool", heartbeat_timeout=HEARTBEAT)})
    gate = folder.gate()
    with Client(fleet.address) as client:
        result = client.infer("pool", parameters={"do": "hold", "seconds": "3", **gate.parameters}, timeout=60)
        assert [pid_of(result)] == gate.entered()
    assert fleet.restarts("silent") == 0


def test_a_slow_start_is_no_silence(start: Start, folder: Folder) -> None:
    folder.set_mood("slow", "slow 3")
    fleet = start({"slow": functions("slow", heartbeat_timeout=HEARTBEAT)})
    with Client(fleet.address) as client:
        client.infer("slow", timeout=60)
    assert len(folder.starts("slow")) == 1
    assert fleet.restarts("silent") == 0


def test_a_worker_over_its_memory_limit_is_killed_and_the_client_told_both_numbers(
    start: Start, folder: Folder
) -> None:
    limit = 150 << 20
    fleet = start({"pool": functions("pool", min=1, max_rss="150MiB")})
    [pid] = fleet.pids("pool")
    gate = folder.gate()
    with Background(fleet.address) as background:
        parameters = {"do": "allocate", "bytes": str(300 << 20), **gate.parameters}
        with pytest.raises(UnavailableError, match=f"max_rss of {limit >> 20} MiB") as caught:
            background.infer("pool", parameters, timeout=60).result(60)
        match = re.search(r"held (\d+) MiB", str(caught.value))
        assert match is not None
        assert 150 < int(match[1]) < 450
        fleet.wait_gone(pid)
        assert fleet.restarts("memory") == 1
        fleet.logs(f"max_rss of {limit >> 20} MiB.*pool=")
        assert pid_of(background.infer("pool", timeout=60).result(60)) != pid


@pytest.mark.parametrize(("kind", "workers"), [("functions", 2), ("class", 1)])
def test_worn_workers_are_replaced_under_load_without_a_failed_request(
    start: Start, folder: Folder, kind: str, workers: int
) -> None:
    make = functions if kind == "functions" else instances
    options: dict[str, Any] = {"min": workers, "max": workers, "max_requests": 10, "args": {"concurrency": 2}}
    fleet = start({"pool": make("pool", **options)}, budget={"places": 1})
    before = set(fleet.pids("pool"))
    capabilities = ["pool", "pool-again", "pool-streamed"] if kind == "functions" else ["pool"]
    with Load(fleet.address, capabilities, callers=2, seconds=0.02) as load:
        eventually(lambda: len(folder.starts("pool")) >= workers + 4, "workers are replaced")
    assert load.failures == {}
    served = [pid for pids in folder.journal("begin").values() for pid in pids]
    # It had two at once, and some were on their way.
    assert max(served.count(pid) for pid in set(served)) < 10 * 20
    eventually(lambda: before.isdisjoint(fleet.pids("pool")), "none of the first is left")
    assert fleet.restarts("killed") == fleet.restarts("exited") == 0


def test_a_worn_worker_is_replaced_where_there_is_room_for_one_only(start: Start, folder: Folder) -> None:
    pool = functions("pool", min=1, max_requests=5, resources={"places": 1})
    fleet = start({"pool": pool}, budget={"places": 1})
    with Load(fleet.address, ["pool", "pool-streamed"], callers=3, seconds=0.02) as load:
        eventually(lambda: len(folder.starts("pool")) >= 4, "workers are replaced")
    assert load.failures == {}


@pytest.mark.parametrize("kind", ["functions", "class"])
def test_a_handler_that_hangs_ends_with_its_worker(start: Start, folder: Folder, kind: str) -> None:
    make = functions if kind == "functions" else instances
    fleet = start({"pool": make("pool", args={"timeout": 0.5})})
    gate = folder.gate()
    with Background(fleet.address) as background:
        running = background.infer("pool", {"do": "gate", **gate.parameters}, timeout=60)
        with pytest.raises(DeadlineExceededError, match="longer than its timeout of 500ms"):
            running.result(60)
        [pid] = gate.entered()
        fleet.wait_gone(pid)
        assert fleet.restarts("hung") == 1
        fleet.logs("its handler ran longer than 500ms.*pool=")
        assert pid_of(background.infer("pool", timeout=60).result(60)) != pid


@pytest.mark.parametrize(
    ("do", "reason", "said"),
    [
        ("hang up", "disconnected", "closed its control channel"),
        ("garbage", "protocol", "broke the protocol"),
        ("exit", "exited", "exited with code 3"),
    ],
)
def test_how_a_worker_ended_is_told_by_the_log_the_metrics_and_the_client(
    start: Start, folder: Folder, do: str, reason: str, said: str
) -> None:
    fleet = start({"pool": instances("pool", min=1)})
    [pid] = fleet.pids("pool")
    with Background(fleet.address) as background:
        running = background.infer("pool", {"do": do, **folder.gate().parameters}, timeout=60)
        with pytest.raises(UnavailableError, match=f"the worker that ran the request is gone: .*{said}"):
            running.result(60)
        assert pid_of(background.infer("pool", timeout=60).result(60)) != pid
    fleet.logs(f"{said}.*pool=")
    assert fleet.restarts(reason) == 1
    fleet.wait_gone(pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_worker_that_is_killed_while_idle_or_asleep_is_replaced(start: Start, number: signal.Signals) -> None:
    fleet = start({"idle": functions("idle", min=1), "asleep": instances("asleep", "sleeper", min=1)})
    fleet.admin.sleep("asleep")
    pids = [fleet.wait_state("asleep", "asleep"), *fleet.pids("idle")]
    for pid in pids:
        os.kill(pid, number)
    eventually(lambda: fleet.restarts("killed") == 2, "both are missed")
    with Client(fleet.address) as client:
        for capability in ("idle", "asleep"):
            assert pid_of(client.infer(capability, timeout=60)) not in pids


def test_a_worker_that_is_killed_while_it_wakes_or_falls_asleep_loses_no_request(start: Start) -> None:
    fleet = start({"pool": instances("pool", "sleeper", min=1)})
    with Client(fleet.address) as client, Background(fleet.address) as background:
        for _ in range(5):
            client.infer("pool", timeout=60)
            [pid] = fleet.pids("pool")
            fleet.admin.sleep("pool")
            waiting = [background.infer("pool", timeout=60) for _ in range(3)]
            kill(pid)
            for request in waiting:
                error = request.exception(60)
                # Unless it had begun already.
                assert error is None or "the worker that ran the request is gone" in str(error)


def test_children_of_a_killed_worker_do_not_outlive_the_agent(start: Start) -> None:
    fleet = start({"pool": functions("pool", min=2, max=2)})
    for pid in fleet.pids("pool"):
        kill(pid)
        fleet.wait_gone(pid)
    agent = psutil.Process(fleet.process.pid)
    eventually(lambda: fleet.states("pool") == ["ready", "ready"], "two are back")
    assert [child.status() for child in agent.children()].count(psutil.STATUS_ZOMBIE) == 0
