"""Whatever may be an object is the same when another worker gets it, be it small or in shared memory."""

from __future__ import annotations

import array
import functools
from typing import TYPE_CHECKING, Any

import anyserve
import numpy as np
import pytest

from tests.objects.doing import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.objects.remote import Remote

SIZES = {"small": 24, "inline at most": 1024, "shared": 4096, "large": 300_000}
"""Numbers of elements: up to 8 KiB objects are in the agent's own memory."""

DATATYPES = {
    "?": "BOOL",
    **{f"u{size}": f"UINT{8 * size}" for size in (1, 2, 4, 8)},
    **{f"i{size}": f"INT{8 * size}" for size in (1, 2, 4, 8)},
    **{f"f{size}": f"FP{8 * size}" for size in (2, 4, 8)},
}


class OnlyDLPack:
    """An array of another library: it has no buffer that Python knows of."""

    def __init__(self, data: Any) -> None:
        self._data = data

    def __dlpack__(self, **options: Any) -> Any:
        return self._data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self._data.__dlpack_device__()
        return device


def numbers(dtype: str, count: int) -> Any:
    """Elements, the same each time."""
    chance = np.random.default_rng(count)
    if "f" in dtype:
        return chance.standard_normal(count).astype(dtype)
    return chance.integers(0, 256, (count, 8), np.uint8).view("<u8")[:, 0].astype(dtype)


ARRAYS: dict[str, Callable[[int], Any]] = {
    **{kind: functools.partial(numbers, kind) for kind in DATATYPES},
    "no dimension": lambda count: np.array(2.5),
    "a numpy scalar": lambda count: np.float32(2.5),
    "empty": lambda count: np.zeros((0, count), np.int16),
    "many dimensions": lambda count: numbers("f4", count).reshape(2, 1, 2, -1),
    "every other": lambda count: numbers("i4", 2 * count)[::2],
    "backwards": lambda count: numbers("i4", count)[::-1],
    "a column": lambda count: numbers("f8", 3 * count).reshape(-1, 3)[:, 1],
    "transposed": lambda count: numbers("f8", count).reshape(4, -1).T,
    "Fortran's order": lambda count: np.asfortranarray(numbers("f4", count).reshape(2, -1)),
    "big-endian integers": lambda count: numbers(">i4", count),
    "big-endian floats": lambda count: numbers(">f8", count),
    "repeated": lambda count: np.broadcast_to(np.int32(7), (3, count)),
    "not a number": lambda count: np.array([np.nan, np.inf, -np.inf, -0.0] * count),
    "array.array": lambda count: array.array("h", range(count)) if count < 1 << 15 else array.array("q", range(count)),
    "DLPack": lambda count: OnlyDLPack(numbers("f4", count)),
    "DLPack in Fortran's order": lambda count: OnlyDLPack(np.asfortranarray(numbers("i8", count).reshape(2, -1))),
    "a list": lambda count: list(range(count)),
    "lists of lists": lambda count: [[float(row), -1.5] for row in range(count)],
    "no list": lambda count: [],
    "bools": lambda count: [True, False] * count,
    "a number": lambda count: 5,
}

PLAIN: dict[str, Callable[[int], Any]] = {
    "bytes": lambda count: numbers("u1", count).tobytes(),
    "no bytes": lambda count: b"",
    "bytearray": lambda count: bytearray(numbers("u1", count)),
    "memoryview": lambda count: memoryview(numbers("u1", count).tobytes()),
    "a memoryview of floats": lambda count: memoryview(numbers("f8", count)),
    "a memoryview of two dimensions": lambda count: memoryview(numbers("i2", count).reshape(2, -1)),
    "a part of bytes": lambda count: memoryview(numbers("u1", count).tobytes())[3:-3],
}

TEXTS: dict[str, Callable[[int], Any]] = {
    "text": lambda count: "ä" * count,
    "texts": lambda count: ["a" * number for number in range(min(count, 500))],
    "text and bytes": lambda count: [["é", b"\xff\x00"], ["", b"c"]] * count,
    "an array of text": lambda count: np.array(["ab", "c"] * count),
    "an array of bytes": lambda count: np.array([b"ab", b"c"] * count),
    "an array of objects": lambda count: np.array([b"a\x00", "b"] * count, object),
}


