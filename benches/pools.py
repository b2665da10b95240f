"""Measures how fast workers start, and pools take turns; prints a table in markdown.

usage: python benches/pools.py [--rounds N]
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from anyserve import Client
from anyserve._core import Admin
from anyserve.cli.folders import admin_socket

from benches import report
from benches.processes import children, running
from benches.servers import ANYSERVE, HERE, free_ports, wait_ready

CONFIG = """
budget: {bed: 1, seat: 1}
pools:
"""
POOLS = ["executed", "executed-numpy", "forked-numpy", "sleeper-1", "sleeper-2", "starter-1", "starter-2"]


def main() -> int:
    """Runs everything; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="(default: %(default)s)")
    rounds = parser.parse_args().rounds
    with server() as port, Client(f"127.0.0.1:{port}") as client:
        admin = Admin(admin_socket(port))
        rows = [
            ("echo worker, executed", cold(client, admin, "executed", rounds), "reported"),
            ("worker with numpy, executed", cold(client, admin, "executed-numpy", rounds), "reported"),
            ("worker with numpy, forked with it preloaded", cold(client, admin, "forked-numpy", rounds), "<= 60 ms"),
            ("switch between two that sleep and wake", switch(client, "sleeper", rounds), "<= 5 ms over the hooks"),
            ("switch between two that stop and start", switch(client, "starter", rounds), "reported"),
        ]
        warm = [request(client, "executed") for _ in range(10 * rounds)]
    print(table(rows, warm))
    return 0


@contextlib.contextmanager
def server() -> Iterator[int]:
    """The agent; yields its port."""
    with tempfile.TemporaryDirectory(prefix="anyserve-bench-") as name:
        config, log = Path(name, "anyserve.yaml"), Path(name, "log")
        config.write_text(
            CONFIG + "".join(f"  {pool}: {{target: 'pools_app:app', worker: {pool}}}\n" for pool in POOLS)
        )
        port = free_ports(1)
        command = [ANYSERVE, "run", "--config", str(config), "--port", str(port), "--metrics-port", "none"]
        with running([*command, "--log-level", "warn"], log, cwd=HERE) as process:
            wait_ready(process, port, log)
            # The fork server imports numpy meanwhile.
            while not children(process.pid):
                time.sleep(0.05)
            time.sleep(2)
            yield port


def request(client: Client, model: str) -> float:
    """Seconds that a request takes."""
    started = time.perf_counter()
    client.infer(model, {"x": [1]}, timeout=60)
    return time.perf_counter() - started


def cold(client: Client, admin: Admin, pool: str, rounds: int) -> list[float]:
    """Seconds that a request takes which finds no worker."""
    times = []
    for _ in range(rounds + 1):
        admin.scale(pool, 0)
        while any(found["workers"] for found in admin.status()["pools"] if found["name"] == pool):
            time.sleep(0.01)
        times.append(request(client, pool))
    return times[1:]


def switch(client: Client, kind: str, rounds: int) -> list[float]:
    """Seconds that a request takes for which the other pool has to make way."""
    for number in (1, 2):
        request(client, f"{kind}-{number}")
    return [request(client, f"{kind}-{1 + turn % 2}") for turn in range(2 * rounds)]


def table(rows: list[tuple[str, list[float], str]], warm: list[float]) -> str:
    """The results in markdown."""
    usual = statistics.median(warm)
    lines = [
        "| a request that waits for | p50, ms | min..max | over a warm request | target |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for name, times, target in rows:
        middle = statistics.median(times)
        low, high = (f"{1000 * value:.1f}" for value in (min(times), max(times)))
        lines.append(f"| {name} | {1000 * middle:.1f} | {low}..{high} | {1000 * (middle - usual):.1f} | {target} |")
    lines.append(f"\nA warm request takes {1000 * usual:.2f} ms (p50). Machine: {report.machine()}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
