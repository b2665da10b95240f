"""What a call and its requests say of what they want and until when, and messages that are not well formed."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError, InternalError, NotFoundError, ResourceExhaustedError

from tests.apps.stream_journal import Journal
from tests.streams import STATUS, Call, Servers, ask, number
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gate import Gate
    from tests.server import Server

MEBIBYTE = 1 << 20
STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # A stream that stalls for no reason fails before the test's watchdog does.
    with Servers("tests.apps.streaming", "--max-message-size", "4MiB", "--stream-stall-timeout", "3") as servers:
        yield servers["app"]


@pytest.fixture(scope="module")
def steered() -> Iterator[Server]:
    with Servers("tests.apps.stream_steered") as servers:
        yield servers["threads"]


def strings(response: Any) -> bytes:
    return bytes(response.infer_response.raw_output_contents[0])


def test_metadata_says_what_every_request_of_the_call_wants(server: Server) -> None:
    with Call(server, metadata=[("x-cap-type", "who")]) as call:
        call.send(ask("unary", 1), ask("nothing here", parameters={"cap.type": "unary"}))
        responses = call.rest()
    assert [strings(response)[4:] for response in responses] == [b"type=who"] * 4


def test_parameters_say_what_a_request_wants(server: Server) -> None:
    with Call(server) as call:
        first, second, answer = call.send(
            ask("nothing here", id="17", parameters={"cap.type": "who"}), ask("unary", 5)
        ).rest()
    assert strings(first)[4:] == strings(second)[4:] == b"type=who"
    assert first.infer_response.parameters["seen"].string_param == "17"
    assert number(answer) == 5


def test_the_own_client_says_what_it_wants(server: Server, client: Client) -> None:
    results = list(client.stream("nothing here", capability={"type": "who"}, timeout=60))
    assert [result["capability"] for result in results] == [[b"type=who"]] * 2
    assert [np.asarray(result["limited"]).tolist() for result in results] == [[True]] * 2
    with pytest.raises(NotFoundError):
        list(client.stream("unary", capability={"type": "nothing here"}))


def test_a_handler_knows_of_no_limit_if_there_is_none(server: Server, client: Client) -> None:
    assert np.asarray(next(client.stream("who"))["limited"]).tolist() == [False]


def test_the_time_of_a_call_ends_it(steered: Server, gate: Gate) -> None:
    with Call(steered, STATUS, timeout=0.5) as call:
        with pytest.raises(grpc.RpcError):
            call.send(ask("once", parameters=gate.parameters)).take()
        assert call.rpc.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    gate.open()


def test_the_time_of_a_request_ends_the_request_alone(steered: Server, gate: Gate, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    with Call(steered) as call:
        call.send(ask("halfway", id="1", parameters=gate.parameters))
        call.send(ask("silent", id="2", parameters={"timeout": 200_000, **journal.parameters}))
        first, error = sorted((call.take(), call.take()), key=lambda response: str(response.infer_response.id))
        assert re.match(r"the deadline passed after ", error.error_message)
        assert (first.error_message, error.infer_response.id) == ("", "2")
        journal.wait("told")
        gate.open()
        assert call.take().infer_response.id == "1"


def test_the_time_of_a_request_counts_from_the_request(server: Server) -> None:
    started = time.monotonic()
    with Call(server) as call:
        assert number(call.send(ask("unary", 1)).take()) == 1
        eventually(lambda: time.monotonic() > started + 1.0, "time has gone by")
        assert number(call.send(ask("unary", 2, parameters={"timeout": 900_000})).take()) == 2


def test_the_time_of_a_call_counts_for_every_request(server: Server) -> None:
    with Call(server, metadata=[("grpc-timeout", "1n")]) as call:
        [error] = call.send(ask("unary", 1)).rest()
    assert error.error_message == "the deadline had passed when the request came"


def test_the_own_client_gives_up_in_time(steered: Server, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    with Client(steered.address) as client:
        with pytest.raises(DeadlineExceededError):
            list(client.stream("silent", parameters=journal.parameters, timeout=0.3))
        journal.wait("told")
        results = client.stream("endless", parameters=journal.parameters, timeout=0.3)
        with pytest.raises(DeadlineExceededError):
            list(results)
        journal.wait("anyserve.errors.CancelledError")


@pytest.mark.parametrize("message", [b"\xff", b"\x0a\x05ab", b"\x2a\x02\x0a\x05", b"\x0a\x01\xff"])
def test_what_is_no_protobuf_ends_its_call(server: Server, message: bytes) -> None:
    with grpc.insecure_channel(server.address) as channel, Call(server) as other:
        other.send(ask("unary", 1))
        call = channel.stream_stream(STREAM_INFER)(iter([ask("sent", 0).SerializeToString(), message]))
        with pytest.raises(grpc.RpcError):
            list(call)
        assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "not valid protobuf" in call.details()
        assert [number(response) for response in other.send(ask("unary", 2)).rest()] == [1, 2]


def test_a_request_over_the_limit_ends_its_call_with_the_limit(server: Server) -> None:
    with Call(server) as call:
        assert number(call.send(ask("unary", 1)).take()) == 1
        with pytest.raises(grpc.RpcError):
            call.send(request_of(5 * MEBIBYTE)).take()
        assert call.rpc.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert f"limit of {4 * MEBIBYTE} bytes" in call.rpc.details()
        assert "--max-message-size" in call.rpc.details()
    with Call(server) as call:
        assert len(call.send(request_of(3 * MEBIBYTE)).rest()) == 1


def request_of(size: int) -> Any:
    """A request of about so many bytes."""
    request = ask("unary")
    request.ClearField("inputs")
    for name, datatype, shape, content in (("N", "INT64", 1, bytes(8)), ("x", "UINT8", size, bytes(size))):
        request.inputs.add(name=name, datatype=datatype, shape=[shape])
        request.raw_input_contents.append(content)
    return request


def test_the_own_client_hears_of_the_limit(client: Client) -> None:
    with pytest.raises(ResourceExhaustedError, match=f"limit of {4 * MEBIBYTE} bytes"):
        list(client.stream("unary", {"N": [1], "x": np.zeros(5 * MEBIBYTE, np.uint8)}))


def test_large_responses_arrive_whole(client: Client) -> None:
    sizes = [3 * MEBIBYTE, 3 * MEBIBYTE + 1, 2 * MEBIBYTE, 3 * MEBIBYTE]
    results = [np.asarray(result["OUT"]) for result in client.stream("large", {"N": sizes})]
    assert [result.size for result in results] == sizes
    assert all((result == result.size % 251).all() for result in results)


def test_a_response_over_the_limit_ends_the_stream_with_the_limit(client: Client) -> None:
    results = client.stream("large", {"N": [10, 5 * MEBIBYTE]})
    assert np.asarray(next(results)["OUT"]).size == 10
    with pytest.raises(InternalError, match=rf"a response of \d+ bytes is over the limit of {4 * MEBIBYTE}"):
        next(results)


@pytest.mark.parametrize("sizes", [[10, MEBIBYTE], [MEBIBYTE // 3, MEBIBYTE], [10] * 20 + [2 * MEBIBYTE]], ids=str)
def test_a_large_response_may_follow_a_small_one(client: Client, sizes: list[int]) -> None:
    results = client.stream("large", {"N": sizes})
    assert [np.asarray(result["OUT"]).size for result in results] == sizes


def test_outputs_that_were_not_requested_hold_nothing_up(client: Client) -> None:
    results = client.stream("large", {"N": [100_000] * 50}, outputs=["SIZE"])
    assert [np.asarray(result["SIZE"]).item() for result in results] == [100_000] * 50


def test_the_priority_of_a_request_is_heard(server: Server) -> None:
    with Call(server, STATUS) as call:
        assert call.send(ask("sent", 2, parameters={"priority": 1}), ask("sent", 1, parameters={"priority": 9})).rest()
