"""16 MiB from one worker to another and back by reference, beside Triton's echo through system shared memory."""

from __future__ import annotations

import contextlib

from benches.objects import agent, floor, shm_echo
from benches.objects.setup import MIB, Setup
from benches.objects.sides import Measure, Sides
from benches.objects.table import Line, Side, milliseconds
from benches.report import Target

__all__ = ["measure"]

SIZE = 16 * MIB


def measure(setup: Setup) -> list[Line]:
    """Case d."""
    times = setup.times(200)
    with contextlib.ExitStack() as stack:
        sides = Sides("relay", setup)
        sides.add("ours", lambda: _prepare(setup, times, stack))
        if triton := setup.triton:
            sides.add("Triton", lambda: shm_echo.prepare(triton, SIZE, setup.times(50), stack))
        sides.add(floor.NAME, lambda: floor.prepare(SIZE, setup.times(50)))
        runs = sides.measure()
    return [
        Line(
            "d) 16 MiB to a worker of another pool and back by reference, call included, ms",
            milliseconds,
            runs.of("ours", "seconds"),
            Side("Triton", runs.of("Triton", "seconds")),
            Side(floor.NAME, runs.of(floor.NAME, "seconds")),
            Target(">= 5 x as fast as Triton", 5, at_least=True),
            less_is_better=True,
        )
    ]


def _prepare(setup: Setup, times: int, stack: contextlib.ExitStack) -> Measure:
    ours = stack.enter_context(agent.serving(setup.folder, "store_app"))

    def once(times: int) -> dict[str, float]:
        return {"seconds": agent.seconds(ours.ask("relay", size=SIZE, times=times), "relay")}

    once(3)
    return lambda: once(times)
