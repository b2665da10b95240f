"""uvicorn's HTTP protocol, with what it has no limits for: slow clients, long heads, many connections.

uvicorn cuts idle connections, but waits forever for the rest of a head or a body, and for a client that takes nothing.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .settings import MAX_HEADER_BYTES, Settings

__all__ = ["GuardedProtocol", "guarded"]

_REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


class GuardedProtocol(HttpToolsProtocol):
    """One connection, with a timer for what should come and one for what should go."""

    settings: Settings = Settings()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        # Bytes of the head that is coming in: 0 between requests, None while a body is coming in.
        self._head_bytes: int | None = 0
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limit = self.settings.max_connections
        if len(self.connections) > limit:
            self._refuse(503, f"there are {limit} connections already (--max-connections); try again later")
        else:
            self._reading = self.loop.call_later(self.settings.header_timeout, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_reading()
        self._stop_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._head_bytes is not None:
            if self._head_is_too_long(data):
                self._refuse(431, f"the request line and headers are over the limit of {MAX_HEADER_BYTES} bytes")
                return
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes == 0:
            self._stop_reading()
        elif self._head_bytes is None:
            self._expect(self.settings.stall_timeout)
        elif self._reading is None:
            self._expect(self.settings.header_timeout)

    def on_message_begin(self) -> None:
        # A head may begin in the piece that another request ended in.
        self._head_bytes = self._head_bytes or 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """In the shape that all errors have."""
        self._refuse(400, "this is not an HTTP/1.1 request")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_writing()
        self._writing = self.loop.call_later(self.settings.stall_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_writing()
        super().resume_writing()

    def _head_is_too_long(self, data: bytes) -> bool:
        """Whether the head is over the limit with this piece, which may hold the begin of the body too."""
        assert self._head_bytes is not None
        room = MAX_HEADER_BYTES - self._head_bytes
        return len(data) > room and data.find(b"\r\n\r\n", 0, max(room, 0)) < 0

    def _expect(self, timeout: float) -> None:
        self._stop_reading()
        self._reading = self.loop.call_later(timeout, self._too_slow)

    def _too_slow(self) -> None:
        if self.flow.read_paused:
            # It is us who do not read.
            self._expect(self.settings.stall_timeout)
        elif self._head_bytes is None:
            self._refuse(408, f"nothing of the body came for {self.settings.stall_timeout:g} s")
        elif self._head_bytes:
            self._refuse(408, f"the head of the request did not come within {self.settings.header_timeout:g} s")
        else:
            # Nothing was asked: there is nobody to answer.
            self.transport.close()

    def _refuse(self, status: int, error: str) -> None:
        """Answers in place of the application, and closes."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._stop_reading()
        if self.cycle is not None and not self.cycle.response_complete and self.cycle.response_started:
            # This cannot be told in the middle of another answer.
            self.transport.abort()
            return
        body = json.dumps({"error": error}).encode()
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, _REASONS[status], len(body)) + body)
        self.transport.close()

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None


def guarded(settings: Settings) -> type[GuardedProtocol]:
    """The protocol with these limits: uvicorn makes one for each connection, of a class."""
    return type("GuardedProtocol", (GuardedProtocol,), {"settings": settings})
