"""Echoes of large tensors that travel in the messages, loaded by h2load."""

from __future__ import annotations

import contextlib

from benches import bodies, h2load, report, servers
from benches.checks import check_echo
from benches.h2load import Case
from benches.objects.setup import MIB, Setup
from benches.objects.sides import Measure, Runs, Sides
from benches.objects.table import Line, Side
from benches.report import Target
from benches.servers import Server

__all__ = ["measure"]

FEW = {1: 160, 16: 16}
"""How many requests a run has at least, by the size in MiB."""
CONNECTIONS, STREAMS = 4, 2
FLOOR = "tonic"


def measure(setup: Setup) -> list[Line]:
    """Case f."""
    return [line for size in FEW for line in _lines(size, _runs(setup, size))]


def _runs(setup: Setup, size: int) -> Runs:
    name = f"grpc-{size}MiB"
    case = Case(name, bodies.echo("echo", [size * MIB]), CONNECTIONS, STREAMS, few=FEW[size])

    def load(server: Server) -> Measure:
        check_echo(server, [size * MIB])
        run = h2load.prepare(case, server.name, server.port, setup.seconds, setup.folder)
        return lambda: {"rate": run().rate}

    with contextlib.ExitStack() as stack:
        sides = Sides(name, setup)
        sides.add("ours", lambda: load(stack.enter_context(servers.anyserve(setup.folder)).server))
        if triton := setup.triton:
            sides.add("Triton", lambda: load(triton))
        if floor := setup.floor:
            sides.add(FLOOR, lambda: load(floor))
        return sides.measure()


def _lines(size: int, runs: Runs) -> list[Line]:
    return [
        Line(
            f"f) {size} MiB gRPC echo, {CONNECTIONS} connections x {STREAMS} streams, requests/s",
            report.tenths,
            runs.of("ours", "rate"),
            Side("Triton", runs.of("Triton", "rate")),
            Side(FLOOR, runs.of(FLOOR, "rate")),
            Target(">= 2.5 x Triton", 2.5, at_least=True),
        )
    ]
