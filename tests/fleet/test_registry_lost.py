"""The registry stops, hangs, is killed and comes back while requests go through a gateway: none of them fails."""

from __future__ import annotations

import signal
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tests.api_server.conftest import start_api
from tests.fleet.members import EVERY, Members, go_on, load, none_failed
from tests.fleet.process import LEASE, Fleet
from tests.metrics import Metrics
from tests.replicas.conftest import etcd
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.api_server.conftest import StartApiServer
    from tests.fleet.process import Gateway
    from tests.replicas.etcd import Etcd
    from tests.server import Server

__all__ = ["etcd", "start_api"]


OUTAGE = 2.0 * LEASE
"""Seconds: longer than a lease lasts."""

SETTLING = ("--settle-time", "10")
"""How long an API server waits for those that it does not know yet; by itself it is longer."""


def is_in_touch(metrics: Metrics) -> bool:
    """Whether an agent follows the registry and is registered."""
    return all(metrics.value(f"registry_{what}") == 1 for what in ("connected", "registered"))


class Parts(NamedTuple):
    """Two replicas that serve the same, and a gateway."""

    replicas: list[Server]
    gateway: Gateway

    def healed(self) -> None:
        """Waits until all are in touch with the registry again, and know each other."""
        for server in (self.gateway, *self.replicas):
            eventually(partial(is_in_touch, Metrics(server)), "the registry is followed, and has it")
        self.gateway.wait_replicas(1 + len(self.replicas))

    def noticed(self) -> None:
        """Waits until the gateway knows that the registry is gone."""
        metrics = Metrics(self.gateway)
        eventually(lambda: metrics.value("registry_connected") == 0, "the gateway has noticed")


@contextmanager
def parts(folder: Path, *registry: str) -> Iterator[Parts]:
    """Starts them."""
    with ExitStack() as stack:
        fleet = Fleet(stack, *registry)
        members = Members(fleet, folder)
        replicas = [members.start(name) for name in "ab"]
        yield Parts(replicas, fleet.gateway().wait_replicas(3).wait_knows(*EVERY))


def test_an_api_server_is_killed_and_comes_back(start_api: StartApiServer, tmp_path: Path) -> None:
    first = start_api(*SETTLING)
    with parts(tmp_path, "--api-server", first.url) as fleet:
        with load(fleet.gateway) as running:
            running.wait_answered()
            first.kill()
            fleet.noticed()
            go_on(running, OUTAGE)
            second = start_api(*SETTLING, port=first.port)
            fleet.healed()
            second.wait_ids("a", "b", type="member")
            running.wait_answered()
        none_failed(running)


def test_an_api_server_hangs(start_api: StartApiServer, tmp_path: Path) -> None:
    api = start_api(*SETTLING)
    with parts(tmp_path, "--api-server", api.url) as fleet:
        with load(fleet.gateway) as running:
            running.wait_answered()
            api.process.send_signal(signal.SIGSTOP)
            go_on(running, OUTAGE)
            api.process.send_signal(signal.SIGCONT)
            fleet.healed()
            running.wait_answered()
        none_failed(running)


def test_an_etcd_is_killed_and_comes_back(etcd: Etcd, tmp_path: Path) -> None:
    with parts(tmp_path, "--registry", etcd.url) as fleet:
        with load(fleet.gateway) as running:
            running.wait_answered()
            etcd.kill()
            fleet.noticed()
            go_on(running, OUTAGE)
            etcd.restart()
            fleet.healed()
            running.wait_answered()
        none_failed(running)


def test_an_etcd_hangs(etcd: Etcd, tmp_path: Path) -> None:
    with parts(tmp_path, "--registry", etcd.url) as fleet:
        with load(fleet.gateway) as running:
            running.wait_answered()
            etcd.process.send_signal(signal.SIGSTOP)
            go_on(running, OUTAGE)
            etcd.process.send_signal(signal.SIGCONT)
            fleet.healed()
            running.wait_answered()
        none_failed(running)
