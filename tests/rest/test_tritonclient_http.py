"""tritonclient's blocking HTTP client works unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.objects.regions import Region, noise
from tests.rest.conftest import APP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Serve
    from tests.server import Server


@pytest.fixture
def triton(rest: Server) -> Iterator[Any]:
    with InferenceServerClient(f"{rest.host}:{rest.http_port}", concurrency=4) as triton:
        yield triton


def tensor(name: str, array: np.ndarray[Any, Any], binary: bool = True) -> Any:
    made = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array, binary_data=binary)
    return made


ARRAYS = [
    np.array([[True, False]]),
    *(np.array([[np.iinfo(dtype).min, 0, np.iinfo(dtype).max]], dtype) for dtype in "bBhHiIqQ"),
    np.array([0.1, -1e-40, 3.4e38, np.nan, np.inf, -np.inf], np.float32),
    np.array([[0.1], [1e-320], [-1.7e308], [np.nan], [-np.inf]], np.float64),
    np.array([["", "é"], ["😀\n", '"\\']], np.object_),
    np.zeros((0, 3), np.float32),
]


def same(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> None:
    if right.dtype == np.object_:
        plain = [text.decode() if isinstance(text, bytes) else text for text in left.flatten()]
        assert plain == right.flatten().tolist()
        assert left.shape == right.shape
    else:
        np.testing.assert_array_equal(left, right)
        assert left.dtype == right.dtype


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: np_to_triton_dtype(array.dtype))
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
@pytest.mark.parametrize("back", [True, False], ids=["binary", "JSON"])
def test_tensors_come_back_as_they_were(triton: Any, array: np.ndarray[Any, Any], binary: bool, back: bool) -> None:
    outputs = [InferRequestedOutput("x", binary_data=back)]
    same(triton.infer("echo", [tensor("x", array, binary)], outputs=outputs).as_numpy("x"), array)


def test_half_floats_are_binary_only(triton: Any) -> None:
    array = np.arange(4, dtype=np.float16)
    same(triton.infer("echo", [tensor("x", array)]).as_numpy("x"), array)
    with pytest.raises(
        InferenceServerException, match=r"\[400\] output 'x' is FP16, which has no form in JSON"
    ) as caught:
        triton.infer("echo", [tensor("x", array)], outputs=[InferRequestedOutput("x", binary_data=False)])
    assert caught.value.status() == "400"


@pytest.mark.parametrize("request_compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_compression", [None, "gzip", "deflate"])
def test_compression(triton: Any, request_compression: str | None, response_compression: str | None) -> None:
    array = np.arange(100_000, dtype=np.int32) % 100
    result = triton.infer(
        "echo",
        [tensor("x", array), tensor("y", array[:2], binary=False)],
        request_compression_algorithm=request_compression,
        response_compression_algorithm=response_compression,
    )
    same(result.as_numpy("x"), array)
    same(result.as_numpy("y"), array[:2])


def test_a_request_says_all_that_it_says_over_grpc(triton: Any) -> None:
    parameters = {"a": "text", "b": 7, "c": True, "d": 0.5}
    result = triton.infer("echo", [tensor("x", np.arange(2))], request_id="r-1", priority=2, parameters=parameters)
    response = result.get_response()
    assert (response["id"], response["model_name"]) == ("r-1", "echo")
    assert response["parameters"] == {**parameters, "priority": 2}
    result = triton.infer("anything", [tensor("x", np.arange(2))], headers={"x-cap-type": "echo"})
    same(result.as_numpy("x"), np.arange(2))
    with pytest.raises(InferenceServerException, match="parameter 'priority' is 10"):
        triton.infer("echo", [tensor("x", np.arange(2))], priority=10)


def test_many_at_once(triton: Any) -> None:
    sent = [np.full(1000, number) for number in range(40)]
    handles = [triton.async_infer("echo", [tensor("x", array)]) for array in sent]
    for array, handle in zip(sent, handles, strict=True):
        same(handle.get_result().as_numpy("x"), array)


def test_what_it_says_of_itself(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("echo")
    assert not triton.is_model_ready("nothing")
    server = triton.get_server_metadata()
    assert server["name"] == "anyserve"
    assert {"binary_tensor_data", "system_shared_memory", "statistics"} <= set(server["extensions"])
    model = triton.get_model_metadata("llm")
    assert model["inputs"][0] == {"name": "text_input", "datatype": "BYTES", "shape": [1]}
    assert model["properties"] == {"type": "llm"}
    config = triton.get_model_config("llm")
    assert config["input"][1] == {"name": "max_tokens", "data_type": "TYPE_INT32", "dims": [1]}
    with pytest.raises(InferenceServerException, match=r"\[404\].*nothing"):
        triton.get_model_metadata("nothing")


def test_statistics(triton: Any) -> None:
    [before] = triton.get_inference_statistics("echo")["model_stats"]
    triton.infer("echo", [tensor("x", np.arange(2))])
    [after] = triton.get_inference_statistics("echo")["model_stats"]
    assert after["inference_count"] == before["inference_count"] + 1
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]
    names = {model["name"] for model in triton.get_inference_statistics()["model_stats"]}
    assert {"echo", "llm", "upper"} <= names


def test_the_repository(serve: Serve) -> None:
    server = serve(APP, "--http-port", "0")
    with InferenceServerClient(f"{server.host}:{server.http_port}") as triton:
        index = {model["name"]: model["state"] for model in triton.get_model_repository_index()}
        assert index["echo"] == "READY"
        triton.unload_model("echo")
        assert not triton.is_model_ready("echo")
        assert not triton.is_server_ready()
        triton.load_model("echo")
        assert triton.is_model_ready("echo")
        with pytest.raises(InferenceServerException, match=r"\[400\] load parameter 'config' is not supported"):
            triton.load_model("echo", config="{}")
        with pytest.raises(InferenceServerException, match=r"\[404\]"):
            triton.load_model("nothing")


def test_shared_memory(triton: Any) -> None:
    sent = noise(200_000)
    inputs, outputs = Region(), Region()
    try:
        inputs.put(sent)
        for region in (inputs, outputs):
            triton.register_system_shared_memory(region.name, region.key, region.size)
        [status] = triton.get_system_shared_memory_status(inputs.name)
        assert status == {"name": inputs.name, "key": inputs.key, "offset": 0, "byte_size": inputs.size}
        source, target = InferInput("x", [200_000], "UINT8"), InferRequestedOutput("x")
        source.set_shared_memory(inputs.name, 200_000)
        target.set_shared_memory(outputs.name, 200_000, offset=8)
        result = triton.infer("echo", [source], outputs=[target])
        assert result.get_output("x")["parameters"]["shared_memory_region"] == outputs.name
        np.testing.assert_array_equal(outputs.get(200_000, 8), sent)
        with pytest.raises(InferenceServerException, match=r"\[409\]"):
            triton.register_system_shared_memory(inputs.name, inputs.key, inputs.size)
        triton.unregister_system_shared_memory(inputs.name)
        with pytest.raises(InferenceServerException, match=r"\[404\]"):
            triton.get_system_shared_memory_status(inputs.name)
        assert len(triton.get_system_shared_memory_status()) == 1
    finally:
        triton.unregister_system_shared_memory()
        inputs.close()
        outputs.close()


def test_the_memory_of_gpus_is_not_shared(triton: Any) -> None:
    refused = "memory of GPUs is not shared"
    with pytest.raises(InferenceServerException, match=refused) as caught:
        triton.get_cuda_shared_memory_status()
    assert caught.value.status() == "501"
    with pytest.raises(InferenceServerException, match=refused):
        triton.register_cuda_shared_memory("r", b"handle", 0, 8)
    with pytest.raises(InferenceServerException, match=refused):
        triton.unregister_cuda_shared_memory()


def test_classification_is_refused(triton: Any) -> None:
    with pytest.raises(InferenceServerException, match="output 'x' asks for 'classification'"):
        triton.infer("echo", [tensor("x", np.arange(2))], outputs=[InferRequestedOutput("x", class_count=3)])
