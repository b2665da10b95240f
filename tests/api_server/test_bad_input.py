"""Garbage and oversize: every answer is an error that says what was wrong, and the server stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_server.process import ApiServer
from tests.api_server.raw import connect, exchange, parse, read_all

JSON_ENDPOINTS = [
    ("POST", "/register"),
    ("PUT", "/replicas/a"),
    ("POST", "/infer"),
    ("POST", "/infer/stream"),
    ("POST", "/v2/models/m/infer"),
    ("POST", "/v2/models/m/generate"),
    ("POST", "/v2/models/m/generate_stream"),
    ("POST", "/v2/models/m/versions/1/infer"),
]

GARBAGE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe\x00",
    b'{"inputs": 5}',
    b'{"replica_id": 5, "endpoint": [], "capabilities": {}}',
    b'{"inputs": [{"name": "x"}]}',
    b'{"inputs": {"x": {"y": {}}}}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"inputs": {"x": ' + b"[" * 50_000,
    b'{"inputs": [' + b"1" * 50_000 + b"]}",
]


@pytest.fixture(autouse=True)
def still_there(api: ApiServer) -> Iterator[None]:
    """Whatever came, the server goes on, and knows only what it should."""
    yield
    assert api.process.poll() is None
    assert api.http.get("/health").json()["status"] == "ok"
    assert "Traceback" not in api.stderr.text


@pytest.mark.parametrize(("method", "path"), JSON_ENDPOINTS)
@pytest.mark.parametrize("body", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage(api: ApiServer, method: str, path: str, body: bytes) -> None:
    answer = api.http.request(method, path, content=body, headers={"x-cap-type": "x"})
    assert answer.status_code in (400, 404), answer.text
    assert list(answer.json()) == ["error"]
    assert 5 < len(answer.json()["error"]) < 2000


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"replica_id": "a/b"}, "replica_id"),
        ({"replica_id": ""}, "replica_id"),
        ({"replica_id": "x" * 129}, "replica_id"),
        ({"replica_id": "é"}, "replica_id"),
        ({"endpoint": "nowhere"}, "endpoint"),
        ({"endpoint": "host:0"}, "host:0"),
        ({"endpoint": "host:70000"}, "host:70000"),
        ({"endpoint": "a b:80"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"incarnation": -1}, "incarnation"),
        ({"incarnation": 2**64}, "incarnation"),
        ({"incarnation": 1.5}, "incarnation"),
        ({"capabilities": None}, "capabilities"),
        ({"capabilities": [{}]}, "capabilities"),
        ({"capabilities": [{"Bad Key!": "x"}]}, "Bad Key!"),
        ({"capabilities": [{"type": {"a": 1}}]}, "capabilities"),
        ({"capabilities": [{"type": "x" * 257}]}, "256"),
        ({"capabilities": [{f"k{number}": 1 for number in range(33)}]}, "32"),
        ({"capabilities": [{"n": number} for number in range(1025)]}, "1024"),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/register", "/replicas/a"])
def test_what_is_no_replica(api: ApiServer, path: str, change: dict[str, Any], part: str) -> None:
    body = {"replica_id": "a", "endpoint": "127.0.0.1:9", "capabilities": [{"type": "x"}], **change}
    answer = api.http.request("POST" if path == "/register" else "PUT", path, json=body)
    assert answer.status_code == 400, answer.text
    assert part in answer.json()["error"]
    assert api.ids() == []


@pytest.mark.parametrize("lease", [0, 0.5, -1, 3601, "soon", 1e999, float("nan")])
def test_leases_that_are_not_allowed(api: ApiServer, lease: Any) -> None:
    body = json.dumps({"endpoint": "h:1", "capabilities": [], "lease_seconds": lease})
    answer = api.http.put("/replicas/a", content=body)
    assert answer.status_code == 400
    assert "lease_seconds" in answer.json()["error"] or "body" in answer.json()["error"]


def test_a_body_of_another_replica(api: ApiServer) -> None:
    answer = api.http.put("/replicas/a", json={"replica_id": "b", "endpoint": "h:1", "capabilities": []})
    assert answer.status_code == 400
    assert "'b'" in answer.json()["error"]


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("", "/route?type="),
        ("type=a&type=b", "'type'"),
        ("Bad%20Key=1", "Bad Key"),
        ("type=" + "x" * 300, "256"),
        ("&".join(f"k{number}=1" for number in range(33)), "32"),
        ("type=%ff", "UTF-8"),
        ("=x", "key"),
    ],
)
def test_queries_that_are_none(api: ApiServer, query: str, part: str) -> None:
    for path in ("/route", "/replicas") if query else ("/route",):
        answer = api.http.get(f"{path}?{query}")
        assert answer.status_code == 400, answer.text
        assert part in answer.json()["error"]


def test_unknown_paths_and_methods(api: ApiServer) -> None:
    unknown = api.http.get("/nothing/here")
    assert unknown.status_code == 404
    assert "/openapi.json" in unknown.json()["error"]
    wrong = api.http.post("/route")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    assert api.http.get("/console/../settings.py").status_code == 404
    assert api.http.get("/console/%2e%2e%2fsettings.py").status_code == 404


@pytest.mark.parametrize(("method", "path"), [*JSON_ENDPOINTS, ("DELETE", "/replicas/a")])
def test_bodies_that_say_they_are_too_large(api: ApiServer, method: str, path: str) -> None:
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999999\r\n\r\n"
    status, error = parse(exchange(api, head.encode()))
    assert status == 413
    assert "over the limit" in error["error"]


def test_bodies_that_turn_out_too_large(api: ApiServer) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with connect(api) as raw:
        raw.sendall(b"PUT /replicas/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            for _ in range(64):
                raw.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            return
        assert b"413" in read_all(raw)[:20]


@pytest.mark.parametrize(
    "text",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /route?\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /infer HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"POST /infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http(api: ApiServer, text: bytes) -> None:
    answer = exchange(api, text)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer


def test_heads_that_are_too_long(api: ApiServer) -> None:
    status, error = parse(exchange(api, b"GET / HTTP/1.1\r\nx: " + b"y" * 33_000))
    assert status == 431
    assert "32768" in error["error"]
    status, _ = parse(exchange(api, b"GET /" + b"y" * 40_000))
    assert status == 431


def test_pages_of_other_sites_change_nothing(api: ApiServer) -> None:
    body = {"endpoint": "h:1", "capabilities": [{"type": "x"}]}
    refused = api.http.put("/replicas/a", json=body, headers={"origin": "https://evil.example"})
    assert refused.status_code == 403
    assert "evil.example" in refused.json()["error"]
    assert api.http.put("/replicas/a", json=body, headers={"origin": api.url}).status_code == 200
