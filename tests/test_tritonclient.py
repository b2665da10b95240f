"""tritonclient, the client that most users have: its blocking gRPC client works unchanged."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyserve
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server import Server


@pytest.fixture
def triton(basic: Server) -> Iterator[Any]:
    with InferenceServerClient(basic.address) as triton:
        yield triton


def tensor(name: str, array: np.ndarray[Any, Any]) -> Any:
    """An input of tritonclient's."""
    made = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array)
    return made


def summands() -> list[Any]:
    return [tensor("a", np.array([1.0, 2.0])), tensor("b", np.array([3.0, 4.0]))]


def test_it_is_live_and_ready(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()


def test_models_are_ready_by_name_and_version(triton: Any) -> None:
    assert triton.is_model_ready("echo")
    assert not triton.is_model_ready("nothing here")
    assert not triton.is_model_ready("echo", "2")


def test_a_model_without_a_name_is_an_invalid_argument(triton: Any) -> None:
    for ask in (triton.is_model_ready, triton.get_model_metadata):
        with pytest.raises(InferenceServerException) as failure:
            ask("")
        assert failure.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_the_server_says_what_it_is(triton: Any) -> None:
    metadata = triton.get_server_metadata()
    assert (metadata.name, metadata.version) == ("anyserve", anyserve.__version__)
    assert list(metadata.extensions) == ["model_repository", "statistics"]


def test_a_model_says_what_it_takes_and_gives(triton: Any) -> None:
    metadata = triton.get_model_metadata("add", as_json=True)
    assert metadata == {
        "name": "add",
        "versions": ["1"],
        "platform": "anyserve",
        "inputs": [
            {"name": "a", "datatype": "FP64", "shape": ["-1"]},
            {"name": "b", "datatype": "FP64", "shape": ["-1"]},
        ],
        "outputs": [{"name": "sum", "datatype": "FP64", "shape": ["-1"]}],
    }


def test_a_model_that_declares_no_tensors_names_none(triton: Any) -> None:
    metadata = triton.get_model_metadata("echo")
    assert (metadata.name, list(metadata.inputs), list(metadata.outputs)) == ("echo", [], [])


def test_metadata_of_an_unknown_model_is_not_found(triton: Any) -> None:
    with pytest.raises(InferenceServerException, match=r"\{type: nothing here\}") as failure:
        triton.get_model_metadata("nothing here")
    assert failure.value.status() == "StatusCode.NOT_FOUND"


def test_an_inference(triton: Any) -> None:
    result = triton.infer("add", summands(), request_id="17")
    assert result.as_numpy("sum").tolist() == [4.0, 6.0]
    assert (result.get_response().id, result.get_response().model_name) == ("17", "add")


@pytest.mark.parametrize(
    "array",
    [
        np.array([[True, False]]),
        np.arange(6, dtype="uint16").reshape(1, 2, 3),
        np.array([-1], "int8"),
        np.array([0.5], "float16"),
        np.zeros((0, 3), "float32"),
        np.array([b"bytes", b"text", b""], object),
        np.random.default_rng(0).standard_normal(1 << 17),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_tensors_come_back_as_they_were(triton: Any, array: np.ndarray[Any, Any]) -> None:
    received = triton.infer("echo", [tensor("x", array)]).as_numpy("output_x")
    assert received.shape == array.shape
    np.testing.assert_array_equal(received, array)


def test_every_option_at_once(triton: Any) -> None:
    result = triton.infer(
        "nothing here",
        [*summands(), tensor("c", np.zeros(1))],
        outputs=[InferRequestedOutput("output_c")],
        request_id="17",
        sequence_id=5,
        sequence_start=True,
        priority=1,
        timeout=60_000_000,
        client_timeout=60,
        headers={"x-cap-type": "echo"},
        parameters={"text": "a", "yes": True, "number": 1, "float": 0.5},
        compression_algorithm="gzip",
    )
    assert [output.name for output in result.get_response().outputs] == ["output_c"]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_requests_may_be_compressed(triton: Any, algorithm: str) -> None:
    sent = np.zeros(1 << 20)
    result = triton.infer("echo", [tensor("x", sent)], compression_algorithm=algorithm)
    np.testing.assert_array_equal(result.as_numpy("output_x"), sent)


def test_callbacks_get_the_result_or_the_error(triton: Any) -> None:
    heard = []
    done = threading.Semaphore(0)

    def callback(result: Any, error: Any) -> None:
        heard.append((result and result.as_numpy("sum").tolist(), error and error.status()))
        done.release()

    triton.async_infer("add", summands(), callback)
    assert done.acquire(timeout=60)
    triton.async_infer("nothing here", summands(), callback)
    assert done.acquire(timeout=60)
    assert heard == [([4.0, 6.0], None), (None, "StatusCode.NOT_FOUND")]


def test_an_error_has_its_code_and_its_message(triton: Any) -> None:
    with pytest.raises(InferenceServerException, match="they must be equal") as failure:
        triton.infer("add", [tensor("a", np.zeros(1)), tensor("b", np.zeros(2))])
    assert failure.value.status() == "StatusCode.INVALID_ARGUMENT"
