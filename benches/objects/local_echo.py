"""An echo by our own client, which shares memory with its agent."""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import Any

import numpy as np
from anyserve import AnyserveError, Client

from benches.objects import memcpy
from benches.objects.sides import Measure
from benches.processes import BenchError
from benches.servers import Server

__all__ = ["prepare"]

TIMEOUT_SECONDS = 60.0


def prepare(server: Server, size: int, times: int, stack: contextlib.ExitStack) -> Measure:
    """Measures ``seconds`` of one request, the copy of its input into shared memory included."""
    client = stack.enter_context(Client(f"127.0.0.1:{server.port}", shared_memory=True))
    sent = memcpy.filled(size)
    # The first finds no connection yet.
    for _ in range(2):
        if not np.array_equal(_echo(client, sent), sent):
            raise BenchError("an echo through the agent's memory comes back wrong")
    return lambda: {"seconds": statistics.median(_timed(client, sent, number) for number in range(times))}


def _timed(client: Client, sent: memcpy.Bytes, number: int) -> float:
    """Seconds that a request takes. Its first and last bytes are new, so that an old answer does not pass."""
    ends = [number % 251, (number + 1) % 251]
    sent[[0, -1]] = ends
    started = time.perf_counter()
    received = _echo(client, sent)
    taken = time.perf_counter() - started
    if received[[0, -1]].tolist() != ends:
        raise BenchError("an old answer came back through the agent's memory")
    return taken


def _echo(client: Client, sent: memcpy.Bytes) -> Any:
    try:
        return client.infer("echo", {"IN": sent}, timeout=TIMEOUT_SECONDS)["OUT"]
    except AnyserveError as error:
        raise BenchError(f"an echo through the agent's memory fails: {error}") from error
