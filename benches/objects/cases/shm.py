"""An echo of 16 MiB by tritonclient through system shared memory."""

from __future__ import annotations

import contextlib

from benches import servers
from benches.objects import agent, floor, shm_echo
from benches.objects.setup import MIB, Setup
from benches.objects.sides import Measure, Sides
from benches.objects.table import Line, Side, milliseconds
from benches.report import Target

__all__ = ["measure"]

SIZE = 16 * MIB


def measure(setup: Setup) -> list[Line]:
    """Case e."""
    times = setup.times(50)
    with contextlib.ExitStack() as stack:
        sides = Sides("shm", setup)
        sides.add("ours", lambda: _prepare(setup, times, stack))
        if triton := setup.triton:
            sides.add("Triton", lambda: shm_echo.prepare(triton, SIZE, times, stack))
        sides.add(floor.NAME, lambda: floor.prepare(SIZE, times))
        runs = sides.measure()
    ours, triton_values, copies = (runs.of(side, "seconds") for side in ("ours", "Triton", floor.NAME))
    return [
        Line(
            "e) 16 MiB echo by tritonclient through system shared memory, ms",
            milliseconds,
            ours,
            Side("Triton", triton_values),
            Side(floor.NAME, copies),
            Target(">= 4 x as fast as Triton", 4, at_least=True),
            less_is_better=True,
        )
    ]


def _prepare(setup: Setup, times: int, stack: contextlib.ExitStack) -> Measure:
    agent.require()
    start = stack.enter_context(servers.anyserve(setup.folder, options=["--allow-client-shm"]))
    return shm_echo.prepare(start.server, SIZE, times, stack)
