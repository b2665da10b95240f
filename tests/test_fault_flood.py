"""Clients that open more streams than anybody can serve, and read nothing of them."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import numpy as np
import psutil
import pytest
from anyserve import Client
from anyserve.errors import ResourceExhaustedError

from tests.metrics import Metrics
from tests.streams import ask
from tests.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from types import TracebackType

    from tests.conftest import Serve
    from tests.server import Server

CONNECTIONS, STREAMS = 10, 1000
MEMORY = 300 << 20
"""Much more than so many streams cost the agent that are bounded."""

SETTINGS, HEADERS, DATA = 4, 1, 0
END_HEADERS, END_STREAM = 4, 1


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def fields(**named: str) -> bytes:
    """Header fields, each as a literal that is not indexed (RFC 7541, section 6.2.2)."""
    names = {"method": ":method", "scheme": ":scheme", "path": ":path", "type": "content-type", "te": "te"}
    texts = [(names[name].encode(), value.encode()) for name, value in named.items()]
    return b"".join(bytes([0, len(name)]) + name + bytes([len(value)]) + value for name, value in texts)


CALL = fields(
    method="POST",
    scheme="http",
    path="/inference.GRPCInferenceService/ModelStreamInfer",
    type="application/grpc",
    te="trailers",
)


class Mute:
    """A connection that writes, and never reads."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.create_connection((server.host, server.port))
        self._socket.settimeout(PATIENCE)
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b""))

    def open_streams(self, count: int, message: bytes | None, *, half_close: bool) -> None:
        """Opens so many, each with the message."""
        frames = []
        for stream in range(1, 2 * count, 2):
            frames.append(frame(HEADERS, END_HEADERS, stream, CALL))
            if message is not None:
                prefixed = struct.pack(">BI", 0, len(message)) + message
                frames.append(frame(DATA, END_STREAM if half_close else 0, stream, prefixed))
        self._socket.sendall(b"".join(frames))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()


def memory(server: Server) -> int:
    return psutil.Process(server.process.pid).memory_info().rss


def refusal(client: Client) -> str:
    """Why requests for what is flooded are refused; empty if they are not."""
    try:
        with client.stream("flood", timeout=PATIENCE) as results:
            next(results)
    except ResourceExhaustedError as error:
        return str(error) if error.retry_after is not None else "without a hint when to try again"
    return ""


@pytest.mark.parametrize("half_close", [False, True])
def test_ten_thousand_streams_that_nobody_reads(serve: Serve, half_close: bool) -> None:
    server = serve("tests.apps.fault_streams:app")
    workers = server.workers()
    before = memory(server)
    metrics = Metrics(server)
    with Client(server.address) as client, ExitStack() as stack:
        message = ask("flood").SerializeToString()
        for _ in range(CONNECTIONS):
            mute = stack.enter_context(Mute(server))
            mute.open_streams(STREAMS, message, half_close=half_close)
        # Those that run and those that wait are the only ones that were accepted.
        refused = CONNECTIONS * STREAMS - 8 - 1000
        eventually(lambda: metrics.value("rejections_total", reason="queue_full") == refused, "the others are refused")
        assert refusal(client) == (
            "1000 requests are waiting for {type: flood} already, as many as may (max_queue_size)"
        )
        for _ in range(100):
            client.infer("quick", timeout=PATIENCE)
        assert np.asarray(next(client.stream("ticking", timeout=PATIENCE))["OUT"]).tolist() == [0]
        assert memory(server) - before < MEMORY
        stack.close()
        eventually(lambda: refusal(client) == "", "they are forgotten and their places free")
    assert server.workers() == workers
    assert server.stop() == 0


def test_ten_thousand_streams_without_a_request(serve: Serve) -> None:
    server = serve("tests.apps.fault_streams:app")
    before = memory(server)
    with Client(server.address) as client, ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(Mute(server)).open_streams(STREAMS, None, half_close=False)
        for _ in range(100):
            client.infer("quick", timeout=PATIENCE)
        assert refusal(client) == ""
        assert memory(server) - before < MEMORY


def test_of_responses_that_nobody_takes_each_call_holds_one(serve: Serve) -> None:
    server = serve("tests.apps.fault_streams:app", "--max-queue-bytes", "32MiB")
    before = memory(server)
    metrics = Metrics(server)
    with Mute(server) as mute:
        mute.open_streams(600, ask("burst").SerializeToString(), half_close=True)
        answered: list[float] = []

        def stands() -> bool:
            answered.append(metrics.of("responses_total", "burst"))
            return len(answered) > 20 and answered[-1] == answered[-20] > 0

        eventually(stands, "no more is answered")
        # The HTTP/2 library has it, beyond what any limit of the agent's counts.
        assert memory(server) - before < MEMORY + 600 * (1 << 20)
