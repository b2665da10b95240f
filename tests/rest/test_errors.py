"""What goes wrong has the status of the error table, and says what it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.rest.conftest import APP, Reply, call, connect, infer
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.server import Server

FP32 = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"inputs": None}, "'inputs' is null; it must be an array"),
        ({"inputs": [{**FP32, "shape": [3]}]}, "input 'x': shape [3] needs 3 elements, but the contents hold 2"),
        ({"inputs": [{**FP32, "datatype": "FP31"}]}, "datatype 'FP31' is unknown; known are BOOL"),
        ({"inputs": [{**FP32, "data": [1, "2"]}]}, "'data' is a string; it must be a number"),
        ({"inputs": [FP32, FP32]}, "input 'x' is there twice"),
        ({"inputs": [FP32], "parameters": {"timeout": "soon"}}, "parameter 'timeout' must be a whole number"),
        ({"inputs": [{**FP32, "parameters": {"binary_data_size": 8}}]}, "contents in two places"),
    ],
)
def test_a_malformed_request(rest: Server, members: dict[str, Any], message: str) -> None:
    reply = infer(rest, "echo", **members)
    assert reply.status == 400
    assert message in reply.error


@pytest.mark.parametrize("body", [b"", b"garbage", b"\xff\xfe", b"[" * 100_000, b'{"inputs": [', b"5"])
@pytest.mark.parametrize("how", ["infer", "generate", "generate_stream"])
def test_garbage(rest: Server, how: str, body: bytes) -> None:
    reply = call(rest, "POST", f"/v2/models/echo/{how}", body)
    assert reply.status == 400
    assert reply.error


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "", "99999999999999999999", "1000"])
def test_a_header_length_that_is_none(rest: Server, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length}
    reply = call(rest, "POST", "/v2/models/echo/infer", {"inputs": []}, headers)
    assert reply.status == 400
    assert "Inference-Header-Content-Length" in reply.error


def test_what_nobody_serves(rest: Server) -> None:
    reply = infer(rest, "nothing")
    assert reply.status == 404
    assert "nothing" in reply.error
    reply = infer(rest, "echo", {"x-cap-type": "other"})
    assert reply.status == 404
    assert "other" in reply.error


def test_a_handler_that_fails(rest: Server) -> None:
    reply = infer(rest, "fails", parameters={"how": "raise"})
    assert (reply.status, reply.error) == (500, 'ValueError: a "quoted" reason')
    reply = infer(rest, "fails", parameters={"how": "not found"})
    assert (reply.status, reply.error) == (404, "no such thing")


def test_a_worker_that_dies(serve: Serve) -> None:
    server = serve(APP, "--http-port", "0")
    reply = infer(server, "fails", parameters={"how": "die"})
    assert reply.status == 503
    assert "SIGKILL" in reply.error
    eventually(lambda: infer(server, "echo").status == 200, "another worker is there")


def test_a_deadline(rest: Server, gate: Gate) -> None:
    reply = infer(rest, "waits", parameters={"timeout": 100_000, **gate.parameters})
    assert reply.status == 504
    assert "deadline" in reply.error
    gate.wait_cancelled()


def test_a_full_queue_says_when_to_try_again(serve: Serve, gate: Gate) -> None:
    server = serve(APP, "--http-port", "0", "--max-queue-size", "1")
    body = json.dumps({"inputs": [], "parameters": gate.parameters}).encode()
    request = f"POST /v2/models/waits/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    with connect(server) as first, connect(server) as second:
        first.sendall(request)
        gate.wait_entered()
        second.sendall(request)
        reply: list[Reply] = []

        def refused() -> bool:
            reply.append(infer(server, "waits", parameters={"timeout": 50_000, **gate.parameters}))
            return reply[-1].status == 429

        eventually(refused, "the queue is full")
        assert "--max-queue-size" in reply[-1].error
        assert int(reply[-1].headers["retry-after"]) >= 1
        assert int(reply[-1].headers["retry-after-ms"]) >= 0
        gate.open()


def test_no_model_control(serve: Serve) -> None:
    server = serve(APP, "--http-port", "0", "--no-model-control")
    reply = call(server, "POST", "/v2/repository/models/echo/unload", {})
    assert (reply.status, reply.error) == (403, "clients may not load or unload here (--no-model-control)")


def test_shared_memory_that_is_off(serve: Serve) -> None:
    server = serve(APP, "--http-port", "0")
    reply = call(server, "POST", "/v2/systemsharedmemory/region/r/register", {"key": "/k", "byte_size": 8})
    assert "--allow-client-shm" in reply.error


def test_outputs_that_are_no_json(rest: Server) -> None:
    tensor = {"name": "x", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}
    header = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(header))}
    reply = call(rest, "POST", "/v2/models/echo/infer", header + b"\x01\0\0\0\xff", headers)
    assert reply.status == 400
    assert "output 'x' is not UTF-8 at element 0" in reply.error


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v2/model", "/v2/models", "/v2/models/echo/other", "/metrics", "/v2/logging"]
)
def test_what_is_not_there(rest: Server, path: str) -> None:
    reply = call(rest, "GET", path)
    assert reply.status == 404
    assert path in reply.error


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v2/models/echo/infer", "POST"),
        ("PUT", "/v2/models/echo/generate", "POST"),
        ("POST", "/v2", "GET, HEAD"),
        ("DELETE", "/v2/models/echo", "GET, HEAD"),
        ("GET", "/v2/repository/index", "POST"),
        ("POST", "/v2/health/live", "GET, HEAD"),
    ],
)
def test_a_wrong_method(rest: Server, method: str, path: str, allowed: str) -> None:
    reply = call(rest, method, path, b"x" if method in ("POST", "PUT") else None)
    assert reply.status == 405
    assert reply.headers["allow"] == allowed


def test_head_is_get_without_a_body(rest: Server) -> None:
    reply = call(rest, "HEAD", "/v2")
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["content-length"]) > 0


def test_an_unknown_compression(rest: Server) -> None:
    reply = call(rest, "POST", "/v2/models/echo/infer", b"x", {"Content-Encoding": "br"})
    assert reply.status == 415
    assert reply.headers["accept-encoding"] == "gzip, deflate"
    reply = call(rest, "POST", "/v2/models/echo/infer", b"x", {"Content-Encoding": "gzip"})
    assert reply.status == 400
    assert "cannot be decompressed" in reply.error
