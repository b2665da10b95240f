"""An echo of 16 MiB through shared memory: by tritonclient, and by our own client."""

from __future__ import annotations

import contextlib

from benches import servers
from benches.objects import agent, floor, local_echo, shm_echo
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
        sides.add("our client", lambda: _prepare_client(setup, times, stack))
        if triton := setup.triton:
            sides.add("Triton", lambda: shm_echo.prepare(triton, SIZE, times, stack))
        sides.add(floor.NAME, lambda: floor.prepare(SIZE, times))
        runs = sides.measure()
    names = ("ours", "our client", "Triton", floor.NAME)
    ours, own, triton_values, copies = (runs.of(side, "seconds") for side in names)
    return [
        Line(
            "e) 16 MiB echo by tritonclient through system shared memory, ms",
            milliseconds,
            ours,
            Side("Triton", triton_values),
            Side(floor.NAME, copies),
            Target(">= 4 x as fast as Triton", 4, at_least=True),
            less_is_better=True,
        ),
        Line(
            "e) 16 MiB echo by Client(shared_memory=True), the copy of the input included, ms",
            milliseconds,
            own,
            Side("Triton", triton_values),
            Side(floor.NAME, copies),
            Target(">= 4 x as fast as Triton", 4, at_least=True),
            less_is_better=True,
        ),
    ]


def _prepare(setup: Setup, times: int, stack: contextlib.ExitStack) -> Measure:
    agent.require()
    start = stack.enter_context(servers.anyserve(setup.folder, options=["--allow-client-shm"]))
    return shm_echo.prepare(start.server, SIZE, times, stack)


def _prepare_client(setup: Setup, times: int, stack: contextlib.ExitStack) -> Measure:
    agent.require()
    folder = setup.folder / "local"
    folder.mkdir(exist_ok=True)
    start = stack.enter_context(servers.anyserve(folder))
    return local_echo.prepare(start.server, SIZE, times, stack)
