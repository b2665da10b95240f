"""What is said below the table: what was measured with, and what was not measured and why."""

from __future__ import annotations

from benches.processes import BenchError
from benches.rounds import say

__all__ = ["AbsentError", "Notes"]


class AbsentError(BenchError):
    """Something is not there to be measured. That is to be told, but nothing has gone wrong."""


class Notes:
    """The lines, and whether something has gone wrong."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.failed = False

    def add(self, line: str) -> None:
        """Tells it at once too."""
        say(line)
        self.lines.append(line)

    def not_measured(self, case: str, side: str, error: BenchError) -> None:
        """One side of a case has no figures."""
        say(f"case {case}: {side} was not measured: {error}")
        lines = str(error).splitlines()
        # What lies between is the end of a log.
        reason = " ".join(lines[:1] + lines[1:][-1:])
        self.failed = self.failed or not isinstance(error, AbsentError)
        line = f"Case {case}: {side} was not measured: {reason}"
        self.lines.append(line if isinstance(error, AbsentError) else f"**{line}**")
