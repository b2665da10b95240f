"""The plain echo, and the memory of the servers before and after it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benches import bodies, report, rounds, servers
from benches.checks import check_echo
from benches.h2load import Case
from benches.report import Row, Target
from benches.rounds import Setup
from benches.servers import Server

__all__ = ["measure"]

SMALL = 16
BIG = 1 << 20
MANY = Case("a) 16 B echo, 8 connections x 8 streams", bodies.echo("echo", [SMALL]), connections=8, streams=8)
ONE = Case("b) 16 B echo, 1 x 1", bodies.echo("echo", [SMALL]), connections=1, streams=1, latencies=True)
LARGE = Case("c) 1 MiB echo, 1 x 1", bodies.echo("echo", [BIG]), connections=1, streams=1, latencies=True, few=200)
# Before memory is read: what a process does just after it said that it is ready is over by then.
SETTLE_SECONDS = 1.0

Memory = dict[str, tuple[float, float | None]]


def measure(setup: Setup) -> list[Row]:
    """Cases a to d."""
    with servers.anyserve(setup.folder) as ours:
        started = setup.beside(ours.server, floor=True)
        time.sleep(SETTLE_SECONDS)
        before = _memory(started)
        for server in started:
            for size in (SMALL, BIG):
                check_echo(server, [size])
        runs = rounds.load(setup, [MANY, ONE, LARGE], started)
        time.sleep(SETTLE_SECONDS)
        after = _memory(started)
    most = Target(">= 2.0 x Triton", 2.0, at_least=True)
    return [
        rounds.row(runs, MANY.name, "requests/s", report.whole, lambda run: run.rate, most),
        rounds.row(runs, ONE.name, "p50, µs", report.whole, lambda run: run.p50, Target("<= 0.6 x Triton", 0.6)),
        rounds.row(runs, ONE.name, "p99, µs", report.whole, lambda run: run.p99),
        rounds.row(runs, LARGE.name, "p50, µs", report.whole, lambda run: run.p50, Target("<= 0.5 x Triton", 0.5)),
        rounds.row(runs, LARGE.name, "p99, µs", report.whole, lambda run: run.p99),
        *_memory_rows(before, after),
    ]


def _memory(started: Sequence[Server]) -> Memory:
    return {server.name: server.memory() for server in started}


def _memory_rows(before: Memory, after: Memory) -> list[Row]:
    def row(what: str, memory: Memory, part: int, target: Target | None) -> Row:
        parts = [memory[name][part] if name in memory else None for name in rounds.SERVERS]
        ours, triton, floor = ([] if value is None else [value] for value in parts)
        return Row(f"d) resident memory of the {what}, MiB", report.mebibytes, ours, triton, floor, target)

    small = Target("<= 60 MiB", 60 << 20, as_ratio=False)
    return [
        row("agent, idle after start", before, 0, small),
        row("worker, idle after start", before, 1, small),
        row("agent, after the load", after, 0, None),
        row("worker, after the load", after, 1, None),
    ]
