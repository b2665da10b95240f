"""ModelStreamInfer: many requests on one call, in which order they are answered, and how each of them ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anyserve import Client

from tests.gate import Gate
from tests.streams import EMPTY_FINAL, Call, Servers, ask, is_final, number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.server import Server

APPS = ["app", "threads", "loop"]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers("tests.apps.streaming") as servers:
        yield servers


@pytest.fixture(params=APPS)
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    return servers[request.param]


@pytest.fixture
def call(server: Server) -> Iterator[Call]:
    with Call(server) as call:
        yield call


@pytest.fixture(scope="module")
def steered() -> Iterator[Servers]:
    with Servers("tests.apps.stream_steered") as servers:
        yield servers


def id_of(response: Any) -> str:
    return str(response.infer_response.id)


def test_a_call_without_requests_ends(call: Call) -> None:
    assert call.rest() == []


def test_each_response_of_a_stream_says_that_it_is_not_the_last(call: Call) -> None:
    responses = call.send(ask("yielded", 3)).rest()
    assert [is_final(response) for response in responses] == [False] * 3


def test_the_only_response_says_that_it_is_the_last(call: Call) -> None:
    [response] = call.send(ask("unary", 3, parameters=EMPTY_FINAL)).rest()
    assert is_final(response)
    assert number(response) == 3


@pytest.mark.parametrize("count", [0, 1, 200])
def test_an_empty_response_says_that_a_stream_is_over_if_that_was_asked_for(call: Call, count: int) -> None:
    *responses, last = call.send(ask("sent", count, id="17", parameters=EMPTY_FINAL)).rest()
    assert [is_final(response) for response in responses] == [False] * count
    assert is_final(last)
    assert last.error_message == ""
    assert (last.infer_response.id, last.infer_response.model_name) == ("17", "sent")
    assert not last.infer_response.outputs
    assert not last.infer_response.raw_output_contents


def test_nothing_says_that_a_stream_is_over_if_nobody_asked(call: Call) -> None:
    parameters = {"triton_enable_empty_final_response": False}
    call.send(ask("sent", 0, id="1"), ask("sent", 1, id="2", parameters=parameters), ask("unary", 5, id="3"))
    assert sorted((id_of(response), is_final(response)) for response in call.rest()) == [("2", False), ("3", True)]


def test_a_call_goes_on_from_request_to_request(call: Call) -> None:
    for value in range(50):
        call.send(ask("unary", value), ask("sent", 2))
        seen = sorted((is_final(response), number(response)) for response in (call.take() for _ in range(3)))
        assert seen == [(False, 0), (False, 1), (True, value)]


def test_requests_with_one_response_are_answered_in_the_order_they_came(call: Call) -> None:
    call.send(*(ask("unary", value, id=str(value)) for value in range(500)))
    responses = call.rest()
    assert [number(response) for response in responses] == list(range(500))
    assert [id_of(response) for response in responses] == [str(value) for value in range(500)]


@pytest.mark.parametrize("app", ["threads", "loop"])
def test_an_answer_waits_for_those_before_it(steered: Servers, app: str, gate: Gate, tmp_path: Path) -> None:
    second = Gate(tmp_path / "second")
    second.open()
    with Call(steered[app]) as call, Client(steered[app].address) as client:
        call.send(ask("once", id="1", parameters=gate.parameters))
        gate.wait_entered()
        call.send(ask("once", id="2", parameters=second.parameters), ask("nothing here", id="3"))
        call.send(ask("endless", id="4", parameters={"count": 2}))
        # Streams have no turn.
        assert [id_of(call.take()) for _ in range(2)] == ["4", "4"]
        second.wait_entered()
        client.infer("quick")
        gate.open()
        responses = call.rest()
    assert [id_of(response) for response in responses] == ["1", "2", "3"]
    assert [bool(response.error_message) for response in responses] == [False, False, True]


@pytest.mark.parametrize("app", APPS)
def test_any_number_of_answers_wait_for_the_first(steered: Servers, app: str, gate: Gate) -> None:
    with Call(steered[app]) as call:
        call.send(ask("once", id="0", parameters=gate.parameters))
        call.send(*(ask("quick", id=str(number)) for number in range(1, 1000)))
        gate.wait_entered()
        gate.open()
        assert [id_of(response) for response in call.rest()] == [str(number) for number in range(1000)]


@pytest.mark.parametrize("app", ["threads", "loop"])
def test_streams_of_one_call_are_interleaved(steered: Servers, app: str, gate: Gate, tmp_path: Path) -> None:
    second = Gate(tmp_path / "second")
    with Call(steered[app]) as call:
        for id, each in (("1", gate), ("2", second)):
            call.send(ask("halfway", id=id, parameters=each.parameters))
        assert {id_of(call.take()), id_of(call.take())} == {"1", "2"}
        second.open()
        assert id_of(call.take()) == "2"
        gate.open()
        assert id_of(call.take()) == "1"
        assert call.rest() == []


@pytest.mark.parametrize("app", APPS)
def test_after_a_half_close_everything_is_still_answered(steered: Servers, app: str, gate: Gate) -> None:
    with Call(steered[app]) as call:
        call.send(ask("halfway", id="1", parameters=gate.parameters))
        assert id_of(call.take()) == "1"
        call.send(ask("quick", id="2"), ask("endless", id="3", parameters={"count": 3})).half_close()
        gate.wait_entered()
        gate.open()
        assert sorted(id_of(response) for response in call) == ["1", "2", "3", "3", "3"]


def test_many_calls_of_many_requests(server: Server) -> None:
    calls = [Call(server) for _ in range(8)]
    for index, call in enumerate(calls):
        call.send(*(ask("yielded", 100, id=f"{index}-{number}") for number in range(5))).half_close()
    for index, call in enumerate(calls):
        with call:
            seen: dict[str, list[int]] = {f"{index}-{number}": [] for number in range(5)}
            for response in call:
                seen[id_of(response)].append(number(response))
            assert all(numbers == list(range(100)) for numbers in seen.values())


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_requests_may_be_compressed(server: Server, compression: str) -> None:
    import tritonclient.grpc

    heard: list[Any] = []
    made = tritonclient.grpc.InferInput("N", [1], "INT64")
    made.set_data_from_numpy(np.array([3]))
    with tritonclient.grpc.InferenceServerClient(server.address) as triton:
        triton.start_stream(lambda result, error: heard.append(result), compression_algorithm=compression)
        triton.async_stream_infer("sent", [made], enable_empty_final_response=True)
        triton.stop_stream()
    assert [result.get_response().parameters["triton_final_response"].bool_param for result in heard] == [
        False,
        False,
        False,
        True,
    ]
