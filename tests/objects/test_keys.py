"""Names of objects: the last object that was given a key has it, and what others have stays theirs."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from anyserve import Client, ObjectRef
from anyserve.errors import InvalidArgumentError, NotFoundError

from tests.objects import doing
from tests.objects.remote import Remote

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = [16, 20_000]
"""Bytes: in the agent's own memory, and in shared memory."""


@pytest.fixture
def key() -> str:
    """A key that no other test has."""
    return f"test-{uuid.uuid4().hex}"


@pytest.mark.parametrize("size", SIZES)
def test_a_key_names_an_object_to_every_worker(one: Remote, two: Remote, key: str, size: int) -> None:
    ref = one.run(doing.create, 1, size, key)
    for worker in (one, two):
        assert worker.run(doing.lookup, key) == ref
        assert worker.run(doing.read, key) == [1, size]
        assert worker.run(doing.stat, key)["reference"] == ref
        assert worker.run(doing.stat, ref)["key"] == key


@pytest.mark.parametrize("size", SIZES)
def test_of_two_creators_the_later_one_has_the_key(
    shared: Client, one: Remote, two: Remote, key: str, size: int
) -> None:
    earlier = one.run(doing.create, 1, size, key)
    two.run(doing.hold, earlier)
    later = two.run(doing.create, 2, size, key)
    for worker in (one, two, Remote(shared.infer, "three")):
        assert worker.run(doing.lookup, key) == later
        assert worker.run(doing.read, key) == [2, size]
        assert worker.run(doing.read, earlier) == [1, size]
    assert one.run(doing.stat, earlier)["key"] is None
    assert two.run(doing.read_held, earlier) == [1, size]
    # Deleting what has lost its key does not take the key from the other.
    assert one.run(doing.delete, earlier) is True
    assert one.run(doing.lookup, key) == later
    assert one.run(doing.delete, key) is True
    assert one.run(doing.lookup, key) is None
    two.run(doing.let_all_go)


def test_a_list_of_keys_has_an_answer_for_each(one: Remote, two: Remote, key: str) -> None:
    keys = [f"{key}-{number}" for number in range(100)]
    refs = {key: one.run(doing.create, number, 16, key) for number, key in enumerate(keys) if number % 3 == 0}
    assert two.run(doing.lookup, keys) == [refs.get(key) for key in keys]
    assert two.run(doing.lookup, keys[::-1]) == [refs.get(key) for key in keys[::-1]]
    assert two.run(doing.lookup, [keys[0], keys[0], keys[1]]) == [refs[keys[0]], refs[keys[0]], None]
    assert two.run(doing.lookup, []) == []


@pytest.mark.parametrize("by", ["key", "reference"])
@pytest.mark.parametrize("size", SIZES)
def test_what_is_deleted_is_gone_by_both_names(one: Remote, two: Remote, key: str, by: str, size: int) -> None:
    ref = one.run(doing.create, 1, size, key)
    two.run(doing.hold, ref)
    name = key if by == "key" else ref
    assert two.run(doing.delete, name) is True
    assert two.run(doing.delete, name) is False
    assert two.run(doing.lookup, key) is None
    assert not two.run(doing.is_there, ref)
    assert not one.run(doing.is_there, key)
    with pytest.raises(NotFoundError, match=f"no object goes by the key '{key}'"):
        two.run(doing.read, key)
    with pytest.raises(NotFoundError, match=f"object {ObjectRef.parse(ref).id} is not there: it was deleted"):
        two.run(doing.read, ref)
    # Who looks at it goes on looking.
    assert two.run(doing.read_held, ref) == [1, size]
    two.run(doing.let_all_go)


def test_a_key_can_be_given_again_after_a_deletion(one: Remote, two: Remote, key: str) -> None:
    first = one.run(doing.create, 1, 16, key)
    one.run(doing.delete, key)
    second = two.run(doing.create, 2, 16, key)
    assert first != second
    assert one.run(doing.read, key) == [2, 16]


ODD: dict[str, Callable[[str], str]] = {
    "the longest": lambda key: key.ljust(512, "x"),
    "the longest in UTF-8": lambda key: f"{key[:32]}{'é' * 240}",
    "spaces and line ends": lambda key: f"{key} \t\n\r",
    "a zero byte": lambda key: f"{key}\0x",
    "emoji": lambda key: f"{key} 🗝",
    "like a reference": lambda key: f"x:{key}://127.0.0.1:1/?size=1",
    "slashes": lambda key: f"../{key}/../..",
}


@pytest.mark.parametrize("odd", ODD)
def test_a_key_is_any_text(one: Remote, two: Remote, key: str, odd: str) -> None:
    name = ODD[odd](key)
    ref = one.run(doing.create, 7, 16, name)
    assert two.run(doing.lookup, [name, name[:-1]]) == [ref, None]
    assert two.run(doing.read, name) == [7, 16]
    assert two.run(doing.stat, ref)["key"] == name
    assert two.run(doing.delete, name) is True


@pytest.mark.parametrize(
    ("length", "letter"),
    [
        (0, "k"),
        (513, "k"),
        (257, "é"),
        (100_000, "k"),
    ],
)
def test_a_key_has_from_1_to_512_bytes(one: Remote, length: int, letter: str) -> None:
    message = f"a key of {len(letter.encode()) * length} bytes is not from 1 to 512 bytes long"
    for size in SIZES:
        with pytest.raises(InvalidArgumentError, match=message):
            one.run(doing.create, 1, size, letter * length)


def test_what_is_known_of_an_object(one: Remote, two: Remote, key: str) -> None:
    ref = one.run(doing.create, 1, 20_000, key, 3600, True)
    known = two.run(doing.stat, ref)
    assert (known["reference"], known["key"], known["pinned"], known["location"]) == (ref, key, True, "memory")
    assert known["creator"] == f"one, pid {one.run(doing.pid)}"
    assert 3500 < known["expires_in"] <= 3600
    assert 0 <= known["age"] < 3600
    known = one.run(doing.stat, one.run(doing.create, 1))
    assert (known["key"], known["pinned"], known["expires_in"]) == (None, False, None)
    one.run(doing.delete, key)
