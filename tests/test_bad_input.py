"""Requests that are not well formed end with a code and a reason, and leave the server as it was."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from anyserve import Client
from anyserve.errors import InternalError, InvalidArgumentError, ResourceExhaustedError
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
INFER = "/inference.GRPCInferenceService/ModelInfer"
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.oversized:app", "--max-message-size", "1MiB") as server:
        worker = server.wait_ready().workers()
        yield server
        assert server.workers() == worker, "a bad request ended a worker"


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as channel:
        yield channel
        # Whatever it was, the connection goes on working.
        request = service_pb2.ModelInferRequest(model_name="echo")
        request.inputs.add(name="x", datatype="INT64", shape=[1]).contents.int64_contents.append(7)
        [content] = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request).raw_output_contents
        assert content == struct.pack("<q", 7)


class Request:
    """A request that a test spoils."""

    def __init__(self) -> None:
        self.message = service_pb2.ModelInferRequest(model_name="echo")

    def typed(self, name: str, datatype: str, shape: list[int], **contents: list[Any]) -> Request:
        tensor = self.message.inputs.add(name=name, datatype=datatype, shape=shape)
        for field, elements in contents.items():
            getattr(tensor.contents, f"{field}_contents").extend(elements)
        return self

    def raw(self, name: str, datatype: str, shape: list[int], content: bytes) -> Request:
        self.message.inputs.add(name=name, datatype=datatype, shape=shape)
        return self.more_raw(content)

    def more_raw(self, content: bytes) -> Request:
        self.message.raw_input_contents.append(content)
        return self

    def parameter(self, name: str, **choice: Any) -> Request:
        self.message.parameters[name].SetInParent()
        for field, value in choice.items():
            setattr(self.message.parameters[name], f"{field}_param", value)
        return self

    def output(self, name: str) -> Request:
        self.message.outputs.add(name=name)
        return self


BAD: dict[str, tuple[Request, str]] = {
    "too few elements": (
        Request().typed("x", "INT32", [3], int=[1, 2]),
        "input 'x': shape [3] of INT32 needs 12 bytes, but the contents hold 8",
    ),
    "too many elements": (Request().typed("x", "INT64", [], int64=[1, 2]), "input 'x': shape [] of INT64 needs 8"),
    "no contents": (Request().typed("x", "FP32", [1]), "input 'x': shape [1] of FP32 needs 4 bytes"),
    "raw of another size": (Request().raw("x", "FP32", [2, 2], bytes(15)), "needs 16 bytes, but the contents hold 15"),
    "raw beside typed": (
        Request().typed("x", "INT64", [1], int64=[1]).more_raw(bytes(8)),
        "input 'x' has typed contents beside raw_input_contents",
    ),
    "typed beside raw": (
        Request().raw("x", "INT64", [1], bytes(8)).typed("y", "INT64", [1], int64=[1]),
        "2 inputs, but 1 raw_input_contents",
    ),
    "raw for nothing": (Request().more_raw(b""), "0 inputs, but 1 raw_input_contents"),
    "a length beyond the end": (
        Request().raw("x", "BYTES", [1], struct.pack("<I", 5) + b"abcd"),
        "input 'x': element 0 of BYTES claims 5 bytes at offset 0, but only 4 are left",
    ),
    "a length of 4 GiB": (Request().raw("x", "BYTES", [1], b"\xff\xff\xff\xff"), "claims 4294967295 bytes at offset 0"),
    "half a length": (Request().raw("x", "BYTES", [1], bytes(7)), "input 'x': element 1 of BYTES"),
    "more elements than the shape": (
        Request().raw("x", "BYTES", [1], bytes(8)),
        "input 'x': shape [1] needs 1 elements, but the contents hold 2",
    ),
    "a name twice": (
        Request().typed("x", "INT64", [1], int64=[1]).typed("x", "INT64", [1], int64=[1]),
        "input 'x' is there twice",
    ),
    "another field": (
        Request().typed("x", "INT64", [1], int=[1]),
        "input 'x': INT64 belongs in int64_contents, but the contents are in int_contents",
    ),
    "one field too many": (Request().typed("x", "FP32", [1], fp32=[1], fp64=[1]), "are in fp64_contents"),
    "half precision typed": (
        Request().typed("x", "FP16", [1], fp32=[1]),
        "input 'x': FP16 has no typed contents; send it in raw_input_contents",
    ),
    "an unknown datatype": (
        Request().raw("x", "FP8", [1], b"a"),
        "input 'x': datatype 'FP8' is unknown; known are BOOL",
    ),
    "no datatype": (Request().raw("x", "", [1], b"a"), "input 'x': datatype '' is unknown"),
    "a negative dimension": (Request().raw("x", "INT8", [2, -1], b"ab"), "input 'x': shape [2, -1] has a negative"),
    "a huge shape": (Request().raw("x", "INT8", [2**62, 4], b""), "input 'x': shape"),
    "bytes that overflow": (Request().raw("x", "INT64", [2**62], b""), "input 'x': shape"),
    "an INT8 of 128": (Request().typed("x", "INT8", [1], int=[128]), "input 'x': value 128 does not fit"),
    "a UINT16 of 65536": (Request().typed("x", "UINT16", [1], uint=[65536]), "input 'x': value 65536 does not fit"),
    "an output that is not there": (
        Request().typed("x", "INT64", [1], int64=[1]).output("y"),
        "output 'y' was requested, but the handler gave 'output_x'",
    ),
    "an output of no outputs": (Request().output("y"), "output 'y' was requested, but the handler gave none"),
    "a negative timeout": (
        Request().parameter("timeout", int64=-1),
        "'timeout' must be a whole number of microseconds",
    ),
    "a timeout in text": (Request().parameter("timeout", string="1"), "'timeout' must be a whole number"),
    "a timeout of no value": (Request().parameter("timeout"), "'timeout' must be a whole number"),
    "a capability of no value": (Request().parameter("cap.type"), "parameter 'cap.type' has no value"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_request_is_an_invalid_argument_with_a_reason(channel: grpc.Channel, what: str) -> None:
    request, reason = BAD[what]
    with pytest.raises(grpc.RpcError) as failure:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request.message)
    assert failure.value.code() is INVALID_ARGUMENT
    assert reason in failure.value.details()


@pytest.mark.parametrize("message", [b"\xff", b"\x0a\x05ab", b"\x2a\x02\x0a\x05", b"\x0a\x01\xff"])
def test_what_is_no_protobuf_is_an_invalid_argument(channel: grpc.Channel, message: bytes) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary(INFER)(message)
    assert failure.value.code() is INVALID_ARGUMENT
    assert "not valid protobuf" in failure.value.details()


def test_fields_that_are_not_known_are_skipped(channel: grpc.Channel) -> None:
    request = service_pb2.ModelInferRequest(model_name="echo").SerializeToString() + b"\xa2\x06\x01x"
    response = service_pb2.ModelInferResponse.FromString(channel.unary_unary(INFER)(request))
    assert response.model_name == "echo"


def test_an_empty_message_names_no_capability(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary(INFER)(b"")
    assert failure.value.code() is INVALID_ARGUMENT
    assert "names no capability" in failure.value.details()


def test_a_request_over_the_limit_is_refused_with_the_limit(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(message_with(2 * MEBIBYTE))
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"limit of {MEBIBYTE} bytes" in failure.value.details()
    assert "--max-message-size" in failure.value.details()


def test_a_request_that_is_over_the_limit_unpacked_is_refused_with_the_limit(channel: grpc.Channel) -> None:
    infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
    with pytest.raises(grpc.RpcError) as failure:
        infer(message_with(50 * MEBIBYTE), compression=grpc.Compression.Gzip)
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(MEBIBYTE) in failure.value.details()


def message_with(size: int) -> Any:
    """A request whose one input has that many bytes."""
    message = Request().raw("x", "UINT8", [size], bytes(size)).message
    message.model_name = "size"
    return message


def test_the_limit_is_that_of_the_whole_message(channel: grpc.Channel) -> None:
    infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
    beside = message_with(MEBIBYTE).ByteSize() - MEBIBYTE
    largest = message_with(MEBIBYTE - beside)
    assert largest.ByteSize() == MEBIBYTE
    assert infer(largest).raw_output_contents[0] == struct.pack("<q", MEBIBYTE - beside)
    with pytest.raises(grpc.RpcError) as failure:
        infer(message_with(MEBIBYTE - beside + 1))
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_own_client_hears_of_the_limit_and_when_to_try_again(client: Client) -> None:
    with pytest.raises(ResourceExhaustedError, match=f"limit of {MEBIBYTE} bytes") as failure:
        client.infer("echo", {"x": np.zeros(2 * MEBIBYTE, "uint8")})
    assert failure.value.retry_after is None
    assert np.asarray(client.infer("echo", {"x": [1]})["output_x"]).tolist() == [1]


def test_a_response_over_the_limit_is_an_internal_error_with_the_limit(client: Client) -> None:
    for _ in range(3):
        with pytest.raises(InternalError, match=rf"a response of \d+ bytes is over the limit of {MEBIBYTE}"):
            client.infer("zeros", parameters={"size": 2 * MEBIBYTE})
    fits = client.infer("zeros", parameters={"size": MEBIBYTE - 100})
    assert np.asarray(fits["zeros"]).size == MEBIBYTE - 100


def test_a_client_that_speaks_http1_is_no_harm(server: Server, client: Client) -> None:
    for hello in (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
    ):
        with socket.create_connection((server.host, server.port)) as connection:
            connection.settimeout(60)
            connection.sendall(hello)
            while connection.recv(4096):
                pass
    assert np.asarray(client.infer("echo", {"x": [1]})["output_x"]).tolist() == [1]


def test_the_own_client_sends_what_the_server_checks(client: Client) -> None:
    with pytest.raises(InvalidArgumentError, match="output 'y' was requested"):
        client.infer("echo", {"x": [1]}, outputs=["y"])
