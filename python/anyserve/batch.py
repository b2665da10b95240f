"""Many requests as one array, and one array as many responses: for handlers with ``max_batch_size``.

@app.capability(type="embed", max_batch_size=32)
def embed(requests: list[ModelInferRequest]) -> list[ModelInferResponse]:
    tokens, sizes = batch.stack(requests, "tokens")
    vectors = batch.split(model(tokens), sizes)
    return [response_with(vector) for vector in vectors]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import InvalidArgumentError
from .kserve import ModelInferRequest

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["groups", "split", "stack"]


def stack(requests: Sequence[ModelInferRequest], name: str, *, batch_axis: int | None = 0) -> tuple[Array, list[int]]:
    """Joins the input ``name`` of every request into one array.

    Args:
        requests: At least one; each has the input.
        name: The input's name.
        batch_axis: The axis along which the inputs are joined: each has its own length there, and the other axes are
            the same for all. None if the inputs have no such axis; then a new first one counts the requests.

    Returns:
        The array, and how much of the axis each request has, for :func:`split`.

    Raises:
        InvalidArgumentError: The datatypes or the shapes do not fit together; the message names the request. To answer
            such requests by themselves, see :func:`groups`.
        KeyError: A request has no such input.
        ValueError: There are no requests.
    """
    import numpy as np

    if not requests:
        raise ValueError("there are no requests to stack")
    arrays = [request.get_input(name).as_numpy() for request in requests]
    first = _kind(arrays[0], name, batch_axis)
    for index, array in enumerate(arrays):
        if _kind(array, name, batch_axis) != first:
            raise InvalidArgumentError(
                f"input '{name}' of request {index} (id '{requests[index].id}') is {array.dtype} {list(array.shape)}, "
                f"which does not fit {arrays[0].dtype} {list(arrays[0].shape)} of request 0"
                + ("" if batch_axis is None else f" along axis {batch_axis}")
            )
    if batch_axis is None:
        return np.stack(arrays), [1] * len(arrays)
    return np.concatenate(arrays, axis=batch_axis), [array.shape[batch_axis] for array in arrays]


def split(array: Array, sizes: Sequence[int], *, batch_axis: int | None = 0) -> list[Array]:
    """Cuts an array into what each request has of it; views, no copies.

    Args:
        array: What a model made of a stacked array.
        sizes: How much of the axis each request has, as :func:`stack` gave it.
        batch_axis: As it was given to :func:`stack`; None takes the first axis away again.

    Raises:
        ValueError: The axis has another length than the sizes make together.
    """
    import numpy as np

    axis = batch_axis or 0
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"an array of shape {list(array.shape)} has no axis {axis}")
    if array.shape[axis] != sum(sizes):
        raise ValueError(
            f"axis {axis} of an array of shape {list(array.shape)} has not the length {sum(sizes)} that the "
            f"{len(sizes)} requests have together"
        )
    parts = np.split(array, np.cumsum(sizes)[:-1], axis=axis) if sizes else []
    return [part[0] for part in parts] if batch_axis is None else parts


def groups(requests: Sequence[ModelInferRequest], name: str, *, batch_axis: int | None = 0) -> list[list[int]]:
    """The indices of the requests whose inputs ``name`` can be stacked with each other, group by group.

    Raises:
        KeyError: A request has no such input.
    """
    found: dict[Any, list[int]] = {}
    for index, request in enumerate(requests):
        kind = _kind(request.get_input(name).as_numpy(), name, batch_axis)
        found.setdefault(kind, []).append(index)
    return list(found.values())


def _kind(array: Array, name: str, batch_axis: int | None) -> tuple[Any, ...]:
    """What must be the same for two arrays to be stacked."""
    shape = list(array.shape)
    if batch_axis is not None:
        if not -len(shape) <= batch_axis < len(shape):
            raise InvalidArgumentError(f"input '{name}' of shape {shape} has no axis {batch_axis}")
        shape[batch_axis] = -1
    return (array.dtype.str, *shape)
