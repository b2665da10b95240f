"""A client that shares memory with an agent, as the test wants it: each message of proto/local.proto by hand."""

from __future__ import annotations

import os
import socket
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.waiting import PATIENCE
from tests.wire import Message, decode, encode

if TYPE_CHECKING:
    from types import TracebackType

    from tests.server import Server

_HEAD = struct.Struct("<II")


def socket_of(server: Server) -> Path:
    """Where the agent shares memory."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime, "anyserve") if runtime else Path(tempfile.gettempdir(), f"anyserve-{os.getuid()}")
    return folder / f"{server.port}.shm.sock"


class ByHand:
    """A connection that says only what it is told to."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(socket_of(server)))
        self._server = server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def hello(self, version: int = 1, address: str | None = None) -> Self:
        """Says hello."""
        self.send("hello", {"protocol_version": version, "addresses": [address or self._server.address]})
        return self

    def welcome(self) -> Self:
        """Says hello, and waits for the answer."""
        self.hello()
        kind, _ = self.receive()
        assert kind == "welcome"
        return self

    def allocate(self, size: int, call: int = 1) -> tuple[str, Message]:
        """Asks for a place; the path of the memory, and where in it the place is."""
        self.send("allocate", {"call": call, "size": size})
        kind, mapped = self.receive()
        assert kind == "mapped", (kind, mapped)
        kind, answer = self.receive()
        assert kind == "answer", (kind, answer)
        return mapped["path"], answer["allocated"]

    def infer(self, placed: list[Message], *, call: int = 2, size: int, model: str = "sum") -> None:
        """Sends a request whose one input lies there."""
        request = {"model_name": model, "inputs": [{"name": "x", "datatype": "UINT8", "shape": [size]}]}
        self.send("infer", {"call": call, "request": request, "placed": placed})

    def flood(self, lease: int) -> None:
        """Sends requests until the agent reads no more: TimeoutError."""
        self._socket.settimeout(2)
        for call in range(10, 10_000_000):
            # An error of 500 bytes for each, which nobody reads.
            self.infer([place(lease, 8193)], call=call, size=8193, model="m" * 400)

    def send(self, kind: str, message: Message, payload: bytes = b"") -> None:
        """Sends a message of FromClient."""
        data = encode("FromClient", {kind: message})
        self.send_bytes(_HEAD.pack(len(data), len(payload)) + data + payload)

    def send_bytes(self, data: bytes) -> None:
        """Sends what may be no message at all."""
        self._socket.sendall(data)

    def receive(self) -> tuple[str, Message]:
        """Waits for the next message; ("", {}) is the end."""
        head = self._read(_HEAD.size)
        if not head:
            return "", {}
        message, payload = _HEAD.unpack(head)
        decoded = decode("ToWorker", self._read(message))
        self._read(payload)
        [(kind, content)] = decoded.items()
        return kind, content

    def failure(self) -> str:
        """Waits for an answer that is a failure, and for the end behind it; the message."""
        kind, answer = self.receive()
        assert kind == "answer", (kind, answer)
        assert self.receive() == ("", {})
        message: str = answer["failure"]["message"]
        return message

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            try:
                part = self._socket.recv(size - len(data))
            except ConnectionResetError:
                # It hung up with something unread.
                part = b""
            if not part:
                return b""
            data += part
        return bytes(data)


def place(lease: int, size: int, offset: int = 0) -> Message:
    """Where an input is."""
    found: dict[str, Any] = {"index": 0, "lease": lease, "offset": offset, "size": size}
    return found
