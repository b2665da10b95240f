"""Objects of clients: made and read over the connection, and passed to workers by reference."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import anyserve
import numpy as np
import pytest
from anyserve import AsyncClient, Client, ModelInferRequest, ObjectRef, Tensor, _core
from anyserve.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)

from tests.objects import doing
from tests.objects.doing import MIB, named
from tests.objects.remote import Remote, result_of
from tests.objects.test_bad_references import SHAPES, TEXTS, forged, nothing
from tests.objects.test_data import ARRAYS, PLAIN, OnlyDLPack, compare_array, compare_bytes, compare_texts
from tests.objects.test_data import TEXTS as TEXT_CASES
from tests.objects.test_room import QUOTA, numbers
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.objects.remote import Agent

COUNTS = [24, 4096, 300_000]
"""Numbers of elements: up to 8 KiB objects are in the agent's own memory."""


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("case", ARRAYS)
def test_an_array_goes_there_and_back(shared: Client, two: Remote, case: str, count: int) -> None:
    data = ARRAYS[case](count)
    ref = shared.objects.create(data)
    two.run(compare_array, case, count, ref)
    found = shared.objects.get(ref)
    expected = np.asarray(data._data if isinstance(data, OnlyDLPack) else data)
    assert isinstance(found, np.ndarray)
    assert not found.flags.writeable
    assert found.shape == expected.shape
    assert found.tobytes() == expected.astype(found.dtype).tobytes()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("case", PLAIN)
def test_bytes_go_there_and_back(shared: Client, two: Remote, case: str, count: int) -> None:
    ref = shared.objects.create(PLAIN[case](count))
    two.run(compare_bytes, case, count, ref)
    found = shared.objects.get(ref)
    assert isinstance(found, memoryview)
    assert found.readonly
    assert found == bytes(PLAIN[case](count))


@pytest.mark.parametrize("case", TEXT_CASES)
def test_text_goes_there(shared: Client, two: Remote, case: str) -> None:
    two.run(compare_texts, case, 1000, shared.objects.create(TEXT_CASES[case](1000)))


def test_a_copy_can_be_written_to(shared: Client) -> None:
    ref = shared.objects.create(np.ones(10_000, np.uint8))
    copy: Any = shared.objects.get(ref, copy=True)
    copy[:] = 2
    assert np.asarray(shared.objects.get(ref))[0] == 1
    plain = shared.objects.get(shared.objects.create(b"abc"), copy=True)
    assert isinstance(plain, bytearray)


def test_an_object_may_be_larger_than_any_message(shared: Client, two: Remote) -> None:
    data = np.random.default_rng(1).integers(0, 256, 80 * MIB, np.uint8)
    ref = shared.objects.create(data)
    assert np.array_equal(shared.objects.get(ref), data)
    assert two.run(first_and_last, ref) == [int(data[0]), int(data[-1])]
    assert shared.objects.delete(ref) is True


def first_and_last(name: str) -> list[int]:
    """Elements of an array."""
    array = np.asarray(anyserve.get(named(name)))
    return [int(array[0]), int(array[-1])]


def test_what_a_worker_made_is_there_for_clients(shared: Client, one: Remote) -> None:
    key = uuid.uuid4().hex
    ref = ObjectRef.parse(one.run(doing.create, 7, 20_000, key))
    assert shared.objects.lookup(key) == ref
    assert shared.objects.lookup([key, f"no {key}"]) == [ref, None]
    for name in (ref, key):
        assert doing.summary(shared.objects.get(name)) == [7, 20_000]
        assert shared.objects.stat(name).reference == ref
    assert shared.objects.delete(key) is True
    assert shared.objects.delete(key) is shared.objects.delete(ref) is False
    assert not one.run(doing.is_there, ref)


def test_what_a_client_made_is_there_for_workers(shared: Client, one: Remote) -> None:
    key = uuid.uuid4().hex
    ref = shared.objects.create(np.full(20_000, 8, np.uint8), key=key, ttl=3600, pin=True)
    assert one.run(doing.lookup, key) == str(ref)
    assert one.run(doing.read, key) == [8, 20_000]
    known = shared.objects.stat(ref)
    assert (known.key, known.pinned, known.location) == (key, True, "memory")
    assert known.expires_in is not None
    assert 3000 < known.expires_in <= 3600
    assert "client" in known.creator
    assert one.run(doing.delete, key) is True
    with pytest.raises(NotFoundError, match=f"object {ref.id} is not there"):
        shared.objects.get(ref)