def make(case: str, count: int) -> str:
    """Runs in the one worker."""
    return str(anyserve.create({**ARRAYS, **PLAIN, **TEXTS}[case](count)))


def compare_array(case: str, count: int, name: str) -> list[Any]:
    """Runs in the other: what it got is what the first one had."""
    data = ARRAYS[case](count)
    expected = np.asarray(data._data if isinstance(data, OnlyDLPack) else data)
    reference, view = anyserve.ObjectRef.parse(name), anyserve.get(named(name))
    assert isinstance(view, np.ndarray)
    assert view.dtype == expected.dtype.newbyteorder("=")
    assert view.flags.c_contiguous
    # Bit by bit: numbers that are none differ from themselves.
    assert view.tobytes() == expected.astype(view.dtype).tobytes()
    assert view.shape == reference.shape == expected.shape
    assert reference.size == view.nbytes
    return [reference.datatype]


def compare_bytes(case: str, count: int, name: str) -> list[Any]:
    """The same for plain bytes."""
    view = anyserve.get(named(name))
    assert isinstance(view, memoryview)
    assert bytes(view) == bytes(PLAIN[case](count))
    reference = anyserve.ObjectRef.parse(name)
    assert reference.size == len(view)
    return [reference.datatype, reference.shape, view.format, view.readonly]


def compare_texts(case: str, count: int, name: str) -> list[Any]:
    """The same for text, of which everybody gets the bytes."""
    expected = np.array(TEXTS[case](count), object)
    expected = expected.reshape(expected.shape or (1,))
    got = np.asarray(anyserve.get(named(name)))
    assert got.shape == expected.shape == anyserve.ObjectRef.parse(name).shape
    assert got.ravel().tolist() == [
        text.encode() if isinstance(text, str) else bytes(text) for text in expected.ravel().tolist()
    ]
    return [anyserve.ObjectRef.parse(name).datatype, str(got.dtype)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", ARRAYS)
def test_an_array_is_the_same_in_another_worker(one: Remote, two: Remote, case: str, size: str) -> None:
    [datatype] = two.run(compare_array, case, SIZES[size], one.run(make, case, SIZES[size]))
    assert datatype == DATATYPES.get(case, datatype)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", PLAIN)
def test_bytes_are_the_same_in_another_worker(one: Remote, two: Remote, case: str, size: str) -> None:
    ref = one.run(make, case, SIZES[size])
    assert two.run(compare_bytes, case, SIZES[size], ref) == [None, None, "B", True]


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("case", TEXTS)
def test_text_is_the_same_in_another_worker(one: Remote, two: Remote, case: str, size: str) -> None:
    ref = one.run(make, case, SIZES[size])
    assert two.run(compare_texts, case, SIZES[size], ref) == ["BYTES", "object"]


def change_what_was_given(count: int) -> str:
    """Makes an object, and writes to the array afterwards."""
    data = np.ones(count, np.uint8)
    ref = anyserve.create(data)
    data[:] = 2
    return str(ref)


def first_of(name: str) -> int:
    """The first element."""
    return int(np.asarray(anyserve.get(named(name)))[0])


@pytest.mark.parametrize("size", SIZES)
def test_an_object_is_a_copy_of_what_was_given(one: Remote, two: Remote, size: str) -> None:
    ref = one.run(change_what_was_given, SIZES[size])
    assert two.run(first_of, ref) == one.run(first_of, ref) == 1


def create_with_keys(size: int) -> list[str]:
    """Objects of eight bytes each or more, whose messages differ in length."""
    return [str(anyserve.create(np.zeros(size // 8), key="k" * length)) for length in range(1, 17)]


def count_unaligned(names: list[str]) -> int:
    """How many of them start where no float may."""
    return sum(not np.asarray(anyserve.get(named(name))).flags.aligned for name in names)


@pytest.mark.parametrize(
    "size",
    [
        800,
        16384,
    ],
)
def test_arrays_are_aligned(one: Remote, two: Remote, size: int) -> None:
    assert two.run(count_unaligned, one.run(create_with_keys, size)) == 0
