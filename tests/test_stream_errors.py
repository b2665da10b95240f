"""Errors on a call of many requests: in-band, where the call goes on, or, for those who ask, as its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
from anyserve import Client
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException

from tests.streams import EMPTY_FINAL, STATUS, Call, Servers, ask, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server import Server


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers("tests.apps.streaming") as servers:
        yield servers


@pytest.fixture(scope="module")
def faulty() -> Iterator[Servers]:
    with Servers("tests.apps.stream_faulty") as servers:
        yield servers


@pytest.fixture(params=["app", "loop"])
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    return servers[request.param]


def failing(message: str = "the reason") -> dict[str, Any]:
    return {"error": "NotFoundError", "message": message, "after": 2}


def test_an_error_names_its_request_and_the_call_goes_on(server: Server) -> None:
    with Call(server) as call:
        for _ in range(3):
            call.send(ask("unary", 1, id="bad", parameters={"bad": True}), ask("unary", 2, id="good"))
            error, good = call.take(), call.take()
            assert error.error_message == "ValueError: a bad request"
            assert (error.infer_response.id, error.infer_response.model_name) == ("bad", "unary")
            assert not error.infer_response.outputs
            assert number(good) == 2
        assert call.rest() == []


REFUSED = [
    (ask("nothing here", id="17"), "{type: nothing here}"),
    (ask("", id="17"), "names no capability"),
    (ask("unary", id="17", parameters={"priority": 99}), "parameter 'priority' is 99"),
    (ask("unary", id="17", parameters={"timeout": -1}), "parameter 'timeout' must be"),
    (ask("sent", 1, id="17", outputs=["NO"]), "output 'NO' was requested, but the handler gave 'OUT', 'SQUARE'"),
    (ask("unary", 1, id="17", outputs=["NO"]), "output 'NO' was requested, but the handler gave 'OUT', 'SQUARE'"),
    (ask("sent", id="17"), "IndexError: "),
]


@pytest.mark.parametrize(("request_", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_a_request_that_is_refused_is_an_error_of_its_own(server: Server, request_: Any, reason: str) -> None:
    with Call(server) as call:
        call.send(request_, ask("sent", 3, id="18"))
        responses = call.rest()
    [error] = [response for response in responses if response.infer_response.id == "17"]
    assert reason in error.error_message
    assert [number(response) for response in responses if response.infer_response.id == "18"] == [0, 1, 2]


def test_contents_that_are_malformed_are_an_error_of_the_request(server: Server) -> None:
    bad = ask("unary", 1, 2, id="17")
    bad.inputs[0].shape[0] = 3
    with Call(server) as call:
        error, good = call.send(bad, ask("unary", 5)).rest()
    assert "input 'N': shape [3] of INT64 needs 24 bytes, but the contents hold 16" in error.error_message
    assert error.infer_response.id == "17"
    assert number(good) == 5


@pytest.mark.parametrize(("app", "model"), [("app", "raises"), ("loop", "raises"), ("loop", "async-raises-yielding")])
def test_a_stream_that_fails_ends_with_its_error_and_no_final_response(faulty: Servers, app: str, model: str) -> None:
    with Call(faulty[app]) as call:
        call.send(ask(model, id="17", parameters={**failing(), **EMPTY_FINAL}))
        responses = [call.take() for _ in range(3)]
        assert [response.error_message for response in responses] == ["", "", "the reason"]
        call.send(ask("fine", id="18"))
        assert call.take().infer_response.id == "18"
        assert call.rest() == []


@pytest.mark.parametrize("app", ["app", "loop"])
def test_an_error_without_a_message_is_an_error_still(faulty: Servers, app: str) -> None:
    with Call(faulty[app]) as call:
        *_, error = call.send(ask("raises", id="17", parameters=failing(""))).rest()
    assert error.error_message != ""


@pytest.mark.parametrize("value", ["false", "1", "True", ""])
def test_other_metadata_leaves_errors_in_band(servers: Servers, value: str) -> None:
    with Call(servers["app"], metadata=[("triton_grpc_error", value)]) as call:
        error, good = call.send(ask("nothing here"), ask("unary", 1)).rest()
    assert error.error_message
    assert number(good) == 1


def test_an_error_is_the_end_of_the_call_if_that_was_asked_for(server: Server) -> None:
    with Call(server, STATUS) as call:
        call.send(ask("unary", 1), ask("unary", 1, parameters={"bad": True}), ask("unary", 2))
        assert number(call.take()) == 1
        with pytest.raises(grpc.RpcError):
            call.take()
        assert call.rpc.code() is grpc.StatusCode.INTERNAL
        assert call.rpc.details() == "ValueError: a bad request"


def test_a_refusal_is_the_end_of_the_call_if_that_was_asked_for(server: Server) -> None:
    with Call(server, STATUS) as call:
        with pytest.raises(grpc.RpcError):
            call.send(ask("nothing here")).take()
        assert call.rpc.code() is grpc.StatusCode.NOT_FOUND
        assert "{type: nothing here}" in call.rpc.details()


@pytest.mark.parametrize("app", ["app", "loop"])
def test_the_end_of_the_call_has_the_code_and_when_to_try_again(faulty: Servers, app: str) -> None:
    with Call(faulty[app], STATUS) as call:
        call.send(ask("raises-yielding", parameters={"error": "retry", "message": "later", "after": 2}))
        assert [call.take().error_message for _ in range(2)] == ["", ""]
        with pytest.raises(grpc.RpcError):
            call.take()
        assert call.rpc.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert call.rpc.details() == "later"
        assert ("retry-after-ms", "2500") in {tuple(item) for item in call.rpc.trailing_metadata()}


def test_errors_end_only_their_own_call(server: Server) -> None:
    with Call(server, STATUS) as bad, Call(server) as good:
        good.send(ask("sent", 1))
        assert good.numbers(1) == [0]
        with pytest.raises(grpc.RpcError):
            bad.send(ask("nothing here")).take()
        good.send(ask("sent", 2))
        assert good.numbers(2) == [0, 1]


def test_tritonclient_hears_errors_in_band_and_as_the_end(server: Server) -> None:
    made = tritonclient.grpc.InferInput("N", [1], "INT64")
    made.set_data_from_numpy(np.array([1]))
    for headers, status in (({}, None), ({"triton_grpc_error": "true"}, "StatusCode.NOT_FOUND")):
        heard: list[tuple[Any, Any]] = []
        with tritonclient.grpc.InferenceServerClient(server.address) as triton:
            triton.start_stream(lambda result, error, heard=heard: heard.append((result, error)), headers=headers)
            triton.async_stream_infer("nothing here", [made])
            triton.stop_stream()
        [(result, error)] = heard
        assert result is None
        assert isinstance(error, InferenceServerException)
        assert error.status() == status
        assert "{type: nothing here}" in error.message()


@pytest.mark.parametrize(("app", "model"), [("app", "sent"), ("app", "yielded"), ("loop", "async-yielded")])
def test_a_handler_that_streams_cannot_be_called_for_one_response(servers: Servers, app: str, model: str) -> None:
    with grpc.insecure_channel(servers[app].address) as channel:
        with pytest.raises(grpc.RpcError) as failure:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(ask(model, 1))
        assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert failure.value.details() == (
            f"{{type: {model}}} streams its responses: call it by ModelStreamInfer (client.stream; "
            "generate_stream over REST), not ModelInfer"
        )


def test_a_handler_with_one_response_may_be_called_as_a_stream(server: Server) -> None:
    with Client(server.address) as client:
        [result] = client.stream("unary", {"N": [7]}, request_id="17", outputs=["OUT"])
    assert result.response.id == "17"
    assert {name: np.asarray(value).tolist() for name, value in result.items()} == {"OUT": [7]}
