"""References as tensors: the other worker looks at the same bytes, and can pass them on and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyserve
import numpy as np
import pytest
from anyserve import ModelInferRequest, ModelInferResponse, ObjectRef, Tensor, _core

from tests.objects import doing
from tests.objects.doing import HELD, MIB, named
from tests.objects.remote import Remote, result_of
from tests.objects.test_views import is_shared
from tests.waiting import eventually

if TYPE_CHECKING:
    from anyserve import Client

SIZES = [16, 8193, 4 * MIB]


def describe(request: ModelInferRequest) -> list[Any]:
    """What the second worker sees of its input."""
    tensor = request.get_input("a")
    view = tensor.as_numpy()
    assert not view.flags.writeable
    return [*doing.summary(view), tensor.datatype, list(tensor.shape), str(tensor.object_ref)]


def send(name: str) -> Any:
    """Runs in the first worker."""
    return result_of(Remote(anyserve.call, "two").infer(describe, inputs={"a": named(name)}))


@pytest.mark.parametrize("size", SIZES)
def test_an_input_by_reference_is_the_object(one: Remote, two: Remote, size: int) -> None:
    for creator in (one, two):
        ref = creator.run(doing.create, 9, size)
        assert one.run(send, ref) == [9, size, "UINT8", [size], ref]


def send_bytes() -> Any:
    """Plain bytes are a tensor of UINT8."""
    return send(str(anyserve.create(b"\x05" * 10_000)))[:4]


def test_plain_bytes_are_a_tensor_too(one: Remote) -> None:
    assert one.run(send_bytes) == [5, 10_000, "UINT8", [10_000]]


def hold_input(request: ModelInferRequest) -> list[Any]:
    """Goes on looking at the input; whether it lies in shared memory, and how much was ever copied here."""
    view = HELD["input"] = request.get_input("a").as_numpy()
    return [is_shared(view), _core.copied_bytes()]


def send_to_hold(name: str) -> Any:
    """Runs in the first worker."""
    return Remote(anyserve.call, "two").infer(hold_input, inputs={"a": named(name)}).response.parameters["result"]


def copied() -> int:
    """How much was copied in this worker so far."""
    return _core.copied_bytes()


def test_nothing_is_copied_on_the_way(shared: Client, one: Remote, two: Remote) -> None:
    ref = one.run(doing.create, 9, 4 * MIB)
    before = [worker.run(copied) for worker in (one, two)]
    # Not only while it is in the hands of its creator.
    eventually(lambda: one.run(doing.stat, ref)["leases"] == 0, "nobody holds it")
    assert one.run(send_to_hold, ref) == f"[true, {before[1]}]"
    assert [worker.run(copied) for worker in (one, two)] == before
    eventually(lambda: Remote(shared.infer, "three").run(doing.stat, ref)["leases"] == 1, "only the view holds it")
    two.run(doing.let_all_go)
    eventually(lambda: one.run(doing.stat, ref)["leases"] == 0, "nobody holds it")


def send_view(name: str) -> list[Any]:
    """What was got goes on without a copy, whole or in part."""
    view = np.asarray(anyserve.get(named(name)))
    before = _core.copied_bytes()
    two = Remote(anyserve.call, "two")
    whole = two.infer(hold_input, inputs={"a": view}).response.parameters["result"]
    part = two.infer(hold_input, inputs={"a": view[MIB : 3 * MIB]}).response.parameters["result"]
    return [whole, part, _core.copied_bytes() - before]


def test_a_view_as_an_input_is_not_copied(one: Remote, two: Remote) -> None:
    ref = one.run(doing.create, 9, 4 * MIB)
    before = two.run(copied)
    assert one.run(send_view, ref) == [f"[true, {before}]", f"[true, {before}]", 0]
    two.run(doing.let_all_go)


def send_array(size: int) -> list[Any]:
    """An array that is in no shared memory takes one copy."""
    array = np.full(size, 4, np.uint8)
    before = _core.copied_bytes()
    result = Remote(anyserve.call, "two").infer(hold_input, inputs={"a": array}).response.parameters["result"]
    return [result, _core.copied_bytes() - before]


def test_an_array_as_an_input_is_copied_once(one: Remote, two: Remote) -> None:
    before = two.run(copied)
    assert one.run(send_array, 4 * MIB) == [f"[true, {before}]", 4 * MIB]
    assert two.run(held_input) == [4, 4 * MIB]
    two.run(doing.let_all_go)


def held_input() -> list[int]:
    """What is held shows."""
    return doing.summary(HELD["input"])


def pass_on(request: ModelInferRequest) -> ModelInferResponse:
    """The second worker: has a third one look at its input, and says what that saw."""
    tensor = request.get_input("a")
    return Remote(anyserve.call, "three").infer(describe, inputs={"a": tensor}).response


def send_further(name: str) -> Any:
    """The first worker."""
    return Remote(anyserve.call, "two").infer(pass_on, inputs={"a": named(name)}).response.parameters["result"]


@pytest.mark.parametrize("size", SIZES)
def test_an_input_can_be_passed_on(one: Remote, size: int) -> None:
    ref = one.run(doing.create, 9, size)
    assert one.run(send_further, ref) == f'[9, {size}, "UINT8", [{size}], "{ref}"]'


def answer_with_object(request: ModelInferRequest) -> ModelInferResponse:
    """The second worker: makes an object, and gives both back."""
    response = ModelInferResponse()
    response.add_output("same", data=request.get_input("a").object_ref)
    response.add_output("new", data=anyserve.create(request.get_input("a").as_numpy() + np.uint8(1)))
    response.add_output("inline", data=request.get_input("a").as_numpy())
    return response


def ask_for_object(name: str) -> list[Any]:
    """The first worker."""
    before = _core.copied_bytes()
    result = Remote(anyserve.call, "two").infer(answer_with_object, inputs={"a": named(name)})
    same, new, inline = result["same"], result["new"], result["inline"]
    assert isinstance(same, ObjectRef)
    assert isinstance(new, ObjectRef)
    assert result.response.get_output("new").object_ref == new
    values = [doing.summary(view) for view in (anyserve.get(same), anyserve.get(new), inline)]
    return [str(same), values, is_shared(inline), _core.copied_bytes() - before]


@pytest.mark.parametrize("size", SIZES)
def test_an_output_can_be_an_object(one: Remote, size: int) -> None:
    ref = one.run(doing.create, 9, size)
    same, values, shared, copied = one.run(ask_for_object, ref)
    assert same == ref
    assert values == [[9, size], [10, size], [9, size]]
    assert copied == 0
    # Also what the second one gave back as an array goes by where it lies, unless it fits the message.
    assert shared is (size > 8192)


def test_a_client_gets_a_reference(shared: Client, two: Remote) -> None:
    ref = two.run(doing.create, 9, 20_000)
    result = two.infer(give, ref)
    assert str(result["y"]) == ref
    assert result.response.get_output("y").object_ref == ObjectRef.parse(ref)
    assert (result["y"].datatype, result["y"].shape) == ("UINT8", (20_000,))


def give(name: str) -> ModelInferResponse:
    """Answers with the object of that name."""
    response = ModelInferResponse()
    response.add_output("y", data=named(name))
    return response


def send_deleted(name: str) -> list[int]:
    """Deletes the object while the other worker still has it as its input."""
    two = Remote(anyserve.call, "two")
    two.infer(hold_input, inputs={"a": named(name)})
    anyserve.delete(named(name))
    for value in range(8):
        doing.create(value, 4 * MIB)
    return [int(value) for value in two.run(held_input)]


def test_an_input_outlives_its_object(one: Remote, two: Remote) -> None:
    assert one.run(send_deleted, one.run(doing.create, 9, 4 * MIB)) == [9, 4 * MIB]
    two.run(doing.let_all_go)


def set_contents(request: ModelInferRequest) -> list[Any]:
    """A tensor by reference that is given other contents is no reference any more."""
    other = Tensor("b", request.get_input("a").object_ref)
    other.contents = Tensor("c", np.zeros(16, np.uint8)).contents
    return [str(other.object_ref), other.as_numpy().tolist()]


def send_to(function_name: str, name: str) -> Any:
    """Runs in the first worker."""
    function = globals()[function_name]
    return Remote(anyserve.call, "two").infer(function, inputs={"a": named(name)}).response.parameters["result"]


def test_contents_take_the_place_of_a_reference(one: Remote) -> None:
    ref = one.run(doing.create, 9, 16)
    assert one.run(send_to, "set_contents", ref) == f'["None", {[0] * 16}]'
