"""A view of an object: of the worker's own, and of another worker's."""

from __future__ import annotations

import contextlib

from benches.objects import agent
from benches.objects.agent import Agent
from benches.objects.setup import GIB, MIB, Setup
from benches.objects.sides import Measure, Sides
from benches.objects.table import Line, microseconds
from benches.report import Target

__all__ = ["measure"]

SIZES = (1, 16, 64)
"""In MiB."""
OBJECTS = 5
"""How many of another worker's are got for the first time in each round."""
KINDS = {
    "own": "created by the same worker",
    "other": "by another worker, got before",
    "first": "by another worker, for the first time",
}


def measure(setup: Setup) -> list[Line]:
    """Case b."""
    with contextlib.ExitStack() as stack:
        sides = Sides("get", setup)
        sides.add("ours", lambda: _prepare(setup, stack))
        runs = sides.measure()
    target = Target("<= 30 µs", 30e-6, as_ratio=False)
    return [
        Line(
            f"b) get a view of {size} MiB, {what}, µs",
            microseconds,
            runs.of("ours", f"{kind} {size}"),
            target=target,
        )
        for kind, what in KINDS.items()
        for size in SIZES
    ]


def _prepare(setup: Setup, stack: contextlib.ExitStack) -> Measure:
    ours = stack.enter_context(agent.serving(setup.folder, "store_app", ["--object-store-size", str(GIB)]))
    _round(ours, 3)
    return lambda: _round(ours, setup.times(500))


def _round(ours: Agent, times: int) -> dict[str, float]:
    figures = {}
    for size in SIZES:
        own = ours.ask("get-own", size=size * MIB, times=times)
        refs = ours.ask("make", size=size * MIB, count=OBJECTS)["refs"]
        other = ours.ask("get-other", {"refs": refs}, size=size * MIB, times=times)
        figures[f"own {size}"] = agent.seconds(own, "again")
        figures[f"first {size}"] = agent.seconds(other, "first")
        figures[f"other {size}"] = agent.seconds(other, "again")
    return figures
