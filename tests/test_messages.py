"""Requests and responses in plain Python: no server is needed to make one or to call a handler."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from anyserve import InferTensorContents, ModelInferRequest, ModelInferResponse, Tensor
from anyserve.errors import InvalidArgumentError
from anyserve.kserve import DATATYPES

from examples.basic.app import add_handler, echo_handler

FIELDS = {
    "bool_contents": "BOOL",
    "int_contents": "INT32",
    "int64_contents": "INT64",
    "uint_contents": "UINT32",
    "uint64_contents": "UINT64",
    "fp32_contents": "FP32",
    "fp64_contents": "FP64",
    "bytes_contents": "BYTES",
}


def test_a_handler_is_a_function_that_can_be_called() -> None:
    request = ModelInferRequest("add", id="17")
    request.add_input("a", data=[1.0, 2.0])
    request.add_input("b", data=np.array([3.0, 4.0]))
    response = add_handler(request)
    assert (response.model_name, response.id) == ("add", "17")
    assert response.get_output("sum").as_numpy().tolist() == [4.0, 6.0]


def test_a_handler_raises_to_its_caller() -> None:
    request = ModelInferRequest()
    request.add_input("a", data=[1.0])
    request.add_input("b", data=[1.0, 2.0])
    with pytest.raises(InvalidArgumentError, match="must be equal"):
        add_handler(request)


def test_contents_are_handed_over_without_a_copy() -> None:
    request = ModelInferRequest("echo")
    tensor = request.add_input("x", "FP32", [2, 2], np.ones((2, 2), "float32"))
    output = echo_handler(request).get_output("output_x")
    assert (output.datatype, output.shape) == ("FP32", [2, 2])
    assert np.shares_memory(output.as_numpy(), tensor.as_numpy())


def test_attributes_can_be_set() -> None:
    for message in (ModelInferRequest(), ModelInferResponse()):
        message.model_name, message.model_version, message.id = "a", "b", "c"
        message.parameters["x"] = 1
        assert (message.model_name, message.model_version, message.id) == ("a", "b", "c")
        assert message.parameters == {"x": 1}
    tensor = Tensor("a", [1, 2])
    tensor.name, tensor.shape = "b", [2, 1]
    assert tensor.as_numpy().tolist() == [[1], [2]]
    assert repr(tensor) == "Tensor('b', INT64, shape=[2, 1])"


def test_messages_have_a_readable_repr() -> None:
    request = ModelInferRequest("echo", id="17")
    request.add_input("x", data=[1])
    assert repr(request) == "ModelInferRequest(model_name='echo', id='17', 1 inputs)"
    response = ModelInferResponse("echo", "1", "17")
    assert repr(response) == "ModelInferResponse(model_name='echo', id='17', 0 outputs)"


def test_what_add_returns_is_what_is_in_the_message() -> None:
    response = ModelInferResponse()
    output = response.add_output("x", "INT64", [1])
    output.contents = InferTensorContents("INT64", [7])
    assert response.outputs[0].as_numpy().tolist() == [7]
    assert response.get_output("x").int64_contents == [7]


def test_a_missing_tensor_is_a_key_error_that_names_what_is_there() -> None:
    request, response = ModelInferRequest(), ModelInferResponse()
    with pytest.raises(KeyError, match="there is no input 'c'; there is none"):
        request.get_input("c")
    request.add_input("a", data=[1])
    request.add_input("b", data=[1])
    with pytest.raises(KeyError, match="there is no input 'c'; there is 'a', 'b'"):
        request.get_input("c")
    response.add_output("d", data=[1])
    with pytest.raises(KeyError, match="there is no output 'c'; there is 'd'"):
        response.get_output("c")


@pytest.mark.parametrize("field", FIELDS)
def test_elements_are_in_the_list_of_their_datatype_and_no_other(field: str) -> None:
    datatype = FIELDS[field]
    special: dict[str, list[Any]] = {"BYTES": ["a", "b"], "BOOL": [True, False]}
    data = special.get(datatype, [1, 0])
    expected = [b"a", b"b"] if datatype == "BYTES" else data
    tensor = Tensor("x", data, datatype=datatype)
    for other in FIELDS:
        wanted = expected if other == field else []
        assert getattr(tensor, other) == wanted
        assert getattr(tensor.contents, other) == wanted
    kind = {"BOOL": bool, "FP32": float, "FP64": float, "BYTES": bytes}.get(datatype, int)
    assert [type(element) for element in getattr(tensor, field)] == [kind, kind]


@pytest.mark.parametrize(
    ("datatype", "field"), [("INT8", "int"), ("INT16", "int"), ("UINT8", "uint"), ("UINT16", "uint")]
)
def test_small_integers_are_in_the_list_of_the_wider_ones(datatype: str, field: str) -> None:
    assert getattr(Tensor("x", [1, 2], datatype=datatype), f"{field}_contents") == [1, 2]


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_precision_has_no_list(datatype: str) -> None:
    tensor = Tensor("x", np.ones(2, "float16").view("uint16" if datatype == "BF16" else "float16"), datatype=datatype)
    assert all(getattr(tensor, field) == [] for field in FIELDS)
    assert len(tensor.raw) == 4


def test_arrays_are_read_only_views() -> None:
    for data in (np.arange(3), np.zeros(100_000)):
        tensor = Tensor("x", data)
        first, second = tensor.as_numpy(), tensor.as_numpy()
        assert np.shares_memory(first, second)
        assert not first.flags.writeable
        assert first.flags.aligned
        with pytest.raises(ValueError, match="read-only"):
            first[0] = 1


def test_an_array_outlives_its_tensor() -> None:
    array = Tensor("x", np.arange(1000)).as_numpy()
    assert array.sum() == 499_500


def test_raw_is_a_read_only_view_of_the_bytes_that_travel() -> None:
    raw = Tensor("x", [1, 258], datatype="UINT16").raw
    assert isinstance(raw, memoryview)
    assert raw.readonly
    assert bytes(raw) == b"\x01\x00\x02\x01"
    assert bytes(Tensor("x", ["ab", ""]).raw) == b"\x02\x00\x00\x00ab\x00\x00\x00\x00"


def test_a_tensor_does_not_change_with_the_array_it_was_made_of() -> None:
    array = np.zeros(3)
    tensor = Tensor("x", array)
    array[0] = 1
    assert tensor.as_numpy().tolist() == [0, 0, 0]


def test_an_array_of_bytes_holds_objects_in_its_shape() -> None:
    array = Tensor("x", [["a", "b"], ["c", "d"]]).as_numpy()
    assert array.dtype == object
    assert array.tolist() == [[b"a", b"b"], [b"c", b"d"]]


def test_data_may_be_reshaped() -> None:
    assert ModelInferResponse().add_output("x", "INT32", [2, 2], [1, 2, 3, 4]).as_numpy().tolist() == [[1, 2], [3, 4]]
    assert ModelInferResponse().add_output("x", shape=[2, 1], data=["a", "b"]).as_numpy().tolist() == [[b"a"], [b"b"]]


def test_contents_are_data_too() -> None:
    contents = InferTensorContents("BYTES", ["a", "b"])
    output = ModelInferResponse().add_output("x", shape=[2], data=contents)
    assert (output.datatype, output.bytes_contents) == ("BYTES", [b"a", b"b"])
    assert repr(contents) == "InferTensorContents(BYTES, 10 bytes)"


def test_contents_of_another_datatype_are_refused() -> None:
    with pytest.raises(ValueError, match="INT64 cannot be those of tensor 'x', which is FP32"):
        ModelInferResponse().add_output("x", "FP32", [1]).contents = Tensor("y", [1]).contents


def test_a_tensor_of_contents_of_another_datatype_is_refused() -> None:
    with pytest.raises(ValueError, match="INT64"):
        Tensor("x", Tensor("y", [1]).contents, datatype="FP64")


def test_half_precision_may_be_cast_within_its_kind() -> None:
    tensor = Tensor("x", np.array([1.5, 2.5]), datatype="FP16")
    assert tensor.as_numpy().dtype == np.float16
    assert Tensor("x", np.array([1, 2], "int32"), datatype="FP64").as_numpy().tolist() == [1.0, 2.0]
    assert Tensor("x", np.array([1, 2], "int64"), datatype="INT8").as_numpy().tolist() == [1, 2]


@pytest.mark.parametrize(
    ("data", "datatype"),
    [
        (np.array([1.5]), "INT32"),
        (np.array([1.0]), "BOOL"),
        (np.array([1]), "BOOL"),
        (np.array([1 + 1j]), "FP64"),
        ([1.5], "BF16"),
        ([1], "BYTES"),
        ([None], "BYTES"),
        ([None], None),
        ([1 + 1j], None),
        ([object()], None),
        ({"a": 1}, None),
        (np.array(["2020-01-01"], "datetime64[D]"), None),
        (["a", 1], None),
    ],
)
def test_data_of_another_kind_is_a_type_error_that_names_the_tensor(data: object, datatype: str | None) -> None:
    with pytest.raises(TypeError, match="tensor 'x'"):
        ModelInferResponse().add_output("x", datatype=datatype, data=data)


@pytest.mark.parametrize(
    ("data", "datatype"),
    [
        ([300], "UINT8"),
        ([-1], "UINT16"),
        ([2**31], "INT32"),
        (["a"], "INT32"),
        ([[1], [1, 2]], None),
        ([["a"], ["b", "c"]], None),
        ([["a"], "b"], None),
        (["a", ["b"]], None),
    ],
)
def test_data_that_does_not_fit_is_a_value_error_that_names_the_tensor(data: object, datatype: str | None) -> None:
    with pytest.raises(ValueError, match="tensor 'x'"):
        ModelInferResponse().add_output("x", datatype=datatype, data=data)


@pytest.mark.parametrize(
    ("data", "datatype"),
    [(np.array([300]), "INT8"), (np.array([2**31]), "INT32"), (np.array([2**32], "uint64"), "UINT32")],
)
def test_an_integer_that_does_not_fit_never_becomes_another_number(data: object, datatype: str) -> None:
    with pytest.raises(ValueError, match="tensor 'x'"):
        ModelInferResponse().add_output("x", datatype=datatype, data=data)


def test_a_fraction_never_becomes_an_integer() -> None:
    with pytest.raises((TypeError, ValueError), match="tensor 'x'"):
        ModelInferResponse().add_output("x", datatype="INT32", data=[1.7])


@pytest.mark.parametrize(("shape", "data"), [([2, 2], [1, 2, 3]), ([-1], [1]), ([2], ["a"]), ([2**40, 2**40], [1])])
def test_a_shape_that_the_data_does_not_have_is_a_value_error(shape: list[int], data: object) -> None:
    with pytest.raises(ValueError, match="tensor 'x': shape"):
        ModelInferResponse().add_output("x", shape=shape, data=data)


def test_a_datatype_is_needed_and_must_be_known() -> None:
    with pytest.raises(ValueError, match="'x' needs a datatype"):
        Tensor("x")
    with pytest.raises(ValueError, match=r"'FP8' is unknown; known are BOOL, .*BYTES"):
        Tensor("x", [1], datatype="FP8")
    with pytest.raises(ValueError, match="'FP8' is unknown"):
        InferTensorContents("FP8", [1])


def test_the_datatypes_are_those_of_the_protocol() -> None:
    assert len(DATATYPES) == len(set(DATATYPES)) == 14
    for datatype in DATATYPES:
        assert Tensor("x", datatype=datatype, shape=[0]).datatype == datatype