def test_a_ttl_holds(shared: Client) -> None:
    ref = shared.objects.create(b"abc", ttl=0.5)

    def is_gone() -> bool:
        try:
            shared.objects.get(ref)
        except NotFoundError:
            return True
        return False

    eventually(is_gone, "it has expired")


def describe(request: ModelInferRequest) -> list[Any]:
    """What a worker sees of its input."""
    tensor = request.get_input("a")
    return [*doing.summary(tensor.as_numpy()), tensor.datatype, str(tensor.object_ref), _core.copied_bytes()]


def copied() -> int:
    """How much was copied in a worker so far."""
    return _core.copied_bytes()


@pytest.mark.parametrize("size", [16, 20_000, 4 * MIB])
def test_a_reference_is_an_input(shared: Client, one: Remote, two: Remote, size: int) -> None:
    before = two.run(copied)
    for ref in (ObjectRef.parse(one.run(doing.create, 9, size)), shared.objects.create(np.full(size, 9, np.uint8))):
        result = result_of(two.infer(describe, inputs={"a": ref}))
        assert result == [9, size, "UINT8", str(ref), before]
        result = result_of(two.infer(describe, inputs={"a": Tensor("a", ref)}))
        assert result == [9, size, "UINT8", str(ref), before]


def add_inputs(request: ModelInferRequest) -> list[int]:
    """The sums of all inputs, in order."""
    return [int(tensor.as_numpy().sum()) for tensor in request.inputs]


def test_references_go_beside_other_inputs(shared: Client, two: Remote) -> None:
    small, large = (shared.objects.create(np.full(size, 1, np.int64)) for size in (3, 50_000))
    inputs = {"a": [1, 2], "b": large, "c": np.full(100_000, 2, np.int64), "d": small, "e": [5], "f": large}
    assert result_of(two.infer(add_inputs, inputs=inputs)) == [3, 50_000, 200_000, 3, 5, 50_000]


@pytest.mark.parametrize("size", [16, 20_000])
def test_a_reference_that_is_wrong_is_refused(shared: Client, two: Remote, size: int) -> None:
    ref = shared.objects.create(np.full(size, 9, np.uint8))
    nobody = ObjectRef.parse(forged(ref, id="0" * 32))
    message = f"object {'0' * 32} is not there"
    with pytest.raises(NotFoundError, match=f"input 'a': {message}"):
        two.infer(nothing, inputs={"a": nobody})
    with pytest.raises(NotFoundError, match=message):
        shared.objects.get(nobody)
    with pytest.raises(NotFoundError, match=message):
        shared.objects.stat(nobody)
    assert shared.objects.delete(nobody) is False
    wrong = ObjectRef.parse(forged(ref, size=size + 1))
    message = f"the reference to object {ref.id} gives {size + 1} bytes, but the object has {size}"
    with pytest.raises(InvalidArgumentError, match=f"input 'a': {message}"):
        two.infer(nothing, inputs={"a": wrong})
    with pytest.raises(InvalidArgumentError, match=message):
        shared.objects.get(wrong)
    away = ObjectRef.parse(forged(ref, id="0" * 32, owner="127.0.0.1:1"))
    with pytest.raises(UnavailableError, match=r"input 'a': .*127\.0\.0\.1:1"):
        two.infer(nothing, inputs={"a": away})
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
        shared.objects.get(away)


@pytest.mark.parametrize(("tensor", "message"), SHAPES)
def test_a_tensor_that_is_not_as_large_as_the_object(
    shared: Client, two: Remote, tensor: dict[str, Any], message: str
) -> None:
    ref = shared.objects.create(np.full(16, 9, np.uint8))
    pattern = message.replace("{size}", "16").replace("{eightfold}", "128")
    with pytest.raises(InvalidArgumentError, match=pattern):
        two.infer(nothing, inputs={"a": Tensor("a", ref, **tensor)})


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_is_no_reference(shared: Client, text: str) -> None:
    request = ModelInferRequest("two")
    request.add_input("a", "FP32", [1], parameters={"object_ref": text})
    with pytest.raises(InvalidArgumentError, match=r"input 'a': .* is no reference to an object: "):
        _core.Client(shared.endpoint).infer(request)


