"""The echo in batches of at most 32."""

from __future__ import annotations

import contextlib

import tritonclient.grpc as kserve

from benches import bodies, report, rounds, servers
from benches.checks import check_echo
from benches.h2load import Case
from benches.processes import BenchError
from benches.report import Row, Target
from benches.rounds import Setup
from benches.servers import Server

__all__ = ["measure"]

# The tensors of a model that batches have the batch's dimension before their own.
SHAPE = [1, 16]
MANY = Case(
    "h) 16 B echo in batches of up to 32, 8 connections x 8 streams",
    bodies.echo("batched", SHAPE),
    connections=8,
    streams=8,
)


def measure(setup: Setup) -> list[Row]:
    """Case h."""
    with servers.anyserve(setup.folder, "batched_app") as ours:
        started = setup.beside(ours.server)
        for server in started:
            check_echo(server, SHAPE, "batched")
        runs = rounds.load(setup, [MANY], started)
        sizes = {(MANY.name, server.name): [_batch_size(server)] for server in started}
    target = Target(">= 2.5 x Triton", 2.5, at_least=True)
    return [
        rounds.row(runs, MANY.name, "requests/s", report.whole, lambda run: run.rate, target),
        rounds.row(sizes, MANY.name, "requests in a batch, mean", report.tenths, lambda size: size),
    ]


def _batch_size(server: Server) -> float:
    """How many requests the server gave its handler at a time, by its own count."""
    with contextlib.closing(kserve.InferenceServerClient(f"127.0.0.1:{server.port}")) as client:
        try:
            statistics = client.get_inference_statistics("batched").model_stats[0]
        except kserve.InferenceServerException as error:
            raise BenchError(f"{server.name} does not say how it batched: {error}") from error
    return float(statistics.inference_count / statistics.execution_count)
