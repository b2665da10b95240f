"""Replays a trace on real workers: twenty models, room for four, sixty times faster; prints a line in markdown.

usage: python benches/replay.py TRACE.csv [--minutes N]
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import random
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from anyserve import AsyncClient
from anyserve._core import Admin
from anyserve.cli.folders import admin_socket
from anyserve.errors import RequestError

from benches.processes import running
from benches.replay_app import FASTER, MODELS, SLO
from benches.servers import ANYSERVE, HERE, free_ports, wait_ready


class Arrival(NamedTuple):
    """One request of the trace; its time is in seconds after the first."""

    time: float
    prompt: int
    generated: int
    model: str


def main() -> int:
    """Replays it; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("trace", type=Path)
    parser.add_argument("--minutes", type=float, default=20, help="of the trace (default: %(default)g)")
    options = parser.parse_args()
    arrivals = [arrival for arrival in read(options.trace) if arrival.time <= options.minutes * 60]
    with tempfile.TemporaryDirectory(prefix="anyserve-bench-") as name:
        config, log = Path(name, "anyserve.yaml"), Path(name, "log")
        pools = [f"  m{number}: {{target: 'replay_app:app', worker: m{number}}}\n" for number in range(MODELS)]
        config.write_text("budget: {slots: 4}\npools:\n" + "".join(pools))
        port = free_ports(1)
        command = [ANYSERVE, "run", "--config", str(config), "--port", str(port), "--metrics-port", "none"]
        with running([*command, "--log-level", "error"], log, cwd=HERE) as process:
            wait_ready(process, port, log)
            times = asyncio.run(replay(port, arrivals))
            status = Admin(admin_socket(port)).status()
    met = sum(taken is not None and taken * FASTER <= SLO for taken in times)
    answered = [taken * FASTER for taken in times if taken is not None]
    starts = max((worker["id"] for pool in status["pools"] for worker in pool["workers"]), default=0)
    print(
        f"{len(times)} requests of {options.minutes:g} minutes: {100 * met / len(times):.1f} % in time, "
        f"{len(times) - len(answered)} refused, first response p50 {statistics.median(answered):.1f} s, "
        f"longest {max(answered):.0f} s (times {FASTER}), about {starts} loads"
    )
    return 0


def read(trace: Path) -> list[Arrival]:
    """The requests, each for one of the models by a Zipf law."""
    dice = random.Random(1)
    weights = [1 / rank for rank in range(1, MODELS + 1)]
    names = [f"m{number}" for number in range(MODELS)]
    with trace.open() as file:
        rows = list(csv.DictReader(file))
    moments = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    models = dice.choices(names, weights, k=len(rows))
    return [
        Arrival(moment - moments[0], int(row["ContextTokens"]), int(row["GeneratedTokens"]), model)
        for row, moment, model in zip(rows, moments, models, strict=True)
    ]


async def replay(port: int, arrivals: list[Arrival]) -> list[float | None]:
    """Seconds until the first response of each; None for those that failed."""
    async with AsyncClient(f"127.0.0.1:{port}") as client:
        began = time.monotonic()
        tasks = []
        for arrival in arrivals:
            await asyncio.sleep(max(0.0, began + arrival.time / FASTER - time.monotonic()))
            tasks.append(asyncio.create_task(ask(client, arrival)))
        return list(await asyncio.gather(*tasks))


async def ask(client: AsyncClient, arrival: Arrival) -> float | None:
    """Seconds until the first response."""
    began = time.monotonic()
    first = None
    try:
        async for _ in client.stream(arrival.model, {"tokens": [arrival.prompt, arrival.generated]}, timeout=120):
            first = first or time.monotonic() - began
    except RequestError:
        return None
    return first


if __name__ == "__main__":
    sys.exit(main())
