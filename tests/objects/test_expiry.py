"""Objects with a ``ttl`` are gone when it has passed, whoever looks at them; what is looked at stays as it is."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from anyserve.errors import NotFoundError

from tests.objects import doing
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.objects.remote import Remote


def reads(worker: Remote, name: str) -> bool:
    """Whether the worker can get it; asking keeps nothing alive."""
    try:
        worker.run(doing.read, name)
    except NotFoundError:
        return False
    return True


@pytest.mark.parametrize("size", [16, 20_000])
def test_an_object_is_gone_under_a_view_of_it(one: Remote, two: Remote, size: int) -> None:
    key = uuid.uuid4().hex
    ref = one.run(doing.create, 5, size, key, 2.0)
    two.run(doing.hold, ref)
    eventually(lambda: not one.run(doing.is_there, ref), "it has expired")
    for worker in (one, two):
        assert worker.run(doing.lookup, key) is None
        assert not worker.run(doing.is_there, key)
        assert worker.run(doing.delete, ref) is False
        assert not reads(worker, key)
    assert two.run(doing.read_held, ref) == [5, size]
    # The key is free, and its new object has no end.
    later = one.run(doing.create, 6, size, key)
    assert one.run(doing.stat, later)["expires_in"] is None
    assert two.run(doing.read_held, ref) == [5, size]
    two.run(doing.let_all_go)


@pytest.mark.parametrize("size", [16, 20_000])
@pytest.mark.parametrize("reader", ["its creator", "another"])
def test_an_object_is_gone_for_one_who_gets_it_all_the_time(one: Remote, two: Remote, reader: str, size: int) -> None:
    ref = one.run(doing.create, 5, size, None, 1.0)
    worker = one if reader == "its creator" else two
    eventually(lambda: not reads(worker, ref), "it has expired")


def test_a_deleted_object_is_gone_for_one_who_gets_it_all_the_time(one: Remote, two: Remote) -> None:
    ref = one.run(doing.create, 5, 20_000)
    assert two.run(doing.read, ref) == [5, 20_000]
    assert one.run(doing.delete, ref)
    eventually(lambda: not reads(two, ref), "it is gone")


def create_many(count: int) -> list[str]:
    """Objects that are there for a moment."""
    return [doing.create(1, 10_000, ttl=0.2) for _ in range(count)]


def test_many_expire_without_being_asked_for(one: Remote, two: Remote) -> None:
    refs = one.run(create_many, 500)
    lasting = one.run(doing.create, 1, 10_000)
    eventually(lambda: not any(two.run(doing.is_there, ref) for ref in refs[::50]), "they have expired")
    assert two.run(doing.read, lasting) == [1, 10_000]


def create_with_ends(count: int) -> int:
    """How many objects could be made whose time is up before anybody hears of them."""
    for number in range(count):
        doing.create(1, 16, ttl=(number + 1) * 1e-7)
    return count


def test_the_shortest_ttl_is_no_error(one: Remote) -> None:
    assert one.run(create_with_ends, 300) == 300
