"""Clients that send or take too slowly are cut; others notice nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.api_server.process import ApiServer
from tests.api_server.raw import connect, parse, read_all
from tests.waiting import eventually


@pytest.fixture(scope="module")
def api() -> Iterator[ApiServer]:
    with ApiServer("--header-timeout", "0.5", "--stall-timeout", "1", "--max-connections", "20") as server:
        yield server


def test_a_head_that_does_not_come(api: ApiServer) -> None:
    with connect(api) as raw:
        assert read_all(raw) == b""


def test_a_head_that_comes_slowly(api: ApiServer) -> None:
    with connect(api) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\n")
        # Each piece comes in time, the whole does not.
        for _ in range(4):
            time.sleep(0.15)
            try:
                raw.sendall(b"x-more: y\r\n")
            except (BrokenPipeError, ConnectionResetError):
                break
        status, error = parse(read_all(raw))
    assert status == 408
    assert "0.5 s" in error["error"]


def test_a_second_head_that_does_not_end(api: ApiServer) -> None:
    with connect(api) as raw:
        raw.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        raw.sendall(b"GET /livez HTTP/1.1\r\n")
        received = read_all(raw)
    assert received.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in received


@pytest.mark.parametrize(
    "path", ["/register", "/infer", "/infer/stream", "/v2/models/m/infer", "/v2/models/m/generate"]
)
def test_a_body_that_stalls(api: ApiServer, path: str) -> None:
    with connect(api) as raw:
        raw.sendall(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{".encode())
        status, error = parse(read_all(raw))
    assert status == 408
    assert "1 s" in error["error"]


def test_a_body_may_take_long_if_it_goes_on(api: ApiServer) -> None:
    body = b'{"endpoint": "h:1", "capabilities": []}'
    with connect(api) as raw:
        raw.sendall(b"PUT /replicas/slow HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 8):
            time.sleep(0.4)
            raw.sendall(body[start : start + 8])
        assert raw.recv(65536).startswith(b"HTTP/1.1 200")
    api.http.delete("/replicas/slow")


def test_an_answer_that_is_not_taken(api: ApiServer) -> None:
    """The kernel and the server hold what they may of a large answer; then the connection is cut."""
    many = [{"type": f"t{number}", "text": "x" * 250} for number in range(1000)]
    for number in range(30):
        assert api.put(f"large{number}", *many).status_code == 200
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(30)
        raw.connect((api.host, api.port))
        raw.sendall(b"GET /watch HTTP/1.1\r\nhost: x\r\n\r\n")
        eventually(lambda: api.metric("anyserve_api_watchers") == 1, "it watches")
        eventually(lambda: api.metric("anyserve_api_watchers") == 0, "it was cut")
        read = read_all(raw)
        assert not read.endswith(b"0\r\n\r\n")
    for number in range(30):
        api.http.delete(f"/replicas/large{number}")


def test_there_are_only_so_many_connections(api: ApiServer) -> None:
    assert api.http.get("/livez").status_code == 200
    raws = [connect(api) for _ in range(25)]
    try:
        refused = b"".join(read_all(raw) for raw in raws[-3:])
        assert refused.count(b"HTTP/1.1 503") == 3
        assert b"--max-connections" in refused
        # The one that was there before is served.
        assert api.http.get("/livez").status_code == 200
    finally:
        for raw in raws:
            raw.close()
    eventually(lambda: _answers(api), "there is room again")


def _answers(api: ApiServer) -> bool:
    with connect(api) as raw:
        raw.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        return read_all(raw).startswith(b"HTTP/1.1 200")
