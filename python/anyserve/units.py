"""Amounts with a unit, as people write them: ``5m``, ``500ms``, ``4GiB``."""

from __future__ import annotations

__all__ = ["LONGEST_SECONDS", "parse_duration", "parse_size"]

LONGEST_SECONDS = 1e9
"""The longest time that an option may give: 30 years."""

_DIGITS = "0123456789"
# Those that begin like another come first.
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_duration(value: float | str) -> float:
    """Seconds: of a number, or of a text such as ``1.5``, ``500ms``, ``30s``, ``5m``, ``1h`` or ``1h30m``.

    Raises:
        TypeError: It is neither a number nor a text.
        ValueError: It is no duration, not above zero, or over 30 years.
    """
    seconds = _text_to_seconds(value) if isinstance(value, str) else value
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise TypeError(f"{value!r} is not a duration such as 30, 500ms, 30s, 5m or 1h")
    if not 0 < seconds <= LONGEST_SECONDS:
        raise ValueError(f"{value!r} is not a positive duration of at most {LONGEST_SECONDS:g} s")
    return float(seconds)


def parse_size(value: int | str) -> int:
    """Bytes: of a whole number, or of a text such as ``1048576``, ``64MiB``, ``1g`` or ``1.5GiB``.

    Units are powers of 1024.

    Raises:
        TypeError: It is neither a whole number nor a text.
        ValueError: It is no size, or negative.
    """
    if isinstance(value, str):
        number, unit = _number(value.strip().lower())
        unit = unit.strip()
        factor = _BYTES.get(unit[:-1].removesuffix("i") if unit.endswith("b") else unit)
        if number is None or factor is None:
            raise ValueError(f"{value!r} is not a size such as 1048576, 64MiB or 1.5GiB")
        return int(number * factor)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a size such as 1048576, 64MiB or 1.5GiB")
    if value < 0:
        raise ValueError(f"{value!r} is a negative size")
    return value


def _text_to_seconds(text: str) -> float:
    rest = "".join(text.lower().split())
    number, rest = _number(rest)
    if number is not None and not rest:
        return number
    seconds = 0.0
    while number is not None:
        unit = next((unit for unit in _SECONDS if rest.startswith(unit)), None)
        if unit is None:
            break
        seconds += number * _SECONDS[unit]
        rest = rest[len(unit) :]
        if not rest:
            return seconds
        number, rest = _number(rest)
    raise ValueError(f"{text!r} is not a duration such as 30, 500ms, 30s, 5m or 1h")


def _number(text: str) -> tuple[float | None, str]:
    """The number that a text begins with, and what follows; by hand, because a worker need not import `re` for it."""
    rest = text.lstrip(_DIGITS)
    if rest.startswith(".") and rest[1:2].isdigit():
        rest = rest[1:].lstrip(_DIGITS)
    digits = text[: len(text) - len(rest)]
    return (float(digits), rest) if digits[:1].isdigit() else (None, text)
