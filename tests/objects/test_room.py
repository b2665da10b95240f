"""A full store: what was not used for the longest time makes room, but nothing that is pinned or looked at."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import anyserve
import pytest
from anyserve.errors import ResourceExhaustedError

from tests.objects import doing
from tests.objects.doing import MIB
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.objects.remote import Agent, Remote

SIZE = 4 * MIB
"""Of each object; sixteen fill the store, if nothing is kept for anybody else."""


def create(value: int, size: int = SIZE, pin: bool = False) -> str:
    """Makes an object that nobody holds afterwards."""
    ref = doing.create(value, size, key=f"object {value}", pin=pin)
    doing.forget()
    return ref


def create_all(first: int, last: int) -> list[str]:
    """Makes objects that nobody holds afterwards."""
    return [create(value) for value in range(first, last)]


def use(name: str) -> list[int]:
    """Looks at an object for a moment."""
    read = doing.read(name)
    doing.forget()
    return read


def there(names: list[str]) -> list[bool]:
    """Which of the objects are there; asking does not count as a use."""
    return [doing.is_there(name) for name in names]


def wait_unheld(worker: Remote, names: list[str]) -> None:
    """Waits until nobody holds any of them."""
    eventually(lambda: not any(worker.run(doing.stat, name)["leases"] for name in names), "nobody holds them")


def test_the_least_recently_used_go_first(small: Agent) -> None:
    one, two = small.worker("one"), small.worker("two")
    refs = one.run(create_all, 0, 10)
    for used in (0, 3):
        assert two.run(use, refs[used]) == [used, SIZE]
    # By its key it is used too.
    assert two.run(use, "object 5") == [5, SIZE]
    wait_unheld(one, refs)
    gone: list[int] = []
    for value in range(10, 24):
        one.run(create, value)
        left = one.run(there, refs)
        gone += [number for number in range(10) if not left[number] and number not in gone]
    assert gone == [1, 2, 4, 6, 7, 8, 9, 0, 3, 5]


def create_in_a_row(count: int) -> int:
    """Makes objects without a pause, and holds none of them."""
    for value in range(count):
        doing.create(value, SIZE)
    return count


def test_what_nobody_holds_makes_room_at_once(small: Agent) -> None:
    assert small.worker("one").run(create_in_a_row, 40) == 40


def create_small(count: int) -> list[bool]:
    """Makes small objects, many more than there is room for: whether the first and the last one are there."""
    refs = [doing.create(value % 251, 8000) for value in range(count)]
    return there([refs[0], refs[-1]])


def test_small_objects_make_room_too(small: Agent) -> None:
    assert small.worker("one").run(create_small, 12_000) == [False, True]


def test_what_is_pinned_stays(small: Agent) -> None:
    one, two = small.worker("one"), small.worker("two")
    pinned = [one.run(create, value, SIZE, True) for value in range(4)]
    for first in range(4, 40, 4):
        others = one.run(create_all, first, first + 4)
        assert all(two.run(there, pinned))
    assert all(one.run(there, others))
    assert [two.run(doing.read, ref) for ref in pinned] == [[value, SIZE] for value in range(4)]
    assert all(two.run(doing.stat, ref)["pinned"] for ref in pinned)


def test_what_is_looked_at_stays(small: Agent) -> None:
    one, two = small.worker("one"), small.worker("two")
    refs = one.run(create_all, 0, 4)
    two.run(doing.hold, refs[1])
    for first in range(4, 40, 4):
        one.run(create_all, first, first + 4)
    assert one.run(there, refs) == [False, True, False, False]
    assert two.run(doing.read_held, refs[1]) == [1, SIZE]
    assert two.run(doing.read, refs[1]) == [1, SIZE]
    two.run(doing.let_all_go)
    two.run(doing.forget)
    wait_unheld(one, [refs[1]])
    for first in range(40, 60, 4):
        one.run(create_all, first, first + 4)
    assert one.run(there, refs) == [False] * 4


def numbers(pattern: str, message: str) -> list[int]:
    """The numbers in a message."""
    found = re.search(pattern, message)
    assert found, message
    return [int(number) for number in found.groups()]


QUOTA = r"pinned objects may take (\d+) bytes together, half of the object store, and have (\d+); with (\d+) more"


def test_pins_take_half_of_the_store_at_most(small: Agent) -> None:
    one, two = small.worker("one"), small.worker("two")
    pinned = [one.run(create, value, SIZE, True) for value in range(7)]
    for worker in (one, two):
        with pytest.raises(ResourceExhaustedError) as caught:
            worker.run(create, 8, SIZE, True)
        limit, taken, more = numbers(QUOTA, str(caught.value))
        assert limit == 32 * MIB
        # An object counts with what is noted of it.
        assert 7 * SIZE <= taken <= 7 * (SIZE + 4096)
        assert SIZE <= more <= SIZE + 4096
    # Without a pin there is room, and with one for less.
    one.run(create, 8)
    small_one = two.run(create, 9, 2 * MIB, True)
    assert two.run(there, [*pinned, small_one]) == [True] * 8
    # What is unpinned or gone makes room for another.
    assert two.run(doing.delete, pinned[0]) is True
    one.run(create, 10, SIZE, True)


def fill_with_pin(pin: bool) -> Any:
    """An array that is pinned as soon as it is an object."""
    empty = anyserve.create_empty(33 * MIB, "UINT8", pin=pin)
    empty.array[:] = 1
    return str(empty.seal())


def test_a_pin_over_the_quota_is_refused_at_the_seal(small: Agent) -> None:
    one = small.worker("one")
    for _ in range(4):
        with pytest.raises(ResourceExhaustedError, match="pinned objects may take"):
            one.run(fill_with_pin, True)
    assert one.run(doing.read, one.run(fill_with_pin, False)) == [1, 33 * MIB]


def create_expiring(size: int, ttl: float) -> str:
    """Pinned for a while."""
    return doing.create(1, size, pin=True, ttl=ttl)


def test_a_pin_does_not_outlast_its_object(small: Agent) -> None:
    one = small.worker("one")
    ref = one.run(create_expiring, 30 * MIB, 1.0)
    eventually(lambda: not one.run(doing.is_there, ref), "it has expired")
    one.run(doing.forget)
    assert one.run(doing.is_there, one.run(create, 1, 30 * MIB, True))


FULL = r"(\d+) bytes were asked for, and (\d+) of (\d+) are free for it"


def test_what_can_never_fit_takes_nothing_from_others(small: Agent) -> None:
    one = small.worker("one")
    refs = one.run(create_all, 0, 10)
    with pytest.raises(ResourceExhaustedError) as caught:
        one.run(create, 1, 65 * MIB)
    asked, free, limit = numbers(FULL, str(caught.value))
    assert (asked, limit) == (65 * MIB, 64 * MIB)
    assert 0 <= free <= 24 * MIB
    assert all(one.run(there, refs))


def test_one_object_may_take_most_of_the_store(small: Agent) -> None:
    one = small.worker("one")
    refs = one.run(create_all, 0, 10)
    large = one.run(create, 9, 48 * MIB)
    assert one.run(use, large) == [9, 48 * MIB]
    assert sum(one.run(there, refs)) <= 4
