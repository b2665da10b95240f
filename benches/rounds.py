"""Rounds of measurements in which the servers take turns, and how they become rows of the results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benches import h2load
from benches.h2load import Case, Figures
from benches.report import Row, Target
from benches.servers import Server

__all__ = ["SERVERS", "Setup", "Turn", "load", "row", "say", "take_turns"]

T = TypeVar("T")
Turn = tuple[str, str]
"""A case and the server that it is measured with, by name."""
SERVERS = ("ours", "Triton", "floor")


@dataclass(frozen=True)
class Setup:
    """What all cases share. Our own servers are started by the cases, each app in an agent of its own."""

    folder: Path
    rounds: int
    quick: bool
    triton: Server | None
    floor: Server | None

    @property
    def seconds(self) -> float:
        """How long a server is loaded in each round."""
        return 0.5 if self.quick else 4.0

    def beside(self, ours: Server, *, floor: bool = False) -> list[Server]:
        """Ours and those that are measured in turn with it."""
        others = [self.triton, self.floor if floor else None]
        return [ours, *(server for server in others if server)]


def take_turns(turns: Mapping[Turn, Callable[[], T]], rounds: int) -> dict[Turn, list[T]]:
    """Every measurement once in each round, one after the other, so that all see the same machine."""
    figures: dict[Turn, list[T]] = {turn: [] for turn in turns}
    for number in range(1, rounds + 1):
        for turn, measure in turns.items():
            say(f"round {number} of {rounds}: {': '.join(turn)}")
            figures[turn].append(measure())
    return figures


def load(setup: Setup, cases: Sequence[Case], started: Sequence[Server]) -> dict[Turn, list[Figures]]:
    """Every case against every server with h2load."""
    turns = {
        (case.name, server.name): h2load.prepare(case, server.name, server.port, setup.seconds, setup.folder)
        for case in cases
        for server in started
    }
    return take_turns(turns, setup.rounds)


def row(
    runs: Mapping[Turn, Sequence[T]],
    case: str,
    what: str,
    show: Callable[[float], str],
    pick: Callable[[T], float],
    target: Target | None = None,
) -> Row:
    """One figure of a case, with a column for each server."""
    ours, triton, floor = ([pick(figures) for figures in runs.get((case, name), [])] for name in SERVERS)
    return Row(f"{case}: {what}", show, ours, triton, floor, target)


def say(line: str) -> None:
    """Tells whoever waits how far it is."""
    print(line, file=sys.stderr)
