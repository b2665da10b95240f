"""Streams of one-element responses: how many come in a second, and how soon the first one comes."""

from __future__ import annotations

import contextlib
import functools
import statistics

from benches import bodies, report, rounds, servers, wire
from benches.checks import check_stream
from benches.h2load import Case
from benches.report import Row, Target
from benches.rounds import Setup

__all__ = ["measure_first", "measure_rate"]

APP = "stream_app"
RPC = "ModelStreamInfer"
LONG = 1000
ONE = Case("f) 1 stream of 1,000 at a time", bodies.stream(LONG), connections=1, streams=1, rpc=RPC, few=4)
# Each stream on a connection of its own, as those of eight clients are: none shares its packets with another.
EIGHT = Case("f) 8 streams of 1,000 at a time", bodies.stream(LONG), connections=8, streams=1, rpc=RPC, few=8)
SHORT = 100
FIRST = "g) stream of 100, 1 at a time, first response"


def measure_rate(setup: Setup) -> list[Row]:
    """Case f."""
    with servers.anyserve(setup.folder, APP) as ours:
        started = setup.beside(ours.server, floor=True)
        for server in started:
            check_stream(server, LONG)
        runs = rounds.load(setup, [ONE, EIGHT], started)
    target = Target(">= 5.0 x Triton", 5.0, at_least=True)
    return [
        rounds.row(runs, case.name, "responses/s", report.whole, lambda run: run.rate * LONG, target)
        for case in (ONE, EIGHT)
    ]


def measure_first(setup: Setup) -> list[Row]:
    """Case g: each sample is an RPC of its own on a connection that is open; the rest of its stream is awaited."""
    message = bodies.stream(SHORT)
    with contextlib.ExitStack() as stack:
        started = setup.beside(stack.enter_context(servers.anyserve(setup.folder, APP)).server, floor=True)
        rpcs = {server.name: stack.enter_context(wire.open_rpc(server.name, server.port, RPC)) for server in started}
        for server in started:
            check_stream(server, SHORT)
            _first(rpcs[server.name], message, 20)
        samples = 50 if setup.quick else 200
        turns = {(FIRST, name): functools.partial(_first, rpc, message, samples) for name, rpc in rpcs.items()}
        runs = rounds.take_turns(turns, setup.rounds)
    target = Target("<= 0.6 x Triton", 0.6)
    return [rounds.row(runs, FIRST, "p50, µs", report.whole, lambda seconds: seconds * 1e6, target)]


def _first(rpc: wire.Rpc, message: bytes, samples: int) -> float:
    """The median of so many samples, in seconds."""
    return statistics.median(rpc.first_of(message, SHORT) for _ in range(samples))
