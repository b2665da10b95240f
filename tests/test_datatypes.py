"""Every kind of data makes the round trip through examples/basic's echo unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anyserve import Client, Tensor

if TYPE_CHECKING:
    from tests.server import Server

    Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def server(basic: Server) -> Server:
    return basic


NUMBERS = {
    "BOOL": np.array([True, False, True]),
    "UINT8": np.array([0, 255], "uint8"),
    "UINT16": np.array([0, 2**16 - 1], "uint16"),
    "UINT32": np.array([0, 2**32 - 1], "uint32"),
    "UINT64": np.array([0, 2**64 - 1], "uint64"),
    "INT8": np.array([-128, 127], "int8"),
    "INT16": np.array([-(2**15), 2**15 - 1], "int16"),
    "INT32": np.array([-(2**31), 2**31 - 1], "int32"),
    "INT64": np.array([-(2**63), 2**63 - 1], "int64"),
    "FP16": np.array([0.5, -65504, np.inf], "float16"),
    "FP32": np.array([1.1, np.nan, -0.0], "float32"),
    "FP64": np.array([1.1, -np.inf, 5e-324]),
}


def echo(client: Client, data: object) -> tuple[str, Array]:
    """The datatype and the array that came back."""
    result = client.infer("echo", {"x": data})
    output = result.response.get_output("output_x")
    return output.datatype, output.as_numpy()


@pytest.mark.parametrize("datatype", NUMBERS)
def test_arrays_of_every_datatype(client: Client, datatype: str) -> None:
    sent = NUMBERS[datatype]
    found, received = echo(client, sent)
    assert found == datatype
    assert received.dtype == sent.dtype
    np.testing.assert_array_equal(received, sent)


@pytest.mark.parametrize("datatype", [name for name in NUMBERS if name != "BOOL"])
def test_lists_become_the_datatype_that_is_given(client: Client, datatype: str) -> None:
    found, received = echo(client, Tensor("x", [1, 2, 3], datatype=datatype))
    assert found == datatype
    assert received.dtype == NUMBERS[datatype].dtype
    assert received.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "datatype"),
    [
        ([1, 2], "INT64"),
        ([1.5], "FP64"),
        ([1, 2.5], "FP64"),
        ([True], "BOOL"),
        ([[1, 2], [3, 4]], "INT64"),
        ((1, 2), "INT64"),
        ([2**63], "UINT64"),
    ],
)
def test_lists_have_a_datatype_of_their_own(client: Client, data: object, datatype: str) -> None:
    found, received = echo(client, data)
    assert found == datatype
    np.testing.assert_array_equal(received, np.asarray(data))


def test_bfloat16_travels_as_its_bits(client: Client) -> None:
    bits = np.array([0x3F80, 0xC000], "uint16")
    found, received = echo(client, Tensor("x", bits, datatype="BF16"))
    assert (found, received.dtype, received.tolist()) == ("BF16", np.dtype("uint16"), bits.tolist())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (["hello"], [b"hello"]),
        (["grüße", b"\x00\xff"], ["grüße".encode(), b"\x00\xff"]),
        ([""], [b""]),
        (["a", "", "c" * 70_000], [b"a", b"", b"c" * 70_000]),
        ([["a", "b"], ["c", "d"]], [[b"a", b"b"], [b"c", b"d"]]),
        (("a", b"b"), [b"a", b"b"]),
        ([bytearray(b"a")], [b"a"]),
        (np.array(["a", b"b"], object), [b"a", b"b"]),
        (np.array([["one", "two"]]), [[b"one", b"two"]]),
        (np.array([b"one", b"two"]), [b"one", b"two"]),
    ],
)
def test_text_and_bytes(client: Client, data: object, expected: list[object]) -> None:
    result = client.infer("echo", {"x": data})
    assert result.response.outputs[0].datatype == "BYTES"
    assert result["output_x"] == expected


@pytest.mark.parametrize(
    ("scalar", "datatype", "expected"),
    [
        (1, "INT64", 1),
        (-0.5, "FP64", -0.5),
        (True, "BOOL", True),
        ("text", "BYTES", b"text"),
        (b"bytes", "BYTES", b"bytes"),
        (np.float32(1.5), "FP32", 1.5),
        (np.uint8(7), "UINT8", 7),
    ],
)
def test_a_scalar_is_a_tensor_of_one_element(client: Client, scalar: object, datatype: str, expected: object) -> None:
    found, received = echo(client, scalar)
    assert (found, received.tolist()) == (datatype, [expected])


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3), (1,), (2, 3, 4), (), (1, 1, 1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "bool"])
def test_shapes_stay(client: Client, shape: tuple[int, ...], dtype: str) -> None:
    sent = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    _, received = echo(client, sent)
    assert (received.shape, received.dtype) == (shape, sent.dtype)
    np.testing.assert_array_equal(received, sent)


@pytest.mark.parametrize("shape", [[0], [3, 0]])
def test_empty_tensors_of_bytes(client: Client, shape: list[int]) -> None:
    found, received = echo(client, Tensor("x", datatype="BYTES", shape=shape))
    assert (found, list(received.shape)) == ("BYTES", shape)


@pytest.mark.parametrize(
    "sent",
    [
        np.arange(6).reshape(2, 3).T,
        np.arange(10)[::3],
        np.arange(10)[::-1],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.broadcast_to(np.float32(1), (3, 2)),
        np.frombuffer(b"\x00" + np.arange(3.0).tobytes(), "float64", offset=1),
    ],
    ids=["transposed", "strided", "reversed", "fortran", "broadcast", "unaligned"],
)
def test_arrays_of_any_memory_layout(client: Client, sent: Array) -> None:
    _, received = echo(client, sent)
    np.testing.assert_array_equal(received, sent)


@pytest.mark.parametrize("dtype", [">f8", ">i4", ">u2"])
def test_arrays_of_the_other_byte_order(client: Client, dtype: str) -> None:
    _, received = echo(client, np.array([1, 2, 3], dtype))
    assert received.tolist() == [1, 2, 3]


@pytest.mark.parametrize("mebibytes", [1, 20])
def test_large_tensors(client: Client, mebibytes: int) -> None:
    sent = np.random.default_rng(0).standard_normal(mebibytes << 17)
    _, received = echo(client, sent)
    np.testing.assert_array_equal(received, sent)


def test_many_inputs_some_large(client: Client) -> None:
    random = np.random.default_rng(1)
    sizes = [3, 1 << 20, 0, 8 * 1024 + 1, 1, 3 << 20, 8 * 1024]
    sent = {f"x{index}": random.integers(0, 256, size, "uint8") for index, size in enumerate(sizes)}
    result = client.infer("echo", {**sent, "text": ["a", "b" * 100_000]})
    assert list(result) == [f"output_{name}" for name in [*sent, "text"]]
    for name, array in sent.items():
        np.testing.assert_array_equal(result[f"output_{name}"], array)
    assert result["output_text"] == [b"a", b"b" * 100_000]
