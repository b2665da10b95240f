"""Creating and getting a small object, beside Ray's put and get."""

from __future__ import annotations

import contextlib

from benches.objects import agent, ray_peer
from benches.objects.setup import KIB, Setup
from benches.objects.sides import Measure, Sides
from benches.objects.table import Line, Side, microseconds
from benches.report import Target

__all__ = ["measure"]

SIZE = KIB


def measure(setup: Setup) -> list[Line]:
    """Case c."""
    times = setup.times(5000)
    with contextlib.ExitStack() as stack:
        sides = Sides("small", setup)
        sides.add("ours", lambda: _prepare(setup, times, stack))
        if ray := setup.ray:
            warm_seconds = 1.0 if setup.quick else 4.0
            sides.add("Ray", lambda: ray_peer.prepare(ray, SIZE, times, warm_seconds, setup.folder))
        runs = sides.measure()
    return [
        Line(
            "c) create and get 1 KiB in one worker, µs",
            microseconds,
            runs.of("ours", "seconds"),
            Side("Ray", runs.of("Ray", "seconds")),
            target=Target(">= 3 x as fast as Ray", 3, at_least=True),
            less_is_better=True,
        )
    ]


def _prepare(setup: Setup, times: int, stack: contextlib.ExitStack) -> Measure:
    ours = stack.enter_context(agent.serving(setup.folder, "store_app"))

    def once(times: int) -> dict[str, float]:
        return {"seconds": agent.seconds(ours.ask("create-get", size=SIZE, times=times), "create_get")}

    once(100)
    return lambda: once(times)
