"""Arrays in shared memory that are filled in place and sealed without a copy; what is not sealed is given back."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

import anyserve
import numpy as np
import pytest
from anyserve import _core
from anyserve.errors import InternalError, InvalidArgumentError, ResourceExhaustedError

from tests.objects import doing
from tests.objects.doing import HELD, MIB, named
from tests.objects.test_views import is_shared

if TYPE_CHECKING:
    from tests.objects.remote import Agent, Remote

DTYPES = {
    **{name: name for name in ("BOOL", "UINT8", "UINT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64")},
    **{"?": "BOOL", "i1": "INT8", "u4": "UINT32", "u8": "UINT64", "float16": "FP16", "float64": "FP64"},
}


def fill_and_seal(shape: Any, dtype: str, key: str | None) -> list[Any]:
    """Fills it with what has all kinds of bits."""
    before = _core.copied_bytes()
    empty = anyserve.create_empty(shape, dtype, key=key, ttl=3600)
    array = empty.array
    shared = array.size == 0 or is_shared(array)
    array[...] = pattern(array)
    ref = empty.seal()
    assert empty.array.flags.writeable is False
    with pytest.raises(ValueError, match="read-only"):
        empty.array[...] = 0
    return [str(ref), shared, _core.copied_bytes() - before]


def pattern(array: Any) -> Any:
    """Values for an array, by its shape and dtype alone."""
    bits = np.random.default_rng(1).integers(0, 256, array.size * array.itemsize, np.uint8)
    if array.dtype == bool:
        return (bits & 1).view(bool).reshape(array.shape)
    return bits.view(array.dtype).reshape(array.shape)


def check(name: str, key: str) -> list[Any]:
    """The object that the pattern was made of, in another worker."""
    ref = named(name)
    view = np.asarray(anyserve.get(ref))
    assert view.tobytes() == pattern(view).tobytes()
    assert isinstance(ref, anyserve.ObjectRef)
    assert anyserve.lookup(key) == ref
    return [ref.datatype, list(view.shape), str(view.dtype), ref.size]


@pytest.mark.parametrize("shape", [(2, 3), (), (0, 4), (100, 50), (1 << 20,)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_was_filled_in_is_the_object(one: Remote, two: Remote, dtype: str, shape: tuple[int, ...]) -> None:
    key = uuid.uuid4().hex
    ref, shared, copied = one.run(fill_and_seal, shape, dtype, key)
    assert shared
    assert copied == 0
    datatype, found, numpys, size = two.run(check, ref, key)
    assert (datatype, found) == (DTYPES[dtype], list(shape))
    itemsize = np.dtype(numpys).itemsize
    assert size == itemsize * int(np.prod(shape, dtype=int))
    assert numpys == "uint16" if datatype == "BF16" else True
    one.run(doing.delete, ref)


def seal_big_endian() -> str:
    """Fills an array whose bytes are the other way round."""
    empty = anyserve.create_empty(4, ">i4")
    empty.array[...] = 7
    return str(empty.seal())


def elements(name: str) -> list[Any]:
    """What an array holds."""
    listed: list[Any] = np.asarray(anyserve.get(named(name))).tolist()
    return listed


def test_a_big_endian_dtype_gives_the_same_numbers_to_others(one: Remote, two: Remote) -> None:
    assert two.run(elements, one.run(seal_big_endian)) == [7, 7, 7, 7]


def seal_twice() -> bool:
    """Seals it again, which must not harm it."""
    empty = anyserve.create_empty(4, "INT32")
    empty.array[...] = 7
    ref = empty.seal()
    for _ in range(2):
        with pytest.raises(ValueError, match="it was sealed before"):
            empty.seal()
    return elements(str(ref)) == [7, 7, 7, 7]


def test_it_is_sealed_once(one: Remote) -> None:
    assert one.run(seal_twice) is True


def seal_with(options: dict[str, Any]) -> None:
    """Fails when it is sealed."""
    anyserve.create_empty(2_000_000, "UINT8", **options).seal()


def test_an_object_that_is_refused_at_last_gives_its_memory_back(small: Agent) -> None:
    one = small.worker("one")
    for _ in range(100):
        with pytest.raises(InvalidArgumentError, match="a key of 513 bytes"):
            one.run(seal_with, {"key": "k" * 513})


REFUSED = {
    "a negative length": ((-1,), "INT8", r"ValueError: shape \[-1\]"),
    "more than there are addresses": ((1 << 62, 4), "FP64", "ValueError: shape"),
    "text": ((2,), "BYTES", "TypeError: "),
    "complex": ((2,), "complex64", "TypeError: an array of dtype complex64 has no datatype"),
    "objects": ((2,), "object", "TypeError: an array of dtype object has no datatype"),
    "no dtype": ((2,), "FP8", "TypeError: .*FP8"),
    "no shape": ("x", "INT8", "TypeError: "),
    "half a length": (2.5, "INT8", "TypeError: "),
}


def make_empty(shape: Any, dtype: str) -> None:
    """Runs in a worker."""
    anyserve.create_empty(shape, dtype)


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_an_array_is_refused(one: Remote, case: str) -> None:
    shape, dtype, message = REFUSED[case]
    with pytest.raises(InternalError, match=f"^{message}"):
        one.run(make_empty, shape, dtype)


def test_more_than_there_is_says_how_much_was_asked_for(one: Remote) -> None:
    with pytest.raises(ResourceExhaustedError) as caught:
        one.run(make_empty, [1 << 40], "FP64")
    found = re.search(r"(\d+) bytes were asked for, and (\d+) of (\d+) are free for it", str(caught.value))
    assert found
    asked, free, limit = map(int, found.groups())
    assert asked == 8 << 40
    assert free <= limit < asked


def fill_and_drop(size: int, times: int) -> int:
    """Arrays that are never sealed, one after the other."""
    for number in range(times):
        anyserve.create_empty(size, "UINT8").array[:: MIB // 4] = number
    return times


def keep_the_array_alone(size: int) -> list[int]:
    """The array stays usable when nothing else is left of it, and its memory taken."""
    empty = anyserve.create_empty(size, "UINT8")
    array = HELD["array"] = empty.array[10:]
    array[:] = 1
    del empty
    others = [anyserve.create_empty(size, "UINT8").array for _ in range(3)]
    for other in others:
        other[:] = 2
    return [int(array.min()), int(array.max())]


def test_what_is_never_sealed_is_given_back(small: Agent) -> None:
    # Many times what there is.
    assert small.worker("one").run(fill_and_drop, 40 * MIB, 50) == 50


def test_an_array_is_there_for_as_long_as_a_part_of_it(one: Remote) -> None:
    assert one.run(keep_the_array_alone, 2 * MIB) == [1, 1]
    one.run(doing.let_all_go)
