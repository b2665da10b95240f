"""Requests as JSON, passed on to real agents."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_server.conftest import StartApiServer
from tests.api_server.process import ApiServer
from tests.api_server.raw import connect, read_all
from tests.conftest import Serve
from tests.gate import Gate
from tests.server import Server
from tests.waiting import eventually

FAILS = {"inputs": {"N": 2}, "parameters": {"after": 2, "error": "ValueError", "message": "so it is"}}
TEXT = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["hello"]}


@pytest.fixture(scope="module")
def shared_api(basic: Server) -> Iterator[ApiServer]:
    """One that knows an agent of examples/basic."""
    with ApiServer() as server:
        server.put("a", {"type": "echo"}, {"type": "add"}, endpoint=basic.address)
        yield server


@pytest.fixture
def api(shared_api: ApiServer) -> ApiServer:
    return shared_api


def test_the_short_form(api: ApiServer) -> None:
    answer = api.http.post("/infer", headers={"x-cap-type": "echo"}, json={"id": "7", "inputs": {"text": ["hello"]}})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"id": "7", "outputs": {"output_text": ["hello"]}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([1, 2], [1, 2]),
        ([[1.5, 2.5], [3.5, 4.5]], [[1.5, 2.5], [3.5, 4.5]]),
        (7, [7]),
        ("text", ["text"]),
        ([True, False], [True, False]),
        ([["ä", "b"]], [["ä", "b"]]),
        (2**62, [2**62]),
    ],
)
def test_values_of_the_short_form(api: ApiServer, given: Any, expected: Any) -> None:
    answer = api.http.post("/infer", headers={"x-cap-type": "echo"}, json={"inputs": {"x": given}})
    assert answer.json() == {"id": "", "outputs": {"output_x": expected}}


@pytest.mark.parametrize("given", [None, {"a": 1}, [[1, 2], [3]], [1, "x"], [2**70], []])
def test_values_that_are_no_tensors(api: ApiServer, given: Any) -> None:
    answer = api.http.post("/infer", headers={"x-cap-type": "echo"}, json={"inputs": {"x": given}})
    assert answer.status_code == 400 or (given == [] and answer.status_code == 200), answer.text


def test_kserves_form(api: ApiServer) -> None:
    answer = api.http.post("/infer", headers={"x-cap-type": "echo"}, json={"id": "7", "inputs": [TEXT]})
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    assert (output["name"], output["datatype"], output["shape"], output["data"]) == (
        "output_text",
        "BYTES",
        [1],
        ["hello"],
    )
    assert answer.json()["id"] == "7"


def test_what_is_wanted_may_be_a_parameter(api: ApiServer) -> None:
    body = {"inputs": {"text": "x"}, "parameters": {"cap.type": "echo"}}
    assert api.http.post("/infer", json=body).status_code == 200
    # Headers come first.
    refused = api.http.post("/infer", json=body, headers={"x-cap-type": "nothing"})
    assert refused.status_code == 404
    assert "{type: nothing}" in refused.json()["error"]


def test_nothing_is_wanted(api: ApiServer) -> None:
    answer = api.http.post("/infer", json={"inputs": {"text": "x"}})
    assert answer.status_code == 400
    assert "x-cap-type" in answer.json()["error"]


def test_errors_of_the_handler(api: ApiServer) -> None:
    body = {"inputs": {"a": [1.0, 2.0], "b": [1.0]}}
    answer = api.http.post("/infer", headers={"x-cap-type": "add"}, json=body)
    assert answer.status_code == 400
    assert "they must be equal" in answer.json()["error"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("ValueError", 500),
        ("NotFoundError", 404),
        ("ResourceExhaustedError", 429),
        ("UnavailableError", 503),
        ("DeadlineExceededError", 504),
        ("PermissionDeniedError", 403),
        ("UnauthenticatedError", 401),
        ("FailedPreconditionError", 400),
        ("UnimplementedError", 501),
    ],
)
def test_the_status_of_each_error(faulty: ApiServer, error: str, status: int) -> None:
    parameters = {"error": error, "message": "so it is"}
    for path in ("/infer", "/infer/stream"):
        body = {"inputs": {"x": 1}, "parameters": parameters}
        answer = faulty.http.post(path, headers={"x-cap-type": "raise"}, json=body)
        assert answer.status_code == status, answer.text
        assert "so it is" in answer.json()["error"]


def test_when_to_try_again(faulty: ApiServer) -> None:
    answer = faulty.http.post("/infer", headers={"x-cap-type": "retry-after"}, json={"inputs": {"x": 1}})
    assert answer.status_code == 429
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("3", "2500")


@pytest.fixture(scope="module")
def faulty() -> Iterator[ApiServer]:
    with Server("tests.apps.faulty:app") as server, ApiServer() as api:
        server.wait_ready()
        api.put("f", {"type": "raise"}, {"type": "retry-after"}, endpoint=server.address)
        yield api


def test_a_stream(start_api: StartApiServer, serve: Serve) -> None:
    server, api = serve("tests.apps.streaming:app"), start_api()
    api.put("s", {"type": "yielded"}, {"type": "unary"}, endpoint=server.address)
    body = {"inputs": [{"name": "N", "datatype": "INT32", "shape": [1], "data": [3]}]}
    with api.events("POST", "/infer/stream", json=body, headers={"x-cap-type": "yielded"}) as events:
        numbers = [events.next()[1]["outputs"][1]["data"] for _ in range(3)]
        assert events.ended()
    assert numbers == [[0], [1], [4]]
    with api.events("POST", "/infer/stream", json={"inputs": {"N": 4}}, headers={"x-cap-type": "unary"}) as events:
        assert events.next() == ("message", {"id": "", "outputs": {"OUT": [4], "SQUARE": [16]}})
        assert events.ended()


def test_an_error_in_the_middle_of_a_stream(start_api: StartApiServer, serve: Serve) -> None:
    server, api = serve("tests.apps.stream_faulty:app"), start_api()
    api.put("s", {"type": "raises"}, endpoint=server.address)
    with api.events("POST", "/infer/stream", json=FAILS, headers={"x-cap-type": "raises"}) as events:
        seen: list[tuple[str, Any]] = []
        while not seen or seen[-1][0] == "message":
            seen.append(events.next())
        assert events.ended()
    assert seen[-1][0] == "error"
    assert seen[-1][1]["status"] == 500


@pytest.mark.parametrize("path", ["/infer", "/infer/stream"])
def test_a_client_that_leaves_cancels_its_request(
    start_api: StartApiServer, serve: Serve, gate: Gate, path: str
) -> None:
    server, api = serve("tests.apps.gated:app"), start_api()
    api.put("g", {"type": "watchful"}, endpoint=server.address)
    body = json.dumps({"inputs": {"x": 1}, "parameters": gate.parameters}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nx-cap-type: watchful\r\ncontent-length: {len(body)}\r\n\r\n"
    with connect(api) as raw:
        raw.sendall(head.encode() + body)
        gate.wait_entered()
    gate.wait_cancelled()
    eventually(
        lambda: api.metric("anyserve_api_requests_total", method="POST", route=path, status="499") == 1, "it is counted"
    )


def test_a_client_that_leaves_a_stream_cancels_it(start_api: StartApiServer, serve: Serve) -> None:
    server, api = serve("tests.apps.streaming:app"), start_api()
    api.put("s", {"type": "slow"}, endpoint=server.address)
    with api.events("POST", "/infer/stream", json={"inputs": {"N": 100_000}}, headers={"x-cap-type": "slow"}) as events:
        events.next()
        events.next()
    # The one worker is free again at once, and not after half an hour.
    with api.events("POST", "/infer/stream", json={"inputs": {"N": 1}}, headers={"x-cap-type": "slow"}) as events:
        events.next()
        assert events.ended()


def test_a_replica_that_cannot_be_reached_is_passed_over(api: ApiServer, basic: Server) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{closed.getsockname()[1]}"
        api.put("b", {"type": "echo"}, endpoint=dead)
        api.put("c", {"type": "lonely"}, endpoint=dead)
        try:
            for path in ("/infer", "/infer/stream"):
                for _ in range(4):
                    answer = api.http.post(path, headers={"x-cap-type": "echo"}, json={"inputs": {"text": "x"}})
                    assert answer.status_code == 200, answer.text
            answer = api.http.post("/infer", headers={"x-cap-type": "lonely"}, json={"inputs": {"text": "x"}})
            assert answer.status_code == 503
            assert dead in answer.json()["error"]
            assert answer.headers["retry-after"]
        finally:
            api.http.delete("/replicas/b")
            api.http.delete("/replicas/c")


def test_requests_over_the_limit(start_api: StartApiServer, basic: Server) -> None:
    api = start_api("--max-message-size", "64KiB")
    api.put("a", {"type": "echo"}, endpoint=basic.address)
    fits = api.http.post("/infer", headers={"x-cap-type": "echo"}, json={"inputs": {"text": "x" * 60_000}})
    assert fits.status_code == 200
    refused = api.http.post("/infer", headers={"x-cap-type": "echo"}, json={"inputs": {"text": "x" * 70_000}})
    assert refused.status_code == 413
    assert "--max-message-size" in refused.json()["error"]


def test_large_requests(api: ApiServer) -> None:
    numbers = list(range(300_000))
    body = {"inputs": [{"name": "x", "datatype": "INT32", "shape": [300_000], "data": numbers}]}
    answer = api.http.post("/infer", headers={"x-cap-type": "echo"}, json=body)
    assert answer.json()["outputs"][0]["data"] == numbers


def test_pipelined_requests(api: ApiServer) -> None:
    body = b'{"inputs":{"text":"x"}}'
    head = b"POST /infer HTTP/1.1\r\nhost: x\r\nx-cap-type: echo\r\ncontent-length: %d\r\n" % len(body)
    with connect(api) as raw:
        raw.sendall((head + b"\r\n" + body) * 3 + head + b"connection: close\r\n\r\n" + body)
        assert read_all(raw).count(b'{"output_text":["x"]}') == 4
