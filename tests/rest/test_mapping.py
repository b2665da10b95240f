"""The mapping between bodies of REST and messages, as Python sees it; its rules are tested in Rust."""

from __future__ import annotations

import json

import numpy as np
import pytest
from anyserve import ModelInferResponse, rest


def body(**members: object) -> bytes:
    return json.dumps(members).encode()


def an_input(data: object, datatype: str = "FP32", **more: object) -> dict[str, object]:
    return {"name": "x", "datatype": datatype, "shape": [2, 2], "data": data, **more}


def test_a_json_request_and_its_response() -> None:
    parameters = {"priority": 1, "cap.model": "m", "share": 0.5, "stream": False}
    sent = body(id="7", parameters=parameters, inputs=[an_input([[1, 2], [3, 4.5]])], outputs=[{"name": "y"}])
    request, form = rest.decode_infer(sent, None, "model", "3")
    assert (request.model_name, request.model_version, request.id) == ("model", "3", "7")
    assert request.parameters == parameters
    assert request.requested_outputs == ["y"]
    np.testing.assert_array_equal(request.get_input("x").as_numpy(), np.array([[1, 2], [3, 4.5]]))
    response = ModelInferResponse("model", id="7", parameters={"n": 1})
    response.add_output("y", data=np.array([[2**63 - 1]]))
    answer, header_length = rest.encode_response(response, form)
    assert header_length is None
    output = {"name": "y", "datatype": "INT64", "shape": [1, 1], "data": [2**63 - 1]}
    assert json.loads(answer) == {
        "id": "7",
        "model_name": "model",
        "model_version": "",
        "parameters": {"n": 1},
        "outputs": [output],
    }


def test_binary_tensors_follow_the_json() -> None:
    array = np.arange(4, dtype=np.float16).reshape(2, 2)
    tensor = {"name": "x", "datatype": "FP16", "shape": [2, 2], "parameters": {"binary_data_size": 8}}
    header = body(inputs=[tensor], outputs=[{"name": "a", "parameters": {"binary_data": True}}, {"name": "b"}])
    request, form = rest.decode_infer(header + array.tobytes(), len(header), "model")
    np.testing.assert_array_equal(request.get_input("x").as_numpy(), array)
    assert (form.is_binary("a"), form.is_binary("b")) == (True, False)
    response = ModelInferResponse("model")
    response.add_output("a", data=array)
    response.add_output("b", data=["text"])
    answer, header_length = rest.encode_response(response, form)
    assert header_length is not None
    first, second = json.loads(answer[:header_length])["outputs"]
    assert first["parameters"] == {"binary_data_size": 8}
    assert second["data"] == ["text"]
    assert answer[header_length:] == array.tobytes()


def test_generate() -> None:
    sent = body(text_input="hi", id="a", temperature=0.5, parameters={"top_k": 3})
    request = rest.decode_generate(sent, [("text_input", "BYTES", [1])], "llm")
    assert request.get_input("text_input").bytes_contents == [b"hi"]
    assert request.parameters == {"temperature": 0.5, "top_k": 3}
    response = ModelInferResponse("llm", "1")
    response.add_output("text_output", data=["ho"])
    answer = json.loads(rest.encode_generate(response))
    assert answer == {"model_name": "llm", "model_version": "1", "text_output": "ho"}


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "the request has no JSON"),
        (b"\xff", "byte 0 is not UTF-8"),
        (body(inputs=[an_input([1, 2, 3])]), r"input 'x': shape \[2, 2\] needs 4 elements, but the contents hold 3"),
        (body(inputs=[an_input([1, 2, 3, 4]), an_input([1, 2, 3, 4])]), "input 'x' is there twice"),
        (
            body(inputs=[{**an_input([]), "data": None}]),
            "'inputs': input 0: 'data' is null; it must be a number",
        ),
        (
            body(inputs=[], outputs=[{"name": "y", "parameters": {"shared_memory_region": "r"}}]),
            "output 'y' is in shared memory",
        ),
    ],
)
def test_a_refusal_says_what_was_wrong(sent: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rest.decode_infer(sent, None, "model")


def test_what_has_no_form_in_json() -> None:
    response = ModelInferResponse()
    response.add_output("y", data=[b"\xff"])
    with pytest.raises(ValueError, match=r"output 'y' is not UTF-8 at element 0.*ask for binary data"):
        rest.encode_response(response, rest.OutputForm())
    with pytest.raises(ValueError, match="not UTF-8"):
        rest.encode_generate(response)
