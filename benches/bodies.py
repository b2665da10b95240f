"""The requests that the load consists of."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

from tritonclient.grpc import service_pb2

__all__ = ["FRAME_BYTES", "echo", "stream", "write"]

FRAME_BYTES = 5
"""What gRPC puts before each message: a flag and the length."""


def echo(model: str, shape: list[int]) -> bytes:
    """One raw UINT8 input IN of random bytes."""
    return _request(model, "IN", "UINT8", shape, os.urandom(math.prod(shape)))


def stream(count: int) -> bytes:
    """To model ``stream``: one INT32 input N, how many responses it should send."""
    return _request("stream", "N", "INT32", [1], struct.pack("<i", count))


def _request(model: str, name: str, datatype: str, shape: list[int], raw: bytes) -> bytes:
    request = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[raw])
    request.inputs.add(name=name, datatype=datatype, shape=shape)
    message: bytes = request.SerializeToString()
    return message


def write(path: Path, message: bytes) -> Path:
    """Writes a message as gRPC frames it."""
    path.write_bytes(struct.pack(">BI", 0, len(message)) + message)
    return path
