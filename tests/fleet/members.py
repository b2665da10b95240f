"""Replicas that all serve the same, under load through a gateway, with a journal of what they have begun."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.faults.apps.pools import FOLDER, POOL
from tests.faults.load import Load

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fleet.process import Fleet, Gateway
    from tests.server import Server

NAME = "member"
AGAIN = f"{NAME}-again"
"""It is idempotent."""
STREAMED = f"{NAME}-streamed"
EVERY = [NAME, AGAIN, STREAMED]


class Members:
    """The replicas, and what their handlers noted in a folder."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self._fleet = fleet
        self._folder = folder

    def start(self, name: str, *options: str) -> Server:
        """One more replica."""
        environment = {FOLDER: str(self._folder), POOL: NAME}
        return self._fleet.replica(
            "tests.faults.apps.pools:app", name, "--workers", "4", *options, environment=environment
        )

    def numbers(self, what: str, server: Server) -> set[int]:
        """The requests that this replica's workers noted so: begin or end."""
        pids = {worker.pid for worker in server.workers()}
        return self.numbers_of(what, pids)

    def numbers_of(self, what: str, pids: set[int]) -> set[int]:
        """The same of these processes."""
        lines = (self._folder / "journal").read_text().splitlines()
        noted = [line.split() for line in lines if line.endswith(tuple(f" {pid}" for pid in pids))]
        return {int(number) for word, number, _ in noted if word == what}


def load(gateway: Gateway, *capabilities: str, callers: int = 4) -> Load:
    """Requests for these, for as long as the block."""
    return Load(gateway.address, list(capabilities or EVERY), callers=callers)


def pids(server: Server) -> set[int]:
    """Its workers' processes."""
    return {worker.pid for worker in server.workers()}


def go_on(load: Load, seconds: float) -> None:
    """Has the load go on for so long, and answers come after that."""
    time.sleep(seconds)
    load.wait_answered()


def none_failed(load: Load) -> None:
    """Every request was answered."""
    assert not load.failures, {number: str(error) for number, (_, error) in load.failures.items()}
