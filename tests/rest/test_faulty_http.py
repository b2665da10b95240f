"""Clients that do what they should not, by sockets of their own."""

from __future__ import annotations

import gzip
import json
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from tests.rest.conftest import APP, call, connect, infer, read_all
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.server import Server

PATH = "/v2/models/echo/infer"
LIMIT = 4 << 20


def head(length: int, *headers: str, path: str = PATH) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {length}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def request(number: int, *headers: str) -> bytes:
    body = json.dumps({"id": str(number), "inputs": []}).encode()
    return head(len(body), *headers) + body


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nhost: x\r\nlong: " + b"x" * 200_000 + b"\r\n\r\n",
        b"POST /v2/models/echo/infer HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"POST /v2/models/echo/infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_ends_its_connection_and_nothing_else(rest: Server, sent: bytes) -> None:
    with connect(rest) as connection:
        connection.sendall(sent)
        assert not read_all(connection).startswith(b"HTTP/1.1 2")
    assert infer(rest, "echo").status == 200


def test_pipelined_requests_are_answered_in_order(rest: Server) -> None:
    with connect(rest) as connection:
        connection.sendall(b"".join(request(number) for number in range(49)) + request(49, "connection: close"))
        received = read_all(connection)
    ids = [part.split(b'"', 1)[0] for part in received.split(b'{"id":"')[1:]]
    assert ids == [str(number).encode() for number in range(50)]


def test_a_connection_serves_one_request_after_another(rest: Server) -> None:
    with connect(rest) as connection:
        for number in range(3):
            connection.sendall(request(number))
            received = b""
            while not received.endswith(b"]}"):
                received += connection.recv(65536)
            assert received.startswith(b"HTTP/1.1 200 OK")


def test_an_oversize_body_is_refused_unread(rest: Server) -> None:
    reply = call(rest, "POST", PATH, b"x" * (LIMIT + 1))
    assert reply.status == 413
    assert f"limit of {LIMIT} bytes; raise it with --max-message-size" in reply.error
    assert reply.headers["connection"] == "close"


def test_a_client_that_asks_first_hears_it_at_once(rest: Server) -> None:
    with connect(rest) as connection:
        connection.sendall(head(1 << 40, "expect: 100-continue"))
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


def test_an_oversize_body_of_unknown_length(rest: Server) -> None:
    with connect(rest) as connection:
        connection.sendall(f"POST {PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        for _ in range(LIMIT // 65536 + 1):
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_is_large_only_once_it_is_decompressed(rest: Server) -> None:
    reply = call(rest, "POST", PATH, gzip.compress(bytes(LIMIT * 100)), {"Content-Encoding": "gzip"})
    assert reply.status == 413


def test_digits_that_stand_for_more_than_the_limit(rest: Server) -> None:
    count = 1 << 20
    tensor = {"name": "x", "datatype": "FP64", "shape": [count], "data": [1] * count}
    assert infer(rest, "echo", inputs=[tensor]).status == 413


def test_bodies_that_hold_too_much_together(serve: Serve) -> None:
    server = serve(APP, "--http-port", "0", "--max-message-size", "2MiB", "--max-queue-bytes", "2MiB")
    with connect(server) as slow:
        slow.sendall(head(2 << 20) + b"x" * ((2 << 20) - 1))
        eventually(lambda: infer(server, "echo").status == 429, "the room is taken")
        reply = infer(server, "echo")
        assert "--max-queue-bytes" in reply.error
        slow.sendall(b"x")
        assert slow.recv(65536).startswith(b"HTTP/1.1 400 ")
    eventually(lambda: infer(server, "echo").status == 200, "the room is free again")


def test_a_client_that_leaves_while_it_waits_cancels(rest: Server, gate: Gate) -> None:
    body = json.dumps({"inputs": [], "parameters": gate.parameters}).encode()
    with connect(rest) as connection:
        connection.sendall(head(len(body), path="/v2/models/waits/infer") + body)
        gate.wait_entered()
    gate.wait_cancelled()


def test_a_client_that_leaves_within_its_body(rest: Server) -> None:
    for _ in range(20):
        with connect(rest) as connection:
            connection.sendall(head(1000) + b"{")
    assert infer(rest, "echo").status == 200


def test_a_head_that_does_not_end_is_cut(rest: Server) -> None:
    with connect(rest) as silent, connect(rest) as slow:
        slow.sendall(b"POST /v2 HTTP/1.1\r\n")
        assert read_all(slow) == b""
        assert read_all(silent) == b""


def test_a_body_that_stalls_is_cut(rest: Server) -> None:
    with connect(rest) as connection:
        connection.sendall(head(1000) + b"{")
        received = read_all(connection)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"nothing came of the request's body for 30s" in received


def test_many_slow_clients_hold_up_nobody(rest: Server) -> None:
    slow = [connect(rest) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(head(1000) + b"{")
        assert infer(rest, "echo").status == 200
    finally:
        for connection in slow:
            connection.close()


def test_responses_that_nobody_reads_hold_up_nobody(rest: Server) -> None:
    body = json.dumps({"inputs": [], "parameters": {"bytes": 3 << 20, "binary_data_output": True}}).encode()
    with connect(rest) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(20):
            connection.sendall(head(len(body), path="/v2/models/large/infer") + body)
        assert infer(rest, "echo").status == 200


def test_shutdown_answers_what_runs_and_closes_what_is_idle(serve: Serve, gate: Gate) -> None:
    server = serve(APP, "--http-port", "0")
    body = json.dumps({"inputs": [], "parameters": gate.parameters}).encode()
    with connect(server) as idle, connect(server) as busy:
        idle.sendall(request(1))
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 ")
        busy.sendall(head(len(body), path="/v2/models/waits/infer") + body)
        gate.wait_entered()
        server.send_signal(signal.SIGINT)
        eventually(lambda: infer(server, "echo").status == 503, "new requests are refused")
        assert "shutting down" in infer(server, "echo").error
        gate.open()
        assert b"HTTP/1.1 200 OK" in read_all(busy)
        assert read_all(idle) == b""
    assert server.wait() == 0
