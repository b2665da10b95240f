"""What ``get`` gives looks at the object in place and cannot change it; a copy can be changed and changes nothing."""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyserve
import numpy as np
import pytest
from anyserve import ObjectRef, _core

from tests.objects import doing
from tests.objects.doing import named

if TYPE_CHECKING:
    from tests.objects.remote import Remote

SIZES = [16, 8192, 8193, 1 << 20]
"""Bytes: the first two are in the agent's own memory."""


def write_to_view(name: str) -> bool:
    """Tries every way that Python has."""
    view = anyserve.get(named(name))
    assert isinstance(view, np.ndarray)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.setflags(write=True)
    with pytest.raises((TypeError, BufferError, ValueError)):
        memoryview(view.data)[0] = 1
    base = view.base
    while isinstance(base, np.ndarray):
        assert not base.flags.writeable
        base = base.base
    return view.flags.writeable


def write_to_bytes(name: str) -> bool:
    """The same for plain bytes."""
    view = anyserve.get(named(name))
    assert isinstance(view, memoryview)
    with pytest.raises(TypeError, match="read-only"):
        view[0] = 1
    assert memoryview(view.obj).readonly
    return view.readonly


@pytest.mark.parametrize("size", SIZES)
def test_a_view_is_read_only(one: Remote, two: Remote, size: int) -> None:
    ref = one.run(doing.create, 3, size)
    for worker in (one, two):
        assert worker.run(write_to_view, ref) is False


def create_bytes(size: int) -> str:
    """Plain bytes."""
    return str(anyserve.create(b"\x03" * size))


@pytest.mark.parametrize("size", SIZES)
def test_a_view_of_plain_bytes_is_read_only(one: Remote, two: Remote, size: int) -> None:
    ref = one.run(create_bytes, size)
    for worker in (one, two):
        assert worker.run(write_to_bytes, ref) is True


def change_a_copy(name: str) -> list[Any]:
    """Writes to a copy; what the copy and the object hold then."""
    copy: Any = anyserve.get(named(name), copy=True)
    other: Any = anyserve.get(named(name), copy=True)
    copy[:] = b"\x09" * len(copy) if isinstance(copy, bytearray) else 9
    return [type(copy).__name__, copy[0], other[0], np.asarray(anyserve.get(named(name)))[0].item()]


def to_int(values: list[Any]) -> list[Any]:
    """Numpy's numbers are no JSON."""
    return [int(value) if isinstance(value, np.integer) else value for value in values]


def change_a_copy_of(name: str) -> list[Any]:
    """Runs in a worker."""
    return to_int(change_a_copy(name))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("plain", [True, False])
def test_a_copy_is_its_owners(one: Remote, two: Remote, plain: bool, size: int) -> None:
    ref = one.run(create_bytes, size) if plain else one.run(doing.create, 3, size)
    for worker in (one, two):
        assert worker.run(change_a_copy_of, ref) == ["bytearray" if plain else "ndarray", 9, 3, 3]
    assert one.run(doing.read, ref) == [3, size]


def look_twice(name: str) -> list[bool]:
    """Whether two views are of one memory, whether that is shared memory, and whether anything was copied."""
    before = _core.copied_bytes()
    first, second = np.asarray(anyserve.get(named(name))), np.asarray(anyserve.get(named(name)))
    return [np.shares_memory(first, second), is_shared(first), _core.copied_bytes() > before]


def is_shared(array: Any) -> bool:
    """True if the array lies in a segment of shared memory."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, *_, path = line.split(maxsplit=5)
        start, end = (int(bound, 16) for bound in span.split("-"))
        if start <= address < end:
            return "memfd:" in path
    return False


def test_views_of_one_object_are_of_the_same_memory(one: Remote, two: Remote) -> None:
    ref = one.run(doing.create, 3, 1 << 20)
    for worker in (one, two):
        assert worker.run(look_twice, ref) == [True, True, False]


def outlive_everything() -> list[int]:
    """Parts of parts of a view, after everything else of the object is gone."""
    ref = anyserve.create(np.arange(100_000))
    part = np.asarray(anyserve.get(ref)).reshape(100, -1)[50:, ::100][1:]
    anyserve.delete(ref)
    for _ in range(8):
        anyserve.create(np.zeros(100_000))
    return [int(part[0, 0]), int(part[-1, -1])]


def test_a_part_of_a_view_keeps_all_of_it(one: Remote) -> None:
    assert one.run(outlive_everything) == [51_000, 99_900]


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(self._path),))


def create_pickle(path: str) -> str:
    """A pickle, as bytes."""
    return str(anyserve.create(pickle.dumps(Bomb(path))))


def get_pickle(name: str) -> int:
    """What other workers have of it: bytes."""
    view = anyserve.get(named(name))
    assert isinstance(view, memoryview)
    return len(list(pickletools.genops(bytes(view))))


def test_a_pickle_is_bytes_and_nothing_else(one: Remote, two: Remote, tmp_path: Path) -> None:
    path = tmp_path / "exploded"
    assert two.run(get_pickle, one.run(create_pickle, str(path))) > 0
    assert not path.exists()


def test_a_reference_can_be_kept_in_any_way(one: Remote) -> None:
    text = one.run(doing.create, 3)
    ref = ObjectRef.parse(text)
    assert str(ref) == text
    assert pickle.loads(pickle.dumps(ref)) == ref
    assert {ref: 1}[ObjectRef.parse(text)] == 1
    assert ref != ObjectRef.parse(text.replace(ref.id, "0" * 32))
    assert repr(ref) == f"ObjectRef('{text}')"
    assert (ref.size, ref.datatype, ref.shape) == (16, "UINT8", (16,))
