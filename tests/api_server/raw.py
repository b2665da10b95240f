"""HTTP as bytes, for what no client would send."""

from __future__ import annotations

import json
import socket
from typing import Any

from tests.api_server.process import ApiServer
from tests.waiting import PATIENCE


def connect(api: ApiServer) -> socket.socket:
    """A connection of its own."""
    return socket.create_connection((api.host, api.port), timeout=PATIENCE)


def read_all(raw: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    received = b""
    try:
        while piece := raw.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def exchange(api: ApiServer, *pieces: bytes) -> bytes:
    """Sends bytes, and returns all that comes back until the server closes."""
    with connect(api) as raw:
        for piece in pieces:
            raw.sendall(piece)
        return read_all(raw)


def parse(answer: bytes) -> tuple[int, Any]:
    """The status and the JSON of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), answer[:200]
    return int(head.split()[1]), json.loads(body)
