"""An echo by tritonclient through system shared memory: the client's regions for the input and the output."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc as kserve
from tritonclient.utils import shared_memory

from benches.objects import memcpy
from benches.objects.sides import Measure
from benches.processes import BenchError
from benches.servers import Server

__all__ = ["prepare"]

TIMEOUT_SECONDS = 60.0


def prepare(server: Server, size: int, times: int, stack: contextlib.ExitStack) -> Measure:
    """Measures ``seconds`` of one request whose input lies in the region already."""
    with _errors(server):
        echo = stack.enter_context(_open(server, size))
    sent = memcpy.filled(size)
    shared_memory.set_shared_memory_region(echo.source, [sent])
    echo.ask()
    if not np.array_equal(_view(echo.target, size), sent):
        raise BenchError(f"{server.name} answers an echo through shared memory wrongly")
    return lambda: {"seconds": statistics.median(echo.timed(number) for number in range(times))}


@dataclass(frozen=True)
class _Echo:
    """The regions, and how to ask."""

    server: Server
    client: kserve.InferenceServerClient
    size: int
    source: Any
    target: Any
    given: kserve.InferInput
    wanted: kserve.InferRequestedOutput

    def timed(self, number: int) -> float:
        """Seconds that a request takes. Its first and last bytes are new, so that an old answer does not pass."""
        ends = [number % 251, (number + 1) % 251]
        _view(self.source, self.size)[[0, -1]] = ends
        started = time.perf_counter()
        self.ask()
        taken = time.perf_counter() - started
        if _view(self.target, self.size)[[0, -1]].tolist() != ends:
            raise BenchError(f"{self.server.name} leaves an old answer in shared memory")
        return taken

    def ask(self) -> None:
        """One request."""
        with _errors(self.server):
            self.client.infer("echo", [self.given], outputs=[self.wanted], client_timeout=TIMEOUT_SECONDS)


def _view(region: Any, size: int) -> memcpy.Bytes:
    """What lies in a region. Nobody may keep it: a region that is looked at cannot be closed."""
    view: memcpy.Bytes = shared_memory.get_contents_as_numpy(region, np.uint8, [size])
    return view


@contextlib.contextmanager
def _open(server: Server, size: int) -> Iterator[_Echo]:
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(contextlib.closing(kserve.InferenceServerClient(f"127.0.0.1:{server.port}")))
        name = f"anyserve_bench_{os.getpid()}_{server.name}"
        source, target = (stack.enter_context(_region(client, f"{name}_{end}", size)) for end in ("in", "out"))
        given = kserve.InferInput("IN", [size], "UINT8")
        given.set_shared_memory(f"{name}_in", size)
        wanted = kserve.InferRequestedOutput("OUT")
        wanted.set_shared_memory(f"{name}_out", size)
        yield _Echo(server, client, size, source, target, given, wanted)


@contextlib.contextmanager
def _region(client: kserve.InferenceServerClient, name: str, size: int) -> Iterator[Any]:
    region = shared_memory.create_shared_memory_region(name, f"/{name}", size, create_only=True)
    try:
        client.register_system_shared_memory(name, f"/{name}", size)
        try:
            yield region
        finally:
            # A server that has ended has no regions either.
            with contextlib.suppress(kserve.InferenceServerException):
                client.unregister_system_shared_memory(name)
    finally:
        shared_memory.destroy_shared_memory_region(region)


@contextlib.contextmanager
def _errors(server: Server) -> Iterator[None]:
    try:
        yield
    except kserve.InferenceServerException as error:
        raise BenchError(f"{server.name} refuses an echo through shared memory: {error}") from error
