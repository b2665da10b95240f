"""`anyserve status`: what an operator sees."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from anyserve.errors import UnavailableError

from tests.pools.fleet import pools, said
from tests.test_cli_terminal import Terminal
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.gate import Gate
    from tests.pools.conftest import Start
    from tests.pools.fleet import Fleet


def shown(fleet: Fleet) -> dict[str, Any]:
    """What ``anyserve status --json`` says of each pool."""
    done = fleet.command("status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    [line] = done.stdout.splitlines()
    return {pool["name"]: pool for pool in json.loads(line)["pools"]}


def test_a_worker_is_followed_through_its_life(start: Start, gate: Gate) -> None:
    fleet = start({"budget": {"gpus": [4]}, "pools": pools("s", "a", gpus=1)})
    for hook in ("on_start", "on_sleep", "on_wake", "on_stop"):
        fleet.steering.hold("s", hook)
    assert (shown(fleet)["s"]["state"], shown(fleet)["s"]["workers"]) == ("idle", [])

    def see(pool: str, worker: str) -> dict[str, Any]:
        fleet.wait_workers("s", worker)
        seen: dict[str, Any] = shown(fleet)["s"]
        [found] = seen["workers"]
        assert (seen["state"], found["state"]) == (pool, worker)
        return dict(found)

    running = fleet.asking("s", gate.parameters)
    worker = see("starting", "starting")
    assert worker["gpus"] == [4]
    fleet.steering.release("s", "on_start")
    [pid] = gate.wait_entered()
    worker = see("ready", "busy")
    assert (worker["pid"], worker["running"], worker["requests"]) == (pid, 1, 0)
    assert worker["resident_memory"] > 1 << 20
    gate.open()
    assert said(running.result(30))["pid"] == pid
    assert see("ready", "ready")["requests"] == 1
    fleet.admin.sleep("s")
    see("falling-asleep", "falling-asleep")
    fleet.steering.release("s", "on_sleep")
    assert see("asleep", "asleep")["pid"] == pid
    fleet.admin.wake("s")
    see("waking", "waking")
    fleet.steering.release("s", "on_wake")
    see("ready", "ready")
    fleet.admin.drain("s")
    see("draining", "draining")
    fleet.steering.release("s", "on_stop")
    fleet.wait_state("s", "drained")
    pool = shown(fleet)["s"]
    assert (pool["workers"], pool["ended"], pool["failed"]) == ([], 1, 0)
    assert "the operator drained the pool" in pool["decision"]


def test_a_sleeping_worker_is_shown_without_gpus(start: Start) -> None:
    fleet = start({"budget": {"gpus": [4]}, "pools": pools("s", "a", gpus=1)})
    fleet.ask("s")
    fleet.admin.sleep("s")
    fleet.wait_workers("s", "asleep")
    fleet.ask("a")
    assert [worker["gpus"] for worker in fleet.pool("a")["workers"]] == [[4]]
    assert [worker["gpus"] for worker in fleet.pool("s")["workers"]] == [[]]


def test_a_failed_pool_says_why(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    fleet.steering.fail("a", "on_start", "no weights here")
    with pytest.raises(UnavailableError, match="no weights here"):
        fleet.ask("a")
    pool = shown(fleet)["a"]
    assert pool["state"] == "failed"
    assert "no weights here" in pool["reason"]
    table = fleet.command("status").stdout
    assert re.search(r"^a +failed ", table, re.MULTILINE)
    assert "no weights here" in table


def test_a_process_that_ends_while_it_starts_has_last_words(start: Start) -> None:
    target = {"factory": "tests.pools.apps.dying:make", "capabilities": [{"type": "dying"}], "min": 0}
    fleet = start({"pools": {"dying": target}})
    with pytest.raises(UnavailableError, match=r"exited with code 7; .*stderr:\nthe disk is full"):
        fleet.ask("dying")
    assert "the disk is full" in fleet.pool("dying")["reason"]


def test_what_waits_is_shown(start: Start) -> None:
    fleet = start({"pools": pools("a", "b")})
    fleet.steering.hold("a", "on_start")
    waiting = [fleet.asking("a") for _ in range(3)]
    fleet.wait_waiting("a", 3)
    eventually(lambda: fleet.pool("a")["oldest_wait"] > 0.1, "they have waited")
    pool = shown(fleet)["a"]
    assert (pool["waiting"], pool["running"]) == (3, 0)
    assert shown(fleet)["b"]["waiting"] == 0
    fleet.steering.release("a", "on_start")
    for request in waiting:
        request.result(30)
    assert shown(fleet)["a"]["ended"] == 3


def test_the_tables_name_pools_and_workers(start: Start) -> None:
    file = {
        "budget": {"memory": "8GiB", "slots": 3},
        "pools": pools("a", "s", min=1, memory="1GiB", resources={"slots": 1}),
    }
    fleet = start(file)
    fleet.admin.pin("s", True)
    done = fleet.command("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert re.match(rf"anyserve \S+ at grpc://127\.0\.0\.1:{fleet.server.port}, up \S+ s, agent \d+ MiB\n", done.stdout)
    assert "in use: 2.0 GiB of 8.0 GiB memory, 2 of 3 slots" in done.stdout
    assert re.search(r"^a +ready +1 of 1 +0 +0 +0 +0 +0\.0 +\{model: a, type: letter\}", done.stdout, re.MULTILINE)
    assert re.search(r"^s \(pinned\) +ready", done.stdout, re.MULTILINE)
    for pool in ("a", "s"):
        [pid] = fleet.pids(pool)
        assert re.search(rf"^\d+ +{pool} +ready +.*{pid}\s*$", done.stdout, re.MULTILINE)


def test_a_terminal_is_shown_colours(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = start({"pools": pools("a", min=1)})
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(fleet.runtime))
    with Terminal("status", "--port", str(fleet.server.port)) as terminal:
        assert terminal.process.wait(30) == 0
        eventually(lambda: str(fleet.pids("a")[0]) in terminal.shown, "the worker is shown")
        assert terminal.colored


def test_a_watch_goes_on_until_it_is_interrupted(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = start({"pools": pools("a")})
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(fleet.runtime))
    with Terminal("status", "--port", str(fleet.server.port), "--watch", "--every", "0.05") as terminal:
        eventually(lambda: "idle" in terminal.shown, "the pool is shown")
        pid = fleet.ask("a")["pid"]
        eventually(lambda: str(pid) in terminal.shown, "the new worker is shown")
        terminal.press(b"\x03")
        assert terminal.process.wait(30) == 130
    assert "Traceback" not in terminal.shown


def test_a_watch_of_an_agent_that_ends_says_so(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = start({"pools": pools("a")})
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(fleet.runtime))
    with Terminal("status", "--port", str(fleet.server.port), "--watch", "--every", "0.05", "--json") as terminal:
        eventually(lambda: terminal.shown.count('"idle"') > 2, "lines come")
        assert fleet.server.stop() == 0
        assert terminal.process.wait(30) == 1
        eventually(lambda: "no agent answers there" in terminal.shown, "it says why it ends")
    assert "Traceback" not in terminal.shown
