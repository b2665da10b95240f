"""A large object pulled from one agent by another over loopback, beside one stream of iperf3."""

from __future__ import annotations

import contextlib

from benches.objects import agent, floor, iperf
from benches.objects.agent import Agent
from benches.objects.setup import GIB, Setup
from benches.objects.sides import Measure, Sides
from benches.objects.table import Line, Side, gigabytes
from benches.report import Target

__all__ = ["measure"]

SIZE = GIB
STREAM, RENO = "iperf3", f"iperf3 -C {iperf.RENO}"
OPTIONS = ["--object-store-size", str(3 * GIB)]


def measure(setup: Setup) -> list[Line]:
    """Case g."""
    first: list[float] = []
    with contextlib.ExitStack() as stack:
        sides = Sides("pull", setup)
        sides.add("ours", lambda: _prepare(setup, first, stack))
        seconds = 0 if setup.quick else 3
        sides.add(STREAM, lambda: iperf.prepare(None, seconds, setup.folder, stack))
        if (control := iperf.default_control()) != iperf.RENO:
            setup.notes.add(f"TCP's congestion control is {control}, but for '{RENO}'")
            sides.add(RENO, lambda: iperf.prepare(iperf.RENO, seconds, setup.folder, stack))
        sides.add(floor.NAME, lambda: floor.prepare(SIZE, 1))
        runs = sides.measure()
    ours, stream, reno = runs.of("ours", "rate"), *(Side(name, runs.of(name, "rate")) for name in (STREAM, RENO))
    copies = Side(floor.NAME, [SIZE / seconds for seconds in runs.of(floor.NAME, "seconds")])
    target = Target(">= 0.8 x iperf3", 0.8, at_least=True)
    lines = [
        Line("g) 1 GiB pulled from another agent, GB/s", gigabytes, ours, stream, copies, target),
        # One value: the memory of an agent is cold once.
        Line("g) the first such pull of an agent, into cold memory, GB/s", gigabytes, first, stream),
    ]
    if reno.values:
        # What is to be said when the default is a slow one: a stream could be this fast.
        lines.append(Line("g) 1 GiB pulled from another agent, as above, GB/s", gigabytes, ours, reno))
    return lines


def _prepare(setup: Setup, first: list[float], stack: contextlib.ExitStack) -> Measure:
    owner, puller = (
        stack.enter_context(agent.serving(setup.folder / f"agent-{name}", "pull_app", OPTIONS)) for name in "ab"
    )
    first.append(_pull(owner, puller))
    return lambda: {"rate": _pull(owner, puller)}


def _pull(owner: Agent, puller: Agent) -> float:
    """Bytes a second. The object is a new one each time, so that nothing of it can be there already."""
    ref = owner.ask("make", size=SIZE)["ref"][0].decode()
    taken = agent.seconds(puller.ask("pull", ref=ref, size=SIZE), "pull")
    owner.ask("drop")
    return SIZE / taken
