"""Large tensors land in the object store; who finds no room there waits for some, but not for ever."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError, ResourceExhaustedError

from tests.metrics import Metrics
from tests.server import Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTE = 1 << 20
SIZE = 16 * MEBIBYTE
"""What the store has."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.stored:app", "--object-store-size", "16MiB") as server:
        yield server.wait_ready()


def tensors(*sizes: int) -> dict[str, np.ndarray]:
    """Random inputs of so many bytes."""
    return {f"x{i}": np.frombuffer(os.urandom(size), "uint8") for i, size in enumerate(sizes)}


def check(client: Client, inputs: dict[str, np.ndarray], **parameters: float) -> None:
    """Sends them, and sees that they arrived."""
    result = client.infer("checksum", inputs, parameters=parameters)
    assert np.asarray(result["checksums"]).tolist() == [zlib.crc32(bytes(data)) for data in inputs.values()]


@pytest.mark.parametrize("sizes", [(8 * MEBIBYTE,), (5 * MEBIBYTE, 5 * MEBIBYTE)], ids=["one tensor", "two tensors"])
@pytest.mark.parametrize("connections", [1, 8])
def test_more_than_there_is_room_for_is_held_back_and_none_fails(
    server: Server, connections: int, sizes: tuple[int, ...]
) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server.address)) for _ in range(connections)]
        threads = stack.enter_context(ThreadPoolExecutor(12))
        requests = [threads.submit(check, clients[i % connections], tensors(*sizes), seconds=0.1) for i in range(12)]
        for request in requests:
            request.result(60)


@pytest.mark.parametrize("sizes", [(SIZE + 1,), (SIZE // 2, SIZE // 2 + 1)], ids=["one tensor", "two tensors"])
def test_what_is_larger_than_the_store_fails_at_once_and_says_by_how_much(
    client: Client, sizes: tuple[int, ...]
) -> None:
    message = rf"^{sum(sizes)} bytes of tensors .* of {SIZE} are free \(--object-store-size\)$"
    with pytest.raises(ResourceExhaustedError, match=message) as failure:
        check(client, tensors(*sizes))
    # It is not the load.
    assert failure.value.retry_after is None
    # It has left nothing behind. An eighth is kept for small objects.
    check(client, tensors(SIZE // 4, SIZE // 2))


def test_who_waits_too_long_hears_that_it_may_try_again(server: Server, client: Client) -> None:
    with ThreadPoolExecutor(1) as threads:
        holder = threads.submit(check, client, tensors(10 * MEBIBYTE), seconds=7)
        eventually(lambda: Metrics(server).of("in_flight", "checksum") == 1, "it runs")
        with pytest.raises(
            ResourceExhaustedError, match=r"^10485760 bytes of tensors .*--object-store-size"
        ) as failure:
            check(client, tensors(10 * MEBIBYTE))
        assert failure.value.retry_after is not None
        holder.result(60)
    check(client, tensors(10 * MEBIBYTE))


def test_requests_of_streams_land_there_too(client: Client) -> None:
    for _ in range(4):
        inputs = tensors(12 * MEBIBYTE, 10, 100_000)
        [result] = client.stream("checksum", inputs)
        assert np.asarray(result["checksums"]).tolist() == [zlib.crc32(bytes(data)) for data in inputs.values()]


def test_who_leaves_in_the_middle_of_a_request_gives_its_room_back(server: Server, client: Client) -> None:
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(beginning_of_a_request(12 * MEBIBYTE))
        # Whichever of the two sides is the first to give up.
        with pytest.raises((ResourceExhaustedError, DeadlineExceededError)):
            client.infer("checksum", tensors(12 * MEBIBYTE), timeout=1.5)
    check(client, tensors(12 * MEBIBYTE))


def beginning_of_a_request(size: int) -> bytes:
    """What a client sends, by HTTP/2, of a request with a tensor of that size, up to its first bytes."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    def header(name: str, value: str) -> bytes:
        return bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()

    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/inference.GRPCInferenceService/ModelInfer",
        ":authority": "x",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    # The key of raw_input_contents, and its length in four digits of seven bits.
    field = b"\x3a" + bytes(size >> 7 * i & 0x7F | (0x80 if i < 3 else 0) for i in range(4))
    message = b"\0" + struct.pack(">I", len(field) + size) + field + bytes(10_000)
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(4, 0, 0, b"")
        + frame(1, 4, 1, b"".join(header(*pair) for pair in headers.items()))
        + frame(0, 0, 1, message)
    )
