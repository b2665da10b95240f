"""Amounts with a unit, as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from anyserve.units import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("1.5", 1.5),
        (0.25, 0.25),
        ("500ms", 0.5),
        ("250us", 0.00025),
        ("5m", 300),
        ("1 h 30 m", 5400),
        ("1h30m", 5400),
        ("1d", 86400),
        (" 2S ", 2),
        ("1m500ms", 60.5),
        ("0.5h", 1800),
    ],
)
def test_durations(text: float | str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "s", "m5", "5 parsecs", "-1s", "1.s", ".5s", "1..5", "1h30", "0", "0s", "5mm", "1e3", "inf", "nan", "٣s"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (7, 7),
        ("1048576", 1 << 20),
        ("64MiB", 64 << 20),
        ("64 mb", 64 << 20),
        ("1g", 1 << 30),
        ("1.5GiB", 3 << 29),
        ("2t", 2 << 40),
        ("10b", 10),
        ("0", 0),
    ],
)
def test_sizes(text: int | str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "g", "-1g", "1 gig", "1x", "1.g", "1e3", "inf", "1kk", "4 GiB GiB", "1i", "1ki"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize("value", [None, True, [1], b"1s"])
def test_what_is_neither_a_number_nor_a_text_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="is not a duration"):
        parse_duration(value)
    with pytest.raises(TypeError, match="is not a size"):
        parse_size(value)
