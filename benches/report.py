"""The tables, in markdown."""

from __future__ import annotations

import os
import platform
import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "NOTHING",
    "Row",
    "Target",
    "cell",
    "command",
    "machine",
    "mebibytes",
    "milliseconds",
    "results",
    "steps",
    "table",
    "tenths",
    "whole",
]

NOTHING = "-"


@dataclass(frozen=True)
class Target:
    """What our median should reach: so many times the median of what it is compared with, or an amount."""

    text: str
    limit: float
    at_least: bool = False
    as_ratio: bool = True

    def verdict(self, ours: float, ratio: float | None) -> str:
        """The target, and whether it is met."""
        value = ratio if self.as_ratio else ours
        if value is None:
            return self.text
        met = value >= self.limit if self.at_least else value <= self.limit
        return f"{self.text}: {'met' if met else '**missed**'}"


@dataclass(frozen=True)
class Row:
    """One figure: its values for each server, one for each round."""

    name: str
    show: Callable[[float], str]
    ours: Sequence[float]
    triton: Sequence[float] = ()
    floor: Sequence[float] = ()
    target: Target | None = None
    beside: Sequence[float] = ()
    """What ours are compared with where it is not Triton."""

    def cells(self) -> list[str]:
        """The columns of the results table."""
        median = statistics.median(self.ours)
        others = self.beside or self.triton
        ratio = median / statistics.median(others) if others else None
        return [
            self.name,
            *(cell(values, self.show) for values in (self.ours, self.triton, self.floor)),
            NOTHING if ratio is None else f"{ratio:.2f}",
            self.target.verdict(median, ratio) if self.target else "reported",
        ]


def cell(values: Sequence[float], show: Callable[[float], str]) -> str:
    """The median, and the range if there is one."""
    if not values:
        return NOTHING
    median = show(statistics.median(values))
    return median if len(values) == 1 else f"{median} ({show(min(values))}..{show(max(values))})"


def whole(value: float) -> str:
    """A number without decimals: requests a second, microseconds."""
    return f"{value:,.0f}"


def tenths(value: float) -> str:
    """A number with one decimal."""
    return f"{value:.1f}"


def milliseconds(value: float) -> str:
    """A time that is given in seconds."""
    return f"{value * 1e3:.1f}"


def mebibytes(value: float) -> str:
    """An amount of memory that is given in bytes."""
    return f"{value / (1 << 20):.1f}"


def results(rows: Sequence[Row]) -> str:
    """The table of ours against the peers."""
    heads = ["case", "ours", "Triton", "floor (bare tonic)", "ours / Triton", "target"]
    return table(heads, [row.cells() for row in rows])


def steps(times: dict[str, list[float]]) -> str:
    """The table of where the time until ready goes."""
    values = [
        [step, milliseconds(statistics.median(t)), f"{milliseconds(min(t))}..{milliseconds(max(t))}"]
        for step, t in times.items()
    ]
    return table(["step", "median ms", "min..max ms"], values)


def table(heads: list[str], lines: list[list[str]]) -> str:
    """Lines of cells under their heads; the first column is text, the others are numbers."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, rule, *lines])


def machine() -> str:
    """The machine and how busy it was with other work."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f"{cores} cores of {_cpu_model()}, {memory:.1f} GiB memory, Linux {platform.release()}, "
        f"Python {platform.python_version()}; load average at the start {load}"
    )


def command() -> str:
    """What was typed."""
    return shlex.join(sys.orig_argv)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    # ARM's cpuinfo has no such line.
    return platform.machine()
