"""What is wrong with a configuration file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import AnyserveError

__all__ = ["ConfigError", "Problem"]

MOST_TOLD = 100
"""How many problems the text of an error has; a generated file may have thousands."""


class Problem(NamedTuple):
    """One thing that is wrong."""

    line: int
    """From 1 on; 0 is the file as a whole."""
    column: int
    """From 1 on, in characters; 0 is the file as a whole."""
    message: str
    """Which key it is about, what is wrong with it and what would be right."""


class ConfigError(AnyserveError):
    """A configuration file that cannot be used; its text has a line for each problem, in the order of the file."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = sorted(problems)
        lines = [f"{_place(path, problem)}: {problem.message}" for problem in self.problems[:MOST_TOLD]]
        if len(self.problems) > MOST_TOLD:
            lines.append(f"{path}: and {len(self.problems) - MOST_TOLD} more")
        super().__init__("\n".join(lines))


def _place(path: Path, problem: Problem) -> str:
    return f"{path}:{problem.line}:{problem.column}" if problem.line else str(path)
