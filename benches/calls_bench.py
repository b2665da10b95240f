"""Measures calls between workers of one agent beside requests of a client to the same worker: p50 of 16 bytes.

usage: python benches/calls_bench.py [--rounds N] [--calls N] [--output FILE]

The three take turns, so that all see the same machine: `Client.infer` from a process of its own, `context.call` from a
handler, and `context.acall` from a handler on an event loop.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

# As a script it has its own folder on the path; the modules beside it go by the names that mypy knows them by.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from anyserve import Client

from benches import report, servers
from benches.calls_app import INPUTS
from benches.processes import BenchError
from benches.rounds import say

TARGET = 0.5
"""A call takes at most so much of what a client's request takes."""


def by_client(client: Client, calls: int) -> float:
    """The median of a client's requests, in microseconds."""
    took = []
    for _ in range(calls):
        begun = time.perf_counter_ns()
        client.infer("echo", INPUTS)
        took.append(time.perf_counter_ns() - begun)
    return statistics.median(took) / 1e3


def by_handler(client: Client, name: str, calls: int) -> float:
    """The median of a handler's calls."""
    result = client.infer(name, parameters={"calls": calls}, timeout=120)
    return float(np.median(result["nanoseconds"])) / 1e3


def measure(folder: Path, rounds: int, calls: int) -> dict[str, list[float]]:
    """The medians of each round."""
    figures: dict[str, list[float]] = {"Client.infer": [], "context.call": [], "context.acall": []}
    with servers.anyserve(folder, "calls_app", []) as ours, Client(f"127.0.0.1:{ours.server.port}") as client:
        for number in range(rounds + 1):
            found = [
                by_client(client, calls),
                by_handler(client, "caller", calls),
                by_handler(client, "acaller", calls),
            ]
            # The first round warms everything up.
            if number:
                say(f"round {number} of {rounds}: " + ", ".join(f"{median:.0f} µs" for median in found))
                for row, median in zip(figures.values(), found, strict=True):
                    row.append(median)
    return figures


def page(figures: dict[str, list[float]]) -> str:
    """The table in markdown."""
    medians = {name: statistics.median(rounds) for name, rounds in figures.items()}
    client = medians["Client.infer"]
    lines = [f"Machine: {report.machine()}", "", "| 16-byte echo | p50 | of Client.infer |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {median:.0f} µs | {median / client:.2f} |" for name, median in medians.items()]
    verdict = "met" if medians["context.call"] <= TARGET * client else "missed"
    return "\n".join([*lines, "", f"Target: `context.call` at most {TARGET} of `Client.infer`: {verdict}"])


def main() -> int:
    """Runs everything; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="anyserve-bench-") as folder:
            text = page(measure(Path(folder), options.rounds, options.calls))
    except BenchError as error:
        say(f"bench: {error}")
        return 1
    if options.output:
        options.output.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
