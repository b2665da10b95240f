"""The floor of a case: the time of a copy of the same size in the process that measures."""

from __future__ import annotations

import statistics

from benches.objects import memcpy
from benches.objects.sides import Measure

__all__ = ["NAME", "prepare"]

NAME = "memcpy"


def prepare(size: int, times: int) -> Measure:
    """Measures ``seconds``. The memory is taken only meanwhile: the sides that are in turn with it need theirs."""
    return lambda: {"seconds": statistics.median(memcpy.nanoseconds(memcpy.filled(size), times)) / 1e9}
