"""The table of the object system: in each line other peers, so that each cell says whose figure it has."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benches import report
from benches.report import Target

__all__ = ["Line", "Side", "gigabytes", "hundredths", "microseconds", "milliseconds", "table"]


@dataclass(frozen=True)
class Side:
    """One of those that ours is compared with: its values, one for each round."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class Line:
    """One figure."""

    name: str
    show: Callable[[float], str]
    ours: Sequence[float]
    peer: Side | None = None
    floor: Side | None = None
    target: Target | None = None
    less_is_better: bool = False
    """The values are times and not rates."""
    against_floor: bool = False
    """Ours is compared with the floor where it would be with the peer."""

    def cells(self) -> list[str]:
        """The columns."""
        other = self.floor if self.against_floor else self.peer
        speed = self._speed(other.values if other else ())
        return [
            self.name,
            report.cell(self.ours, self.show) if self.ours else "not measured",
            self._named(self.peer),
            self._named(self.floor),
            report.NOTHING if speed is None or other is None else f"{speed:.2f} x {other.name}",
            self._verdict(speed),
        ]

    def _speed(self, others: Sequence[float]) -> float | None:
        """Times the speed of the others, whether the values are rates or times."""
        if not self.ours or not others:
            return None
        ratio = statistics.median(self.ours) / statistics.median(others)
        return 1 / ratio if self.less_is_better else ratio

    def _named(self, side: Side | None) -> str:
        if side is None:
            return report.NOTHING
        return f"{side.name} {report.cell(side.values, self.show) if side.values else 'not measured'}"

    def _verdict(self, speed: float | None) -> str:
        if self.target is None:
            return "reported"
        if not self.ours:
            return self.target.text
        return self.target.verdict(statistics.median(self.ours), speed)


def gigabytes(value: float) -> str:
    """So many bytes a second, in GB/s."""
    return f"{value / 1e9:.2f}"


def microseconds(value: float) -> str:
    """A time that is given in seconds."""
    return f"{value * 1e6:,.1f}"


def milliseconds(value: float) -> str:
    """A time that is given in seconds."""
    return f"{value * 1e3:.2f}"


def hundredths(value: float) -> str:
    """A number with two decimals."""
    return f"{value:.2f}"


def table(lines: Sequence[Line]) -> str:
    """All of it, in markdown."""
    heads = ["case", "ours", "peer", "floor", "speed of ours", "target"]
    return report.table(heads, [line.cells() for line in lines])
