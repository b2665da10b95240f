"""``context.call`` and ``anyserve.call``: arguments, errors, what a handler may be."""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyserve
import numpy as np
import pytest
from anyserve import Context
from anyserve._core import copied_bytes
from anyserve.errors import InternalError, NotFoundError

from tests.calls import doing
from tests.calls.doing import add, callee
from tests.objects.remote import CONTEXT, PATIENCE, Remote

if TYPE_CHECKING:
    from anyserve import Client, ModelInferRequest

    from tests.objects.remote import Remote as Worker


def test_the_context_and_the_module_have_the_same_calls() -> None:
    for name in ("call", "acall", "stream"):
        of_context = list(inspect.signature(getattr(Context, name)).parameters.values())[1:]
        assert of_context == [
            parameter.replace(annotation=parameter.empty)
            for parameter in inspect.signature(getattr(anyserve, name)).parameters.values()
        ]


def test_what_is_no_worker_makes_no_calls() -> None:
    with pytest.raises(RuntimeError, match="calls are for handlers; use a Client"):
        anyserve.call("one")


def test_a_handler_calls_another(one: Worker) -> None:
    assert one.run(doing.call, "two", "add", 1, 2) == 3


def call_by_capability() -> Any:
    """The name stands for nothing if a capability is given."""
    parameters = {"function": "tests.calls.doing:add", "arguments": "[1, 2]", "inputs": False}
    capability = {"type": "caller", "model": "two"}
    result = CONTEXT.get().call("whoever", capability=capability, parameters=parameters)
    return str(result.response.parameters["result"])


def test_a_capability_says_who_is_called(one: Worker) -> None:
    assert one.run(call_by_capability) == "3"


def test_nobody_offers_it(one: Worker) -> None:
    assert one.run(doing.call, "nobody", "add", 1, 2)[0] == NotFoundError.__name__


def test_a_wrong_argument_is_the_handlers_error(one: Worker) -> None:
    with pytest.raises(InternalError, match=r"TypeError.*unexpected keyword"):
        one.run(call_wrongly)


def call_wrongly() -> None:
    """Runs in a worker."""
    CONTEXT.get().call("two", nonsense=1)  # type: ignore[call-arg]


def test_handlers_on_a_loops_threads_call(shared: Client) -> None:
    narrow = Remote(shared.infer, "pair")
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda number: narrow.run(doing.call, "two", "add", number, 1), range(50)))
    assert found == list(range(1, 51))


def call_with_view(size: int) -> list[int]:
    """Passes objects, views and inputs on; how many bytes were copied for that."""
    array = anyserve.get(anyserve.create(np.arange(size, dtype=np.uint8)))
    before = copied_bytes()
    result = callee("two").infer(pass_back, inputs={"a": array, "b": array[16:]})
    again = callee("two").infer(pass_back, inputs={"a": result["a"], "b": result["b"]})
    return [copied_bytes() - before, len(again["a"]), len(again["b"])]


def pass_back(request: ModelInferRequest) -> Any:
    """Gives its inputs back."""
    response = anyserve.ModelInferResponse()
    for tensor in request.inputs:
        output = response.add_output(tensor.name, tensor.datatype, tensor.shape)
        output.contents = tensor.contents
    return response


@pytest.mark.parametrize("size", [20_000, 2 << 20])
def test_what_lies_in_shared_memory_is_not_copied(one: Worker, size: int) -> None:
    assert one.run(call_with_view, size) == [0, size, size - 16]


def call_in_batch(number: int) -> int:
    """By the context of one request of a batch, and in the name of all."""
    own = callee("two").run(add, number, 1)
    return int(Remote(anyserve.call, "two").run(add, own, 1))


def test_handlers_of_batches_call(shared: Client) -> None:
    batch = Remote(shared.infer, "batch")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: batch.run(call_in_batch, number), range(4)))
    assert [result for _, result in found] == [2, 3, 4, 5]
    assert max(size for size, _ in found) > 1


def call_many(count: int) -> int:
    """One after the other, and then as many at once as there are threads."""
    context = CONTEXT.get()
    with ThreadPoolExecutor(8) as pool:
        at_once = pool.map(lambda number: Remote(context.call, "two").run(add, number, 0), range(count))
        one_by_one = sum(callee("two").run(add, number, 0) for number in range(count))
        return int(one_by_one + sum(at_once))


def test_calls_do_not_wear_out(one: Worker) -> None:
    assert one.run(call_many, 200, timeout=PATIENCE) == 2 * sum(range(200))
