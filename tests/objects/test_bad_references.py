"""References that are wrong: each is refused with what is wrong with it, wherever it is used, and harms nobody."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

import anyserve
import pytest
from anyserve import ModelInferRequest, ObjectRef, Tensor
from anyserve._core import call
from anyserve.errors import InvalidArgumentError, NotFoundError, RequestError, UnavailableError

from tests.objects import doing
from tests.objects.doing import named
from tests.objects.remote import Remote
from tests.objects.test_references import give

if TYPE_CHECKING:
    from collections.abc import Iterator


def nothing(request: ModelInferRequest) -> None:
    """A handler that must not be reached."""
    raise AssertionError("it was reached")


def call_with(tensor: dict[str, Any]) -> None:
    """Runs in a worker; the tensor has just these attributes."""
    data = named(tensor.pop("data")) if "data" in tensor else None
    Remote(anyserve.call, "two").infer(nothing, inputs={"a": Tensor("a", data, **tensor)})


@pytest.fixture(params=[16, 20_000], ids=["small", "shared"])
def ref(one: Remote, request: pytest.FixtureRequest) -> Iterator[ObjectRef]:
    """An object, which is as it was after all."""
    ref = ObjectRef.parse(one.run(doing.create, 9, request.param))
    yield ref
    assert one.run(doing.read, str(ref)) == [9, ref.size]


def forged(ref: ObjectRef, **changes: Any) -> str:
    """The text of the reference with other parts."""
    parts = {"owner": ref.owner, "id": ref.id, "size": ref.size, "datatype": ref.datatype, "shape": ref.size, **changes}
    return "anyserve://{owner}/{id}?size={size}&datatype={datatype}&shape={shape}".format(**parts)


def test_an_id_that_is_forged(one: Remote, two: Remote, ref: ObjectRef) -> None:
    name = forged(ref, id=uuid.uuid4().hex)
    message = f"object {ObjectRef.parse(name).id} is not there"
    for function in (doing.read, doing.stat, doing.hold):
        with pytest.raises(NotFoundError, match=message):
            two.run(function, name)
    assert two.run(doing.delete, name) is False
    with pytest.raises(NotFoundError, match=f"input 'a': {message}"):
        one.run(call_with, {"data": name})


@pytest.mark.parametrize("change", [-1, 1, 1 << 40])
def test_a_size_that_is_wrong(one: Remote, two: Remote, ref: ObjectRef, change: int) -> None:
    size = ref.size + change
    name = forged(ref, size=size)
    message = f"the reference to object {ref.id} gives {size} bytes, but the object has {ref.size}"
    for worker in (one, two):
        with pytest.raises(InvalidArgumentError, match=message):
            worker.run(doing.read, name)
        with pytest.raises(InvalidArgumentError, match=f"input 'a': {message}"):
            worker.run(call_with, {"data": name})


@pytest.mark.parametrize("changes", [{"datatype": "INT64"}, {"shape": "4,4"}, {"datatype": "FP32", "shape": "2"}])
def test_a_text_that_gives_another_array(one: Remote, two: Remote, ref: ObjectRef, changes: dict[str, Any]) -> None:
    """A get has the object as it was made, whatever the reference says."""
    for worker in (two, one):
        assert worker.run(doing.read, forged(ref, **changes)) == [9, ref.size]


SHAPES: list[tuple[dict[str, Any], str]] = [
    ({"shape": [4, 5]}, r"input 'a': shape \[4, 5\] of UINT8 needs 20 bytes, but the contents hold {size}"),
    ({"datatype": "INT64"}, r"input 'a': shape \[{size}\] of INT64 needs {eightfold} bytes, but the contents hold"),
    ({"shape": []}, r"input 'a': shape \[\] of UINT8 needs 1 bytes, but the contents hold {size}"),
    ({"shape": [-16]}, r"input 'a': shape \[-16\] has a negative or too large dimension"),
    ({"datatype": "BYTES", "shape": [1]}, "input 'a': element 0 of BYTES claims"),
]


@pytest.mark.parametrize(("tensor", "message"), SHAPES)
def test_a_tensor_that_is_not_as_large_as_the_object(
    one: Remote, ref: ObjectRef, tensor: dict[str, Any], message: str
) -> None:
    pattern = message.replace("{size}", str(ref.size)).replace("{eightfold}", str(8 * ref.size))
    with pytest.raises(InvalidArgumentError, match=pattern):
        one.run(call_with, {"data": str(ref), **tensor})


def see(request: ModelInferRequest) -> list[Any]:
    """What the second worker sees."""
    tensor = request.get_input("a")
    return [tensor.datatype, list(tensor.shape), tensor.as_numpy().tobytes() == b"\x09" * 16]


def see_as(name: str) -> Any:
    """Looks at the object as an array of another datatype and shape, of as many bytes."""
    tensor = Tensor("a", named(name), datatype="INT32", shape=[2, 2])
    return Remote(anyserve.call, "two").infer(see, inputs={"a": tensor}).response.parameters["result"]


def test_a_tensor_that_is_as_large_may_be_something_else(one: Remote) -> None:
    assert one.run(see_as, one.run(doing.create, 9, 16)) == '["INT32", [2, 2], true]'


TEXTS = [
    "",
    "nonsense",
    "anyserve://",
    "anyserve://127.0.0.1:7000/",
    "http://127.0.0.1:7000/07070707070707070707070707070707?size=4",
    "anyserve://127.0.0.1:7000/07070707070707070707070707070707",
    "anyserve://127.0.0.1:70000/07070707070707070707070707070707?size=4",
    "anyserve://127.0.0.1:7000/07070707070707070707070707070707?size=4&datatype=FP32&shape=-1",
    "anyserve://127.0.0.1:7000/0707070707070707070707070707070G?size=4",
    "anyserve://127.0.0.1:7000/07070707070707070707070707070707?size=4" + "&x=1" * 10_000,
    "anyserve://" + "é" * 2000,
]


def call_with_parameter(value: Any) -> None:
    """Runs in a worker: a request that no code of ours has looked at before it is sent."""
    request = ModelInferRequest("two")
    request.add_input("a", "FP32", [1], parameters={"object_ref": value})
    call(request)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_is_no_reference(one: Remote, text: str) -> None:
    with pytest.raises(ValueError, match="is no reference to an object: "):
        ObjectRef.parse(text)
    message = f"input 'a': '{re.escape(text[:60])}.* is no reference to an object: "
    with pytest.raises(InvalidArgumentError, match=message) as caught:
        one.run(call_with_parameter, text)
    assert len(str(caught.value)) < 1000


def call_with_text(text: str) -> None:
    """Runs in a worker."""
    with pytest.raises(ValueError, match="is no reference to an object: "):
        call_with({"datatype": "FP32", "shape": [1], "parameters": {"object_ref": text}})


def test_a_text_that_is_no_reference_is_not_even_sent(one: Remote) -> None:
    one.run(call_with_text, "nonsense")


@pytest.mark.parametrize("value", [5, True, 1.5])
def test_a_reference_that_is_no_text(one: Remote, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="input 'a': parameter 'object_ref' must be text"):
        one.run(call_with_parameter, value)


def test_an_unknown_datatype_in_a_reference(one: Remote, ref: ObjectRef) -> None:
    with pytest.raises(RequestError, match="datatype 'FP8' is unknown"):
        one.run(call_with, {"data": forged(ref, datatype="FP8")})


def test_a_port_where_nobody_listens(one: Remote, ref: ObjectRef) -> None:
    name = forged(ref, owner="127.0.0.1:1", id=uuid.uuid4().hex)
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
        one.run(doing.read, name)
    with pytest.raises(UnavailableError, match=r"input 'a': .*127\.0\.0\.1:1"):
        one.run(call_with, {"data": name})


def test_a_host_that_there_is_not(one: Remote, ref: ObjectRef) -> None:
    name = forged(ref, owner="nowhere.invalid:7000", id=uuid.uuid4().hex)
    with pytest.raises(UnavailableError, match=r"nowhere\.invalid"):
        one.run(doing.read, name)


def get_output(name: str) -> None:
    """Runs in a worker: asks the other one for a reference to nothing, and follows it."""
    anyserve.get(Remote(anyserve.call, "two").infer(give, name)["y"])


def test_an_output_that_refers_to_nothing_is_noticed_by_who_follows_it(one: Remote, ref: ObjectRef) -> None:
    name = forged(ref, id=uuid.uuid4().hex)
    with pytest.raises(NotFoundError, match=f"object {ObjectRef.parse(name).id} is not there"):
        one.run(get_output, name)
