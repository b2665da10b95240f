"""Triton's generate extension: flat JSON in and out, one response or a stream of events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.rest.conftest import Reply, call, connect
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.gate import Gate
    from tests.server import Server


def generate(server: Server, model: str, how: str = "generate", **members: Any) -> Reply:
    return call(server, "POST", f"/v2/models/{model}/{how}", members)


def events(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    parts = reply.body.split(b"\n\n")
    assert parts.pop() == b""
    return [json.loads(part.removeprefix(b"data: ")) for part in parts]


def test_one_response(rest: Server) -> None:
    reply = generate(rest, "upper", text_input="hi", id="7", share=0.5, parameters={"n": 3})
    assert reply.status == 200
    assert reply.json() == {
        "id": "7",
        "model_name": "upper",
        "model_version": "",
        "n": 3,
        "rank": 2,
        "share": 0.5,
        "text_output": "HI",
    }


def test_arrays(rest: Server) -> None:
    reply = generate(rest, "upper", text_input=["a", "b"])
    assert reply.json()["text_output"] == ["A", "B"]


def test_where_nothing_is_declared_json_says_what_it_is(rest: Server) -> None:
    reply = generate(rest, "echo", a="x", b=[1, 2], c=True, d=1.5, parameters={"e": "p"})
    assert {name: reply.json()[name] for name in "abcde"} == {"a": "x", "b": [1, 2], "c": True, "d": 1.5, "e": "p"}


def test_a_stream(rest: Server) -> None:
    found = events(generate(rest, "llm", "generate_stream", text_input="one two three", max_tokens=2))
    assert [event["text_output"] for event in found] == ["one", "two"]
    assert found[0] == {"model_name": "llm", "model_version": "", "text_output": "one"}


def test_a_stream_of_one(rest: Server) -> None:
    [event] = events(generate(rest, "upper", "generate_stream", text_input="hi"))
    assert event["text_output"] == "HI"


def test_a_stream_of_nothing(rest: Server) -> None:
    assert events(generate(rest, "llm", "generate_stream", text_input="")) == []


def test_an_error_before_the_first_response_has_a_status(rest: Server) -> None:
    reply = generate(rest, "llm", "generate_stream", text_input="bad", bad="bad")
    assert (reply.status, reply.error) == (500, "ValueError: bad is a bad word")
    reply = generate(rest, "nothing", "generate_stream", text_input="x")
    assert reply.status == 404


def test_an_error_later_is_an_event(rest: Server) -> None:
    *found, last = events(generate(rest, "llm", "generate_stream", text_input="one two bad", bad="bad"))
    assert [event["text_output"] for event in found] == ["one", "two"]
    assert last == {"error": "ValueError: bad is a bad word"}


def test_a_capability_that_streams_has_no_single_response(rest: Server) -> None:
    reply = generate(rest, "llm", text_input="x")
    assert reply.status == 501
    assert "generate_stream" in reply.error


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"text_input": 5}, "'text_input' is a number; it must be a string"),
        ({"text_input": "x", "other": [1]}, "parameter 'other' is an array"),
        ({"text_input": "x", "other": None}, "parameter 'other' is null"),
        ({"text_input": "x", "parameters": 5}, "'parameters' is a number"),
    ],
)
@pytest.mark.parametrize("how", ["generate", "generate_stream"])
def test_what_it_does_not_take(rest: Server, how: str, members: dict[str, Any], message: str) -> None:
    reply = generate(rest, "upper", how, **members)
    assert reply.status == 400
    assert message in reply.error


def test_events_come_as_they_are_made_and_a_client_that_leaves_cancels(rest: Server, gate: Gate) -> None:
    body = json.dumps({"text_input": "one", "parameters": gate.parameters}).encode()
    head = f"POST /v2/models/llm/generate_stream HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with connect(rest) as connection:
        connection.sendall(head.encode() + body)
        received = b""
        while b'"text_output":"one"' not in received:
            received += connection.recv(65536)
        gate.wait_entered()
    gate.wait_cancelled()
    eventually(lambda: call(rest, "GET", "/v2/health/ready").status == 200, "it goes on")
