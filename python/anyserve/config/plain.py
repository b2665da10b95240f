"""Kinds of plain scalars: texts, words, booleans and numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from .kinds import ScalarKind
from .place import RefusedError, shown
from .scalars import Form, Scalar

__all__ = ["Choice", "Flag", "Number", "Text", "Whole"]


@dataclass(frozen=True)
class Text(ScalarKind):
    """A text; one that a version of YAML takes for something else must be quoted."""

    wanted: str = "a text"
    pattern: str = ""
    """A regular expression for all of it, in the syntax that Python and JavaScript share; empty for any text."""

    def convert(self, scalar: Scalar) -> str:
        text = scalar.text
        if scalar.form is not Form.TEXT:
            raise RefusedError(
                f"YAML reads {scalar.plain} as {scalar.meaning}, but {self.wanted} belongs here; quote it: '{text}'"
            )
        if "\0" in text:
            raise RefusedError(f"{shown(text)} has a NUL in it, which no process can be given")
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise RefusedError(f"{shown(text)} is not {self.wanted}")
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string"} | ({"pattern": f"^{self.pattern}$"} if self.pattern else {})


@dataclass(frozen=True)
class Choice(ScalarKind):
    """One of several words."""

    words: tuple[str, ...]

    @property
    def wanted(self) -> str:
        return f"one of {', '.join(self.words)}"

    def convert(self, scalar: Scalar) -> str:
        if scalar.form is Form.TEXT and scalar.text in self.words:
            return scalar.text
        if scalar.form is not Form.TEXT:
            raise self.refused(scalar)
        close = get_close_matches(scalar.text[:40], self.words, 1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise RefusedError(f"{shown(scalar.text)} is not {self.wanted}{hint}")

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class Flag(ScalarKind):
    """A boolean."""

    wanted: str = "true or false"

    def convert(self, scalar: Scalar) -> bool:
        if scalar.form is not Form.BOOLEAN:
            raise self.refused(scalar)
        return bool(scalar.value)

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Whole(ScalarKind):
    """A whole number."""

    lowest: int
    highest: int

    @property
    def wanted(self) -> str:
        return f"a whole number from {self.lowest} to {self.highest}"

    def convert(self, scalar: Scalar) -> int:
        if scalar.form is not Form.WHOLE or not self.lowest <= int(scalar.text) <= self.highest:
            raise self.refused(scalar)
        return int(scalar.text)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.lowest, "maximum": self.highest}


@dataclass(frozen=True)
class Number(ScalarKind):
    """A number above zero."""

    highest: float

    @property
    def wanted(self) -> str:
        return f"a number above 0, at most {self.highest:g}"

    def convert(self, scalar: Scalar) -> float:
        if scalar.form not in (Form.WHOLE, Form.NUMBER) or not 0 < float(scalar.text) <= self.highest:
            raise self.refused(scalar)
        return float(scalar.text)

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "exclusiveMinimum": 0, "maximum": self.highest}
