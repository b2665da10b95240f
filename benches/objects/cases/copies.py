"""How often the bytes of a request are copied in user space on their way to a handler, by the programs' own counts."""

from __future__ import annotations

import contextlib
import urllib.request
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from benches import servers
from benches.objects import agent, memcpy
from benches.objects.agent import Agent
from benches.objects.notes import AbsentError
from benches.objects.setup import MIB, Setup
from benches.objects.sides import Measure, Sides
from benches.objects.table import Line, hundredths

__all__ = ["measure"]

SIZE = 16 * MIB
METRIC = "anyserve_copied_bytes_total"
WORKER = "worker"
ALL = "in all"


def measure(setup: Setup) -> list[Line]:
    """Case h."""
    places: set[str] = set()
    with contextlib.ExitStack() as stack:
        sides = Sides("copies", setup)
        sides.add("ours", lambda: _prepare(setup, places, stack))
        runs = sides.measure()
    return [
        Line(
            f"h) copies of each byte of a 16 MiB request that is looked at, {place}", hundredths, runs.of("ours", place)
        )
        for place in (ALL, *sorted(places), WORKER)
    ]


def _prepare(setup: Setup, places: set[str], stack: contextlib.ExitStack) -> Measure:
    port = servers.free_ports(1)
    ours = stack.enter_context(agent.serving(setup.folder, "look_app", ["--metrics-port", str(port)]))
    sent = memcpy.filled(SIZE)
    requests = setup.times(20)

    def once() -> dict[str, float]:
        before = _counts(ours, port)
        for _ in range(requests):
            ours.ask("look", {"IN": sent})
        after = _counts(ours, port)
        copies = {place: (after[place] - before[place]) / (requests * SIZE) for place in after}
        return {**copies, ALL: sum(copies.values())}

    places.update(f for f in once() if f not in (ALL, WORKER))
    return once


def _counts(ours: Agent, port: int) -> Counter[str]:
    """Bytes copied so far, by where."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
        page = response.read().decode()
    counts: Counter[str] = Counter()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == METRIC:
                counts[f"agent, {sample.labels['where']}"] += int(sample.value)
    if not counts:
        raise AbsentError(f"the agent has no metric {METRIC}")
    counts[WORKER] = int(ours.ask("copied")["BYTES_COPIED"][0])
    return counts
