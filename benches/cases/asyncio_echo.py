"""The echo as a coroutine beside our own plain one, each in an agent of its own."""

from __future__ import annotations

from benches import bodies, h2load, report, rounds, servers
from benches.checks import check_echo
from benches.h2load import Case
from benches.report import Row, Target
from benches.rounds import Setup

__all__ = ["measure"]

SHAPE = [16]
ASYNC = Case("i) 16 B asyncio echo, 8 connections x 8 streams", bodies.echo("aecho", SHAPE), connections=8, streams=8)
SYNC = Case("i) the plain echo beside it", bodies.echo("echo", SHAPE), connections=8, streams=8)


def measure(setup: Setup) -> list[Row]:
    """Case i."""
    with servers.anyserve(setup.folder, "async_app") as ours, servers.anyserve(setup.folder) as plain:
        turns = {}
        for case, server, model in ((ASYNC, ours.server, "aecho"), (SYNC, plain.server, "echo")):
            check_echo(server, SHAPE, model)
            turns[case.name, server.name] = h2load.prepare(case, server.name, server.port, setup.seconds, setup.folder)
        runs = rounds.take_turns(turns, setup.rounds)
    ours_async, ours_plain = ([run.rate for run in figures] for figures in runs.values())
    target = Target(">= 0.9 x our plain echo", 0.9, at_least=True)
    return [
        Row(f"{ASYNC.name}: requests/s", report.whole, ours_async, beside=ours_plain, target=target),
        Row(f"{SYNC.name}: requests/s", report.whole, ours_plain),
    ]
