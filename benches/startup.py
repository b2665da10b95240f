"""How long ``anyserve run`` takes to get ready, and what of that is the interpreter and the imports."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benches import servers

__all__ = ["TOTAL", "measure"]

TOTAL = "`anyserve run` with 1 worker: spawn to ready line"
TO_STARTING = "`anyserve run`: spawn to starting line"
TO_READY = "`anyserve run`: starting line to ready line"
SNIPPETS = ("pass", "import anyserve", "import anyserve.cli")


def measure(rounds: int, logs: Path) -> dict[str, list[float]]:
    """Seconds of every step, a value for each round."""
    _round(logs)
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for step, seconds in _round(logs).items():
            times.setdefault(step, []).append(seconds)
    return times


def _round(logs: Path) -> dict[str, float]:
    times = {f"`python -c '{snippet}'`": _python(snippet) for snippet in SNIPPETS}
    with servers.anyserve(logs) as start:
        times[TO_STARTING] = start.to_starting_line
        times[TO_READY] = start.to_ready_line - start.to_starting_line
        times[TOTAL] = start.to_ready_line
    return times


def _python(snippet: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", snippet], check=True, cwd=servers.HERE)
    return time.perf_counter() - started
