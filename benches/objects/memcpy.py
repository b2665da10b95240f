"""Copying from one numpy array to another, both of them warm: the floor, timed here or in a worker."""

from __future__ import annotations

import time
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bytes", "filled", "nanoseconds"]

Bytes: TypeAlias = NDArray[np.uint8]


def filled(size: int) -> Bytes:
    """An array of which every page is there, with contents that are not the same everywhere."""
    return np.resize(np.random.default_rng(0).integers(0, 256, 65521, dtype=np.uint8), size)


def nanoseconds(source: Bytes, times: int) -> list[int]:
    """How long each of so many copies of the whole array took."""
    target = source.copy()
    taken = []
    for _ in range(times):
        started = time.perf_counter_ns()
        np.copyto(target, source)
        taken.append(time.perf_counter_ns() - started)
    return taken