def test_a_key_has_512_bytes_at_most(shared: Client) -> None:
    with pytest.raises(InvalidArgumentError, match="a key of 513 bytes is not from 1 to 512 bytes long"):
        shared.objects.create(b"abc", key="k" * 513)


def test_a_key_has_a_byte_at_least(shared: Client) -> None:
    with pytest.raises(InvalidArgumentError, match="a key of 0 bytes is not from 1 to 512 bytes long"):
        shared.objects.create(b"abc", key="")


@pytest.mark.parametrize("data", [None, {}, np.zeros(2, complex), np.array([{}], object)])
def test_what_has_no_datatype_is_refused(shared: Client, data: Any) -> None:
    with pytest.raises(TypeError):
        shared.objects.create(data)


@pytest.mark.parametrize("ttl", [0, -1, float("nan")])
def test_a_ttl_is_positive(shared: Client, ttl: float) -> None:
    with pytest.raises(ValueError, match="is not a positive number of seconds"):
        shared.objects.create(b"abc", ttl=ttl)


def test_a_call_may_run_out_of_time(shared: Client) -> None:
    data = np.zeros(40 * MIB, np.uint8)
    with pytest.raises(DeadlineExceededError):
        shared.objects.create(data, key="late", timeout=0.001)
    assert shared.objects.create(data, key="in time", timeout=60).size == 40 * MIB
    assert shared.objects.delete("in time") is True


def test_a_full_store_says_so(small: Agent) -> None:
    with pytest.raises(ResourceExhaustedError) as caught:
        small.client.objects.create(np.zeros(65 * MIB, np.uint8))
    message = r"(\d+) bytes .* no room in the object store: (\d+) of (\d+) are free \(--object-store-size\)"
    asked, _free, limit = numbers(message, str(caught.value))
    assert (asked, limit) == (65 * MIB, 64 * MIB)
    for value in range(7):
        small.client.objects.create(np.full(4 * MIB, value, np.uint8), pin=True)
    with pytest.raises(ResourceExhaustedError) as caught:
        small.client.objects.create(np.zeros(4 * MIB, np.uint8), pin=True)
    assert numbers(QUOTA, str(caught.value))[0] == 32 * MIB


def test_objects_of_clients_make_room(small: Agent) -> None:
    refs = [small.client.objects.create(np.full(4 * MIB, value, np.uint8)) for value in range(40)]
    there = [small.worker("one").run(doing.is_there, ref) for ref in refs]
    # The older ones went.
    assert there == sorted(there)
    assert there[-1]
    assert doing.summary(small.client.objects.get(refs[-1])) == [39, 4 * MIB]


async def test_the_same_with_asyncio(shared: Client, one: Remote) -> None:
    key = uuid.uuid4().hex
    async with AsyncClient(shared.endpoint) as client:
        ref = await client.objects.create(np.full(300_000, 4, np.uint8), key=key, ttl=60)
        assert await client.objects.lookup([key, "no such key"]) == [ref, None]
        assert doing.summary(await client.objects.get(key)) == [4, 300_000]
        copy: Any = await client.objects.get(ref, copy=True)
        copy[:] = 5
        assert (await client.objects.stat(ref)).key == key
        assert one.run(doing.read, ref) == [4, 300_000]
        assert await client.objects.delete(ref) is True
        with pytest.raises(NotFoundError):
            await client.objects.get(key)
        with pytest.raises(TypeError):
            await client.objects.create({})
        with pytest.raises(InvalidArgumentError):
            await client.objects.create(b"abc", key="k" * 513)


def test_without_a_server_it_is_unavailable() -> None:
    with Client("127.0.0.1:1") as client:
        for call in (lambda: client.objects.create(b"abc"), lambda: client.objects.get("key")):
            with pytest.raises(UnavailableError):
                call()
