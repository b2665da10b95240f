"""Where in the file the reader is, and where it tells what is wrong there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from yaml.error import Mark

from .errors import Problem

__all__ = ["At", "Position", "Problems", "RefusedError", "shown"]

_LONGEST_SHOWN = 60


class RefusedError(Exception):
    """A value that is not what belongs there; the text says what would be right. The reader makes it a problem."""


class Position(NamedTuple):
    """A line and a column, both from 1 on."""

    line: int
    column: int

    @classmethod
    def of(cls, mark: Mark) -> Position:
        """That of a mark, which counts from 0 on."""
        return cls(mark.line + 1, mark.column + 1)


START = Position(1, 1)


class Problems:
    """What was found so far.

    A value that aliases or merges bring to several places is read at each, and its problem is told once: at the
    place where it is written, for the first path that leads to it.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[Position, str], Problem] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, position: Position, path: str, text: str) -> None:
        """Adds what is wrong at the position with what the path names."""
        message = f"{path}: {text}" if path else text
        self._found.setdefault((position, text), Problem(*position, message))

    def all(self) -> list[Problem]:
        """All of them, as they were found."""
        return list(self._found.values())


@dataclass(frozen=True)
class At:
    """A value's place."""

    problems: Problems
    path: str = ""
    """The keys that lead to it, such as ``pools.chat.idle_timeout``."""
    key: Position = START
    """Where its name is."""
    value: Position = START
    """Where itself is."""

    def child(self, name: str, key: Mark, value: Mark) -> At:
        """The place of what the mapping here has under a name."""
        step = name if re.fullmatch(r"[\w.-]{1,64}", name) else shown(name)
        path = f"{self.path}.{step}" if self.path else step
        return At(self.problems, path, Position.of(key), Position.of(value))

    def item(self, index: int, value: Mark) -> At:
        """The place of an item of the list here."""
        position = Position.of(value)
        return At(self.problems, f"{self.path}[{index}]", position, position)

    def refuse(self, text: str, position: Position | None = None) -> None:
        """Tells what is wrong with the value, or with something in it that is at a position of its own."""
        self.problems.add(position or self.value, self.path, text)


def shown(text: str) -> str:
    """A text from the file as messages show it: quoted, escaped, and not too long."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "...")
