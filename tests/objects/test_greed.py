"""One worker that takes all it can get: it is told how much there is, and the others have their share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyserve.errors import ResourceExhaustedError

from tests.objects import doing
from tests.objects.doing import MIB
from tests.objects.test_room import FULL, create, create_all, numbers, there, wait_unheld
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.objects.remote import Agent, Remote

SHARE = 64 * MIB // 8
"""Half of the store divided by four, as long as there are not more who take part."""


def can_create(worker: Remote, size: int) -> bool:
    """Whether there is room for so much."""
    try:
        ref = worker.run(create, 1, size)
    except ResourceExhaustedError:
        return False
    assert worker.run(doing.delete, ref)
    return True


@pytest.mark.parametrize("other", ["had an object before", "had none before", "was not there before"])
def test_a_greedy_worker_leaves_the_others_their_share(small: Agent, other: str) -> None:
    greedy, modest = small.worker("one"), small.worker("two")
    if other == "had an object before":
        modest.run(doing.delete, modest.run(create, 1, MIB))
    elif other == "had none before":
        modest.run(doing.pid)
    asked, free, limit = numbers(FULL, greedy.run(doing.hold_until_full, MIB))
    assert (asked, limit) == (MIB, 64 * MIB)
    assert free < MIB
    # What is kept for others is their share, a bit less for how memory is divided.
    ref = modest.run(create, 7, SHARE - MIB)
    modest.run(doing.hold, ref)
    assert modest.run(doing.read_held, ref) == [7, SHARE - MIB]
    with pytest.raises(ResourceExhaustedError) as caught:
        modest.run(create, 8, 2 * SHARE)
    asked, free, limit = numbers(FULL, str(caught.value))
    assert asked == 2 * SHARE
    assert free <= 2 * MIB
    # Small objects are still made by both.
    for worker in (greedy, modest):
        assert worker.run(doing.read, worker.run(doing.create, 5)) == [5, 16]
    assert modest.run(doing.read_held, ref) == [7, SHARE - MIB]


@pytest.mark.parametrize("end", ["lets go", "dies", "exits"])
def test_what_it_held_is_there_for_others_afterwards(small: Agent, end: str) -> None:
    greedy, modest = small.worker("one"), small.worker("two")
    greedy.run(doing.hold_until_full, 4 * MIB)
    assert not can_create(modest, 40 * MIB)
    if end == "lets go":
        greedy.run(doing.let_all_go)
        greedy.run(doing.forget)
    elif end == "dies":
        small.kill("one")
    else:
        with pytest.raises(Exception, match="SystemExit"):
            greedy.run(leave)
    eventually(lambda: can_create(modest, 40 * MIB), "its memory is free")


def leave() -> None:
    """Ends the worker."""
    raise SystemExit(0)


def test_who_has_more_than_its_share_makes_room(small: Agent) -> None:
    one, two = small.worker("one"), small.worker("two")
    theirs = one.run(create_all, 0, 12)
    ours = [two.run(create, 100 + number, 4 * MIB) for number in range(6)]
    assert all(two.run(there, ours))
    left = two.run(there, theirs)
    # The older ones went.
    assert left == sorted(left)
    assert 0 < sum(left) < 12


def test_nobody_makes_room_with_what_is_its_share(small: Agent) -> None:
    one, two = small.worker("one"), small.worker("two")
    theirs = [one.run(create, 1, 3 * MIB), one.run(create, 2, 3 * MIB)]
    wait_unheld(one, theirs)
    for first in range(10, 60, 10):
        two.run(create_all, first, first + 10)
    assert one.run(there, theirs) == [True, True]
