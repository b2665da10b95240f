"""A handler that raises or answers nonsense: its client hears why, and its worker goes on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import grpc
import pytest
from anyserve import Client, errors
from anyserve.errors import InternalError, RequestError, ResourceExhaustedError
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Serve


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.faulty:app") as server:
        worker = server.wait_ready().workers()
        yield server
        assert server.workers() == worker, "the worker did not go on"


@pytest.mark.parametrize(
    ("error", "message", "heard"),
    [
        ("ValueError", "the reason", "ValueError: the reason"),
        ("KeyError", "x", "KeyError: 'x'"),
        ("AssertionError", "", "AssertionError: "),
        ("ValueError", "two\nlines, ä and 100 %", "ValueError: two\nlines, ä and 100 %"),
        ("ValueError", "a\x00b\x7f", "ValueError: a\x00b\x7f"),
        ("StrangeError", "", "StrangeError: (no message)"),
        ("RequestError", "no code", "RequestError: no code"),
    ],
)
def test_an_exception_is_an_internal_error_with_its_type_and_message(
    client: Client, server: Server, error: str, message: str, heard: str
) -> None:
    with pytest.raises(InternalError) as failure:
        client.infer("raise", parameters={"error": error, "message": message})
    assert str(failure.value) == heard
    assert server.stderr.find(re.compile("handler raises failed")) is not None


def test_the_traceback_is_in_the_log_and_not_with_the_client(client: Client, server: Server) -> None:
    with pytest.raises(InternalError) as failure:
        client.infer("raise", parameters={"error": "ValueError", "message": "unheard of"})
    assert "Traceback" not in str(failure.value)
    assert server.stderr.find(re.compile("ValueError: unheard of")) is not None
    assert "Traceback (most recent call last)" in server.stderr.text
    assert 'faulty.py", line' in server.stderr.text


def test_the_traceback_is_with_the_client_if_the_server_is_to_be_debugged(serve: Serve) -> None:
    with Client(serve("tests.apps.faulty:app", "--debug").address) as client:
        with pytest.raises(InternalError, match=r"^ValueError: why\nTraceback .*\n.*faulty.py\", line .*") as failure:
            client.infer("raise", parameters={"error": "ValueError", "message": "why"})
        assert "in raises" in str(failure.value)


CODES = [
    "InvalidArgumentError",
    "NotFoundError",
    "ResourceExhaustedError",
    "DeadlineExceededError",
    "UnavailableError",
    "UnimplementedError",
    "PermissionDeniedError",
    "UnauthenticatedError",
    "InternalError",
]


@pytest.mark.parametrize("name", CODES)
def test_an_error_with_a_code_reaches_the_client_as_it_is(client: Client, name: str) -> None:
    kind: type[RequestError] = getattr(errors, name)
    with pytest.raises(kind) as failure:
        client.infer("raise", parameters={"error": name, "message": "the reason"})
    assert type(failure.value) is kind
    assert str(failure.value) == "the reason"


def test_an_error_with_a_code_is_one_line_in_the_log(serve: Serve) -> None:
    server = serve("tests.apps.faulty:app")
    with Client(server.address) as client, pytest.raises(errors.NotFoundError):
        client.infer("raise", parameters={"error": "NotFoundError", "message": "the reason"}, request_id="17")
    assert server.stop() == 0
    [line] = server.stderr.text.splitlines()
    assert "WARN" in line
    assert "the reason" in line
    assert 'id="17" model="raise"' in line


def test_a_handler_says_when_to_try_again(client: Client) -> None:
    with pytest.raises(ResourceExhaustedError, match="later") as failure:
        client.infer("retry-after")
    assert failure.value.retry_after == 2.5


@pytest.mark.parametrize("times", [2000, 100_000])
def test_a_long_message_is_heard_as_far_as_it_goes(server: Server, client: Client, times: int) -> None:
    parameters = {"error": "ValueError", "message": "0123456789", "times": times}
    with pytest.raises(InternalError, match=r"^ValueError: 0123456789"):
        client.infer("raise", parameters=parameters)
    request = service_pb2.ModelInferRequest(model_name="raise")
    request.parameters["error"].string_param = "ValueError"
    request.parameters["message"].string_param = "0123456789"
    request.parameters["times"].int64_param = times
    with grpc.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.RpcError) as failure:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
        assert failure.value.code() is grpc.StatusCode.INTERNAL
        assert failure.value.details().startswith("ValueError: 0123456789")


def test_a_recursion_without_end_is_an_internal_error(client: Client) -> None:
    with pytest.raises(InternalError, match=r"^RecursionError: "):
        client.infer("recurse")


@pytest.mark.parametrize("what", ["None", "dict", "str", "ModelInferRequest", "type"])
def test_what_is_no_response_is_an_internal_error_that_names_it(client: Client, what: str) -> None:
    with pytest.raises(InternalError, match=f"^handler returns returned {what}; it must return a ModelInferResponse"):
        client.infer("return", parameters={"what": what})


@pytest.mark.parametrize(("is_set", "found"), [(False, 0), (True, 16)])
def test_an_output_that_is_not_of_its_shape_is_an_internal_error(client: Client, is_set: bool, found: int) -> None:
    with pytest.raises(InternalError, match=rf"output 'bad': shape \[3\] of FP32 needs 12 bytes, .* hold {found}"):
        client.infer("shape", parameters={"set": is_set})


def test_a_parameter_that_cannot_be_sent_is_an_internal_error_that_names_it(client: Client) -> None:
    with pytest.raises(InternalError, match=r"^TypeError: parameter 'bad' is a object"):
        client.infer("parameter")


def test_what_a_handler_prints_is_in_the_output_and_its_input_is_empty(client: Client, server: Server) -> None:
    client.infer("noise")
    assert server.stdout.find(re.compile("^said $")) is not None
    assert server.stderr.find(re.compile("^complained$")) is not None


def test_a_failed_request_does_not_delay_the_next(client: Client) -> None:
    for _ in range(100):
        with pytest.raises(InternalError):
            client.infer("return", parameters={"what": "None"})
        assert client.infer("fine")["pid"]
