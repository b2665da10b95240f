"""anyserve.batch: many requests as one array, and one array as many responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anyserve import ModelInferRequest, batch
from anyserve.errors import InvalidArgumentError

from tests.background import Background
from tests.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


def requests_of(*arrays: Any, name: str = "x") -> list[ModelInferRequest]:
    """One request for each array, with the ids r0, r1, …"""
    requests = []
    for index, array in enumerate(arrays):
        request = ModelInferRequest("model", "", f"r{index}")
        request.add_input(name, data=array)
        requests.append(request)
    return requests


def test_inputs_are_joined_along_their_first_axis() -> None:
    array, sizes = batch.stack(requests_of(np.ones((1, 3)), np.zeros((4, 3)), np.ones((2, 3))), "x")
    assert (array.shape, sizes) == ((7, 3), [1, 4, 2])
    assert array[:, 0].tolist() == [1, 0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("axis", "shapes", "together", "sizes"),
    [
        (0, [(2, 3), (1, 3)], (3, 3), [2, 1]),
        (1, [(2, 3), (2, 1)], (2, 4), [3, 1]),
        (-1, [(2, 3), (2, 1)], (2, 4), [3, 1]),
        (None, [(2, 3), (2, 3)], (2, 2, 3), [1, 1]),
        (None, [(), ()], (2,), [1, 1]),
        (0, [(0, 3), (2, 3)], (2, 3), [0, 2]),
        (0, [(5,)], (5,), [5]),
    ],
)
def test_what_was_stacked_is_split_again(
    axis: int | None, shapes: list[tuple[int, ...]], together: tuple[int, ...], sizes: list[int]
) -> None:
    arrays = [np.random.default_rng(index).standard_normal(shape) for index, shape in enumerate(shapes)]
    array, found = batch.stack(requests_of(*arrays), "x", batch_axis=axis)
    assert (array.shape, found) == (together, sizes)
    for part, sent in zip(batch.split(array, found, batch_axis=axis), arrays, strict=True):
        np.testing.assert_array_equal(part, sent)
        assert part.shape == sent.shape


@pytest.mark.parametrize("datatype", ["bool", "int8", "uint64", "float16", "float32"])
def test_the_datatype_stays(datatype: str) -> None:
    array, _ = batch.stack(requests_of(*[np.zeros((1, 2), datatype)] * 2), "x")
    assert array.dtype == datatype


def test_texts_are_stacked_too() -> None:
    array, sizes = batch.stack(requests_of(["a", "bc"], ["d"]), "x")
    assert (array.tolist(), sizes) == ([b"a", b"bc", b"d"], [2, 1])
    assert [part.tolist() for part in batch.split(array, sizes)] == [[b"a", b"bc"], [b"d"]]


@pytest.mark.parametrize(
    ("axis", "second", "message"),
    [
        (0, np.zeros((1, 4)), r"is float64 \[1, 4\], which does not fit float64 \[1, 3\] of request 0 along axis 0"),
        (0, np.zeros((1, 3), "float32"), r"is float32 \[1, 3\], which does not fit float64 \[1, 3\] of request 0"),
        (0, np.zeros(3), r"is float64 \[3\], which does not fit float64 \[1, 3\] of request 0 along axis 0"),
        (None, np.zeros((2, 3)), r"is float64 \[2, 3\], which does not fit float64 \[1, 3\] of request 0$"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_request(axis: int | None, second: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"^input 'x' of request 1 \(id 'r1'\) {message}"):
        batch.stack(requests_of(np.zeros((1, 3)), second), "x", batch_axis=axis)


@pytest.mark.parametrize("axis", [0, 2, -3])
def test_an_axis_that_is_not_there_is_refused(axis: int) -> None:
    shape = () if axis == 0 else (1, 3)
    with pytest.raises(InvalidArgumentError, match=rf"input 'x' of shape .* has no axis {axis}"):
        batch.stack(requests_of(np.zeros(shape)), "x", batch_axis=axis)


def test_an_input_that_is_not_there_is_a_key_error() -> None:
    for function in (batch.stack, batch.groups):
        with pytest.raises(KeyError, match="y"):
            function(requests_of([1], [2]), "y")


def test_no_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="no requests to stack"):
        batch.stack([], "x")
    assert batch.groups([], "x") == []


@pytest.mark.parametrize(
    ("shape", "sizes", "axis", "message"),
    [
        ((6, 3), [1, 4], 0, r"axis 0 of an array of shape \[6, 3\] has not the length 5 that the 2 requests have"),
        ((2, 3), [1, 1], 1, r"axis 1 of an array of shape \[2, 3\] has not the length 2"),
        ((3, 3), [1, 1], None, r"axis 0 of an array of shape \[3, 3\] has not the length 2"),
        ((), [1], 0, r"an array of shape \[\] has no axis 0"),
        ((2,), [2], 1, r"an array of shape \[2\] has no axis 1"),
    ],
)
def test_an_array_that_is_not_for_the_requests_is_refused(
    shape: tuple[int, ...], sizes: list[int], axis: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        batch.split(np.zeros(shape), sizes, batch_axis=axis)


def test_a_split_copies_nothing() -> None:
    array = np.zeros((4, 2))
    for axis, sizes in ((0, [1, 3]), (1, [1, 1]), (None, [1, 1, 1, 1])):
        assert all(np.shares_memory(part, array) for part in batch.split(array, sizes, batch_axis=axis))


def test_no_sizes_are_no_parts() -> None:
    assert batch.split(np.zeros((0, 2)), []) == []


def test_groups_are_what_can_be_stacked() -> None:
    arrays = [np.zeros((1, 3)), np.zeros((1, 4)), np.zeros((7, 3)), np.zeros((1, 3), "float32"), np.zeros((2, 4))]
    requests = requests_of(*arrays)
    groups = batch.groups(requests, "x")
    assert groups == [[0, 2], [1, 4], [3]]
    for group in groups:
        batch.stack([requests[index] for index in group], "x")
    assert batch.groups(requests, "x", batch_axis=None) == [[0], [1], [2], [3], [4]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.batching:app") as server:
        yield server.wait_ready()


def test_a_handler_answers_requests_that_do_not_fit_by_themselves(server: Server) -> None:
    sent = [np.ones((1, 2)), np.zeros((1, 5)), np.ones((3, 2)), np.ones(7, "int8")]
    with Background(server.address) as background:
        results = [request.result(60) for request in [background.infer("twice", inputs={"x": x}) for x in sent]]
    for x, result in zip(sent, results, strict=True):
        np.testing.assert_array_equal(result["twice"], 2 * x)
    assert [np.asarray(result["together"]).item() for result in results] == [2, 1, 2, 1]
