"""A worker process with the test as its agent: what each says to the other, frame by frame."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

from tests.server import ROOT, Collected
from tests.waiting import PATIENCE
from tests.wire import Message, decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_HEAD = struct.Struct("<II")
_WELCOME = {
    "max_message_size": 1 << 26,
    "stream_window_responses": 64,
    "stream_window_bytes": 1 << 20,
    "stream_stall_timeout_us": 60_000_000,
}


class WorkerProcess:
    """``python -m anyserve.worker`` with these arguments; killed, if it still runs, when the ``with`` ends.

    The channel and the claim file are given to it as crates/anyserve-agent/src/worker/process.rs does.
    """

    def __init__(
        self,
        target: str,
        *flags: str,
        arguments: Mapping[str, Any] | None = None,
        pool: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.heartbeats = 0
        """How many have come."""
        self._requests = 0
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(PATIENCE)
        self._claims = os.memfd_create("claims")
        os.write(self._claims, bytes(8))
        command = [sys.executable, "-u", "-m", "anyserve.worker", target, *flags]
        if arguments is not None:
            command += ["--factory", "--args", json.dumps(arguments)]
        if pool is not None:
            command += ["--pool", pool]
        channel = {"ANYSERVE_WORKER": "1", "ANYSERVE_CLAIM_FILE": f"/proc/{os.getpid()}/fd/{self._claims}"}
        with theirs:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **(environment or {}), **channel},
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert self.process.stderr is not None
        self.stderr = Collected(self.process.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._socket.close()
        os.close(self._claims)
        self.stderr.finish()
        # pytest shows it with a test that failed.
        print(self.stderr.text)

    def send(self, kind: str, message: Message | None = None, payload: bytes = b"") -> None:
        """Sends a message of ToWorker."""
        data = encode("ToWorker", {kind: message or {}})
        self._socket.sendall(_HEAD.pack(len(data), len(payload)) + data + payload)

    def receive(self) -> tuple[str, Message]:
        """Waits for the next message of ToAgent, whatever it is; ("", {}) is the end."""
        head = self._read(_HEAD.size)
        if not head:
            return "", {}
        message, payload = _HEAD.unpack(head)
        decoded = decode("ToAgent", self._read(message))
        self._read(payload)
        [(kind, content)] = decoded.items()
        self.heartbeats += kind == "heartbeat"
        return kind, content

    def expect(self, kind: str) -> Message:
        """Waits for the next message that is no heartbeat; it must be of that kind."""
        found, message = self.receive()
        while found == "heartbeat":
            found, message = self.receive()
        assert found == kind, (found, message, self.stderr.text)
        return message

    def wait_heartbeats(self, count: int) -> None:
        """Waits until so many more have come, and nothing else meanwhile."""
        for _ in range(count):
            kind, message = self.receive()
            assert kind == "heartbeat", (kind, message)

    def welcome(self) -> Message:
        """Waits until the worker is ready, and answers it; returns its hello."""
        hello = self.expect("hello")
        self.send("welcome", _WELCOME)
        return hello

    def assign(self, capability: int = 0) -> int:
        """Assigns a request without inputs; returns its number."""
        self._requests += 1
        number = self._requests
        infer = {"model_name": "test", "id": str(number)}
        self.send("assign", {"request": number, "sequence": number, "capability": capability, "infer": infer})
        return number

    def call(self, capability: int = 0) -> dict[str, str]:
        """Assigns a request and waits for its reply; returns the texts among the reply's parameters."""
        number = self.assign(capability)
        reply = self.expect("reply")
        assert reply["request"] == number
        return {name: value.get("string_param", "") for name, value in reply["infer"]["parameters"].items()}

    def order(self, kind: str, **fields: int) -> Message:
        """Sends a sleep or a wake and waits until it is settled."""
        self.send(kind, fields)
        return self.expect("settled")

    def end(self) -> int:
        """Waits until the channel and the process end, with nothing said; returns the exit code."""
        self.expect("")
        return self.process.wait(PATIENCE)

    def stop(self) -> int:
        """Tells the worker to stop, and waits for its end."""
        self.send("stop")
        return self.end()

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                assert not data, "the channel ended in the middle of a frame"
                break
            data += part
        return bytes(data)
