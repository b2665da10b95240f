"""The sides of a case: measured in turn within each round, and one that fails leaves the others alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benches import rounds
from benches.objects.setup import Setup
from benches.processes import BenchError

__all__ = ["Measure", "Runs", "Sides"]

Measure = Callable[[], Mapping[str, float]]
"""Measures once; the figures by name."""


class Runs:
    """What came of all rounds."""

    def __init__(self, figures: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
        self._figures = figures

    def of(self, side: str, figure: str) -> list[float]:
        """One figure of a side, a value for each round; none if the side was not measured."""
        return [figures[figure] for figures in self._figures.get(side, [])]


class Sides:
    """Those of one case."""

    def __init__(self, case: str, setup: Setup) -> None:
        self._case = case
        self._setup = setup
        self._turns: dict[rounds.Turn, Measure] = {}
        self._failed: set[str] = set()

    def add(self, side: str, prepare: Callable[[], Measure]) -> None:
        """Starts, checks and warms up a side, which ``measure`` then has measured in each round."""
        rounds.say(f"case {self._case}: {side}")
        try:
            self._turns[self._case, side] = self._guarded(side, prepare())
        except BenchError as error:
            self._fail(side, error)

    def measure(self) -> Runs:
        """All rounds."""
        figures = rounds.take_turns(self._turns, self._setup.rounds)
        return Runs({side: values for (_, side), values in figures.items() if side not in self._failed})

    def _guarded(self, side: str, measure: Measure) -> Measure:
        def attempt() -> Mapping[str, float]:
            if side in self._failed:
                return {}
            try:
                return measure()
            except BenchError as error:
                self._fail(side, error)
                return {}

        return attempt

    def _fail(self, side: str, error: BenchError) -> None:
        self._failed.add(side)
        self._setup.notes.not_measured(self._case, side, error)
