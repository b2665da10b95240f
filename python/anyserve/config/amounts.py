"""Kinds of amounts with a unit, in the syntax of :mod:`anyserve.units`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..units import LONGEST_SECONDS, parse_duration, parse_size
from .kinds import ScalarKind
from .place import RefusedError, shown
from .scalars import Form, Scalar

__all__ = ["Duration", "Size", "size_text"]

_AMOUNT = r"[0-9]+(\.[0-9]+)?"
_TIME_UNIT = r"([uUmM]?[sS]|[mMhHdD])"
# What a pattern cannot tell, that an amount is out of bounds, is left to the reader.
_DURATION = rf"^(?=.*[1-9])\s*({_AMOUNT}|({_AMOUNT}\s*{_TIME_UNIT}\s*)+)\s*$"
_ZERO_DURATION = rf"0{_TIME_UNIT}?"
_SIZE = rf"^\s*{_AMOUNT}\s*[kKmMgGtT]?([iI]?[bB])?\s*$"


@dataclass(frozen=True)
class Duration(ScalarKind):
    """A duration, in seconds; not 0 unless that is said to mean something."""

    zero: bool = False
    wanted: str = "a duration such as 30, 500ms, 30s, 5m or 1h"

    def convert(self, scalar: Scalar) -> float:
        text = _unit_text(self, scalar)
        if self.zero and re.fullmatch(_ZERO_DURATION, text):
            return 0.0
        try:
            return parse_duration(text)
        except ValueError as error:
            raise RefusedError(str(error).replace(repr(text), shown(text))) from None

    def schema(self) -> dict[str, Any]:
        zero = [{"const": 0}, {"type": "string", "pattern": f"^{_ZERO_DURATION}$"}] if self.zero else []
        return {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_SECONDS},
                {"type": "string", "pattern": _DURATION},
                *zero,
            ]
        }


@dataclass(frozen=True)
class Size(ScalarKind):
    """A number of bytes; 0 is what it says, or no limit."""

    lowest: int
    highest: int
    zero: bool = False
    wanted: str = "a size such as 1048576, 64MiB or 1.5GiB"

    def convert(self, scalar: Scalar) -> int:
        text = _unit_text(self, scalar)
        try:
            size = parse_size(text)
        except ValueError as error:
            raise RefusedError(str(error).replace(repr(text), shown(text))) from None
        except OverflowError:
            size = self.highest + 1
        if not (self.lowest <= size <= self.highest or (self.zero and size == 0)):
            bounds = f"from {size_text(self.lowest)} to {size_text(self.highest)}"
            hint = "; without a unit it is in bytes" if text.isdigit() else ""
            raise RefusedError(f"{shown(text)} is not {'0 or ' if self.zero else ''}a size {bounds}{hint}")
        return size

    def schema(self) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "integer", "minimum": self.lowest, "maximum": self.highest},
                {"type": "string", "pattern": _SIZE},
                *([{"const": 0}] if self.zero else []),
            ]
        }


def _unit_text(kind: ScalarKind, scalar: Scalar) -> str:
    """The text of what may have a unit. Digits of other alphabets count as such for Python, but not here."""
    if scalar.form not in (Form.TEXT, Form.WHOLE, Form.NUMBER):
        raise kind.refused(scalar)
    if not scalar.text.isascii():
        raise RefusedError(f"{shown(scalar.text)} is not {kind.wanted}")
    return scalar.text


def size_text(size: int) -> str:
    """A size as people write it, exactly."""
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size * 100 % unit == 0:
            return f"{size / unit:.2f}".rstrip("0").rstrip(".") + name
    return f"{size} bytes"
