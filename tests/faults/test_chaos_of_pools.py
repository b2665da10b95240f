"""Workers of many pools are killed all the time while the pools trade places, and every request ends as it must."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from anyserve import Client
from anyserve.errors import UnavailableError

from tests.background import pid_of
from tests.faults.fleet import Fleet, functions, instances, kill
from tests.faults.load import Load
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.faults.conftest import Start
    from tests.faults.fleet import Folder

SECONDS = float(os.environ.get("ANYSERVE_TEST_CHAOS_SECONDS", "6"))
PERIOD = 0.2

CAPABILITIES = ["plain", "plain-again", "plain-streamed", "unary", "again", "streamed", "sleeper"]
PLACES = 4

MOST_GROWTH = 48 << 20
"""Bytes by which the agent may grow: what its allocator keeps."""


class Killer:
    """Kills workers of an agent at random."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._chance = random.Random(1)
        self._starting: dict[str, int] = {}
        self.killed: set[int] = set()

    def kill_one(self) -> None:
        """Kills a worker in whatever state, but never the third of a pool in a row that starts: it would fail."""
        candidates = []
        for pool in self._fleet.admin.status()["pools"]:
            name, states = pool["name"], [worker["state"] for worker in pool["workers"]]
            if any(state not in ("starting", "draining") for state in states):
                self._starting[name] = 0
            spared = self._starting.get(name, 0) >= 2
            candidates += [
                (name, worker)
                for worker in pool["workers"]
                if worker["pid"] not in {0, *self.killed} and not (spared and worker["state"] == "starting")
            ]
        if candidates:
            name, worker = self._chance.choice(candidates)
            self._starting[name] = self._starting.get(name, 0) + (worker["state"] == "starting")
            try:
                kill(worker["pid"])
            except ProcessLookupError:
                return
            self.killed.add(worker["pid"])


def check(load: Load, folder: Folder, killed: set[int]) -> None:
    """Every request that failed was with a worker that was killed; an idempotent one with two of them."""
    begun = folder.journal("begin")
    unnoted = 0
    for number, (capability, error) in load.failures.items():
        assert isinstance(error, UnavailableError), f"{capability}: {error!r}"
        assert "the worker that ran the request is gone: the worker was killed by SIGKILL" in str(error)
        died_with = [pid for pid in begun.get(number, []) if pid in killed]
        needed = 2 if capability.endswith("again") else 1
        # It may have been taken and not have got as far as to write it down.
        unnoted += needed - min(needed, len(died_with))
    assert unnoted <= 1 + len(killed) // 50, f"{unnoted} requests failed that were with no killed worker"
    for number, pids in begun.items():
        capability = load.sent[number]
        assert len(pids) <= (2 if capability.endswith("again") else 1), f"{capability} ran {len(pids)} times"


def without_workers(fleet: Fleet, most: dict[str, int]) -> None:
    """Waits until the agent has no worker at all; then pools start some again when they are asked."""
    for pool in most:
        fleet.admin.drain(pool)
    eventually(lambda: not fleet.all_pids(), "no worker is left")


def open_again(fleet: Fleet, most: dict[str, int]) -> None:
    """The pools take requests again."""
    for pool, workers in most.items():
        fleet.admin.scale(pool, 0, workers)


@pytest.mark.timeout(120 + 2 * SECONDS)
def test_every_request_ends_as_it_must_while_workers_are_killed(start: Start, folder: Folder) -> None:
    place: dict[str, Any] = {"resources": {"places": 1}, "min_residence": "100ms"}
    pools = {
        "plain": functions("plain", max=2, **place),
        "unary": instances("unary", "unary", max=2, args={"concurrency": 3}, **place),
        "again": instances("again", "again", **place),
        "streamed": instances("streamed", "streamed", **place),
        "sleeper": instances("sleeper", "sleeper", asleep={"places": 0}, **place),
    }
    fleet = start(pools, budget={"places": PLACES})
    agent = psutil.Process(fleet.process.pid)
    with Load(fleet.address, CAPABILITIES, callers=2, seconds=0.02) as warm:
        warm.wait_answered(300)
    assert warm.failures == {}
    most = {name: pool.get("max", 1) for name, pool in pools.items()}
    without_workers(fleet, most)
    files, threads, memory = agent.num_fds(), agent.num_threads(), agent.memory_info().rss
    open_again(fleet, most)
    killer = Killer(fleet)
    load = Load(fleet.address, CAPABILITIES, callers=3, seconds=0.02)
    # The numbers of the first ones are taken.
    load.skip(len(warm.sent))
    with load:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            killer.kill_one()
            time.sleep(PERIOD)
    assert len(killer.killed) > SECONDS / PERIOD / 2
    load.sent.update(warm.sent)
    check(load, folder, killer.killed)
    assert load.answered > 10 * SECONDS
    with Client(fleet.address) as client:
        for capability in CAPABILITIES:
            if not capability.endswith("streamed"):
                pid_of(client.infer(capability, timeout=60))
            else:
                assert len(list(client.stream(capability, timeout=60))) == 3
    status = fleet.admin.status()
    assert status["resources"]["places"]["used"] <= PLACES
    assert sum(pool["waiting"] + pool["running"] for pool in status["pools"]) == 0
    assert len([child for child in agent.children() if child.status() == psutil.STATUS_ZOMBIE]) == 0
    without_workers(fleet, most)
    eventually(lambda: agent.num_fds() <= files + 5, "no file is left open")
    eventually(lambda: agent.num_threads() <= threads + 4, "no thread is left")
    assert agent.memory_info().rss <= memory + MOST_GROWTH
    assert fleet.stop() == 0
    assert "still running" not in fleet.stderr.text
