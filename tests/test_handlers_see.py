"""What a handler sees of its request, however the client sent it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from anyserve import Client
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.apps.inspecting import FIELDS
from tests.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.inspecting:app") as server:
        yield server.wait_ready()


@pytest.fixture
def stub(server: Server) -> Iterator[Any]:
    with grpc.insecure_channel(server.address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


ELEMENTS: dict[str, tuple[str, list[Any], bytes]] = {
    "BOOL": ("bool", [True, False], b"\x01\x00"),
    "INT8": ("int", [-1, 2], b"\xff\x02"),
    "INT16": ("int", [-1, 2], np.array([-1, 2], "<i2").tobytes()),
    "INT32": ("int", [-1, 2], np.array([-1, 2], "<i4").tobytes()),
    "INT64": ("int64", [-1, 2], np.array([-1, 2], "<i8").tobytes()),
    "UINT8": ("uint", [1, 255], b"\x01\xff"),
    "UINT16": ("uint", [1, 2], np.array([1, 2], "<u2").tobytes()),
    "UINT32": ("uint", [1, 2], np.array([1, 2], "<u4").tobytes()),
    "UINT64": ("uint64", [1, 2], np.array([1, 2], "<u8").tobytes()),
    "FP32": ("fp32", [1.5, -2.0], np.array([1.5, -2], "<f4").tobytes()),
    "FP64": ("fp64", [1.1, -2.0], np.array([1.1, -2], "<f8").tobytes()),
    "BYTES": ("bytes", [b"a", b""], b"\x01\x00\x00\x00a\x00\x00\x00\x00"),
}


@pytest.mark.parametrize("way", ["typed", "raw"])
@pytest.mark.parametrize("datatype", ELEMENTS)
def test_typed_and_raw_contents_read_the_same(stub: Any, datatype: str, way: str) -> None:
    field, elements, raw = ELEMENTS[datatype]
    request = service_pb2.ModelInferRequest(model_name="fields")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=[2])
    if way == "typed":
        getattr(tensor.contents, f"{field}_contents").extend(elements)
    else:
        request.raw_input_contents.append(raw)
    expected = [repr(elements if other == field else []).encode() for other in FIELDS]
    response = stub.ModelInfer(request)
    assert [output.name for output in response.outputs] == ["tensor", "contents"]
    for content in response.raw_output_contents:
        assert content == b"".join(len(text).to_bytes(4, "little") + text for text in expected)


def test_responses_are_always_raw(stub: Any) -> None:
    response = stub.ModelInfer(service_pb2.ModelInferRequest(model_name="context"))
    assert len(response.raw_output_contents) == len(response.outputs) > 0
    assert not any(output.HasField("contents") for output in response.outputs)


@pytest.mark.parametrize("size", [1, 3, 1000, 1024, 1025, 10_000, 1 << 18])
def test_arrays_are_aligned_read_only_views(server: Server, size: int) -> None:
    # Odd names and odd neighbours move where contents begin in a frame.
    inputs: dict[str, Any] = {}
    for index, dtype in enumerate(["float64", "uint8", "float64", "int16", "float32", "int64"]):
        inputs["n" * (index + 1)] = np.ones(size, dtype)
        inputs["o" * (index + 1)] = np.ones(2 * index + 1, "uint8")
    with Client(server.address) as client:
        result = client.infer("views", inputs)
    assert set(result) == set(inputs)
    for name in result:
        assert np.asarray(result[name]).tolist() == [True, True, True], name


def test_a_context_without_a_deadline(server: Server) -> None:
    with Client(server.address) as client:
        result = client.infer("context")
    assert result["capability"] == [b"flavor=1", b"type=context"]
    assert np.asarray(result["limited"]).tolist() == [False]
    assert np.asarray(result["cancelled"]).tolist() == [False]


@pytest.mark.parametrize("timeout", [0, 2**63 - 1, 2**64 - 1])
def test_a_deadline_may_be_none_or_far_away(server: Server, timeout: int) -> None:
    with Client(server.address) as client:
        result = client.infer("context", parameters={"timeout": timeout})
    assert np.asarray(result["cancelled"]).tolist() == [False]


def test_a_context_counts_the_time_down(server: Server) -> None:
    with Client(server.address) as client:
        by_client = client.infer("context", timeout=50)
        by_parameter = client.infer("context", parameters={"timeout": 50_000_000})
        sooner = client.infer("context", timeout=1000, parameters={"timeout": 50_000_000})
    for result in (by_client, by_parameter, sooner):
        [left] = np.asarray(result["time_left"]).tolist()
        assert 0 < left <= 50
