"""Creating an object from an array, in a worker."""

from __future__ import annotations

import contextlib

from benches.objects import agent, floor
from benches.objects.setup import MIB, Setup
from benches.objects.sides import Measure, Sides
from benches.objects.table import Line, Side, gigabytes
from benches.report import Target

__all__ = ["measure"]

SIZE = 16 * MIB


def measure(setup: Setup) -> list[Line]:
    """Case a. Both figures are of the same request: so the copies are in the same process, and just before."""
    with contextlib.ExitStack() as stack:
        sides = Sides("create", setup)
        sides.add("ours", lambda: _prepare(setup, stack))
        runs = sides.measure()
    return [
        Line(
            "a) create 16 MiB from numpy in a worker, GB/s",
            gigabytes,
            runs.of("ours", "create"),
            floor=Side(floor.NAME, runs.of("ours", "memcpy")),
            target=Target(">= 0.85 x memcpy", 0.85, at_least=True),
            against_floor=True,
        )
    ]


def _prepare(setup: Setup, stack: contextlib.ExitStack) -> Measure:
    ours = stack.enter_context(agent.serving(setup.folder, "store_app"))
    ours.ask("create", size=SIZE, times=3)

    def once() -> dict[str, float]:
        result = ours.ask("create", size=SIZE, times=setup.times(50))
        return {name: SIZE / agent.seconds(result, name) for name in ("create", "memcpy")}

    return once
