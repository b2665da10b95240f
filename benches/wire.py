"""A gRPC client that neither builds nor parses messages, so that little of what it times is its own work."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import grpc
from grpc.experimental import ChannelOptions

from benches.processes import BenchError

__all__ = ["Rpc", "open_rpc"]

TIMEOUT_SECONDS = 60.0


class Rpc:
    """One RPC of a server, over one open connection."""

    def __init__(self, channel: grpc.Channel, server: str, name: str) -> None:
        # ModelStreamInfer takes a stream of requests; a stream of one is the same on the wire, and as one request it
        # costs grpcio no thread. The first response came 0.3 ms sooner so, and in a narrower range.
        self._call = channel.unary_stream(f"/inference.GRPCInferenceService/{name}")
        self._server = server

    def answers(self, message: bytes) -> list[bytes]:
        """All messages that come back for one."""
        with self._errors():
            return list(self._call(message, timeout=TIMEOUT_SECONDS))

    def first_of(self, message: bytes, count: int) -> float:
        """The seconds from sending until the first answer. There must be ``count``; the rest is awaited too."""
        with self._errors():
            sent = time.perf_counter()
            answers = self._call(message, timeout=TIMEOUT_SECONDS)
            first = next(answers, None)
            seconds = time.perf_counter() - sent
            came = sum(1 for _ in answers) + (first is not None)
        if came != count:
            raise BenchError(f"{self._server} sent {came} answers and not {count}")
        return seconds

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise BenchError(f"{self._server} answers with an error: {error.code()}: {error.details()}") from error


@contextlib.contextmanager
def open_rpc(server: str, port: int, name: str) -> Iterator[Rpc]:
    """Connects; ``server`` is what errors call it."""
    options = [("grpc.max_receive_message_length", -1), (ChannelOptions.SingleThreadedUnaryStream, 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        yield Rpc(channel, server, name)
