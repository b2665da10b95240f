"""Replicas die, hang, are cut off or leave while requests go through a gateway."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from anyserve.errors import UnavailableError

from tests.fleet.members import AGAIN, EVERY, NAME, Members, load, none_failed, pids
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.api_server.process import ApiServer
    from tests.faults.load import Load
    from tests.fleet.process import Fleet, Gateway
    from tests.server import Server


@pytest.fixture
def two(fleet: Fleet, members: Members) -> tuple[Server, Server, Gateway]:
    """Two replicas and a gateway that knows them."""
    a, b = members.start("a"), members.start("b")
    return a, b, fleet.gateway().wait_replicas(3).wait_knows(*EVERY)


def check_failures(running: Load) -> None:
    """Nothing idempotent failed, and of the rest only what was under way to the lost replica, with UNAVAILABLE."""
    for capability, error in running.failures.values():
        assert capability != AGAIN, error
        assert isinstance(error, UnavailableError), error
        assert "'a'" in str(error)
    # A caller has one request under way.
    assert len(running.failures) <= running.callers, running.failures


def test_a_replica_is_killed(api: ApiServer, two: tuple[Server, Server, Gateway]) -> None:
    a, _, gateway = two
    with load(gateway, NAME, AGAIN, callers=8) as running:
        running.wait_answered()
        a.process.kill()
        running.wait_answered()
        api.wait_ids("b", type=NAME)
        gateway.wait_replicas(2)
        failed = len(running.failures)
        running.wait_answered()
        # From there on nobody hears of it.
        assert len(running.failures) == failed
    check_failures(running)


def test_streams_of_a_replica_that_is_killed_end(two: tuple[Server, Server, Gateway]) -> None:
    a, _, gateway = two
    with load(gateway, "member-streamed", callers=8) as running:
        running.wait_answered()
        a.process.kill()
        running.wait_answered(200)
    check_failures(running)


def test_a_replica_that_hangs_is_left_and_comes_back(
    api: ApiServer, members: Members, two: tuple[Server, Server, Gateway]
) -> None:
    a, _, gateway = two
    processes = [process.pid for process in a.processes()]
    lost = pids(a)
    with load(gateway, NAME, AGAIN, callers=8) as running:
        running.wait_answered()
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            api.wait_ids("b", type=NAME)
            gateway.wait_replicas(2)
            # Those that it has are given up, and whoever waits for them goes on.
            running.wait_answered(200)
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)
        api.wait_ids("a", "b", type=NAME)
        gateway.wait_replicas(3)
        before = len(members.numbers_of("begin", lost))
        eventually(lambda: len(members.numbers_of("begin", lost)) > before, "it has requests again")
    check_failures(running)


def test_a_replica_that_stops_costs_no_request(members: Members, two: tuple[Server, Server, Gateway]) -> None:
    a, b, gateway = two
    with load(gateway) as running:
        running.wait_answered()
        assert a.stop(signal.SIGTERM) == 0
        running.wait_answered()
        members.start("a")
        gateway.wait_replicas(3)
        running.wait_answered()
        assert b.stop(signal.SIGTERM) == 0
        running.wait_answered()
    none_failed(running)
