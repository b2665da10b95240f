"""What the metrics say of objects, while they come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyserve.errors import NotFoundError

from tests.metrics import Metrics
from tests.objects import doing
from tests.objects.doing import MIB
from tests.objects.test_create_empty import fill_and_drop
from tests.objects.test_room import create_all
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.objects.remote import Agent

EVENTS = ["created", "hit", "miss", "evicted", "expired", "deleted", "pull_failed"]


def events(agent: Agent) -> dict[str, int]:
    """How often what happened."""
    metrics = Metrics(agent.server)
    return {event: int(metrics.value("object_events_total", event=event)) for event in EVENTS}


def more(agent: Agent, before: dict[str, int]) -> dict[str, int]:
    """What has happened since."""
    return {event: count - before[event] for event, count in events(agent).items() if count != before[event]}


def value(agent: Agent, name: str) -> float:
    """A gauge, which must be there."""
    [found] = [found for (sample, _), found in Metrics(agent.server).samples().items() if sample == f"anyserve_{name}"]
    return found


def test_what_happens_is_counted(small: Agent) -> None:
    one, two = small.worker("one"), small.worker("two")
    before = events(small)
    assert set(before.values()) == {0}
    ref = one.run(doing.create, 1, 20_000, "key")
    assert more(small, before) == {"created": 1}
    two.run(doing.read, ref)
    assert more(small, before) == {"created": 1, "hit": 1}
    for name in ("no such key", ref.replace(ref.split("/")[3][:32], "0" * 32)):
        with pytest.raises(NotFoundError):
            two.run(doing.read, name)
    assert more(small, before) == {"created": 1, "hit": 1, "miss": 2}
    one.run(doing.delete, ref)
    one.run(doing.delete, ref)
    assert more(small, before) == {"created": 1, "hit": 1, "miss": 2, "deleted": 1}
    before = events(small)
    expiring = one.run(doing.create, 1, 20_000, None, 0.1)
    eventually(lambda: more(small, before) == {"created": 1, "expired": 1}, f"{expiring} has expired")
    before = events(small)
    one.run(create_all, 0, 30)
    there = sum(one.run(doing.is_there, f"object {number}") for number in range(30))
    assert more(small, before)["created"] == 30
    assert more(small, before)["evicted"] == 30 - there > 0


def test_the_gauges_go_up_and_down(small: Agent) -> None:
    one, two = small.worker("one"), small.worker("two")
    assert value(small, "object_store_size_bytes") == 64 * MIB
    names = ["objects", "object_size_bytes", "object_pinned_bytes", "object_store_used_bytes", "object_leases"]
    assert [value(small, name) for name in names] == [0] * 5
    plain, pinned = one.run(doing.create, 1, 4 * MIB), one.run(doing.create, 2, MIB, None, None, True)
    one.run(doing.forget)
    two.run(doing.hold, plain)
    two.run(doing.forget)
    assert value(small, "objects") == 2
    assert 5 * MIB <= value(small, "object_size_bytes") < 5 * MIB + 8192
    assert MIB <= value(small, "object_pinned_bytes") < MIB + 8192
    assert 5 * MIB <= value(small, "object_store_used_bytes") < 6 * MIB
    eventually(lambda: value(small, "object_leases") == 1, "only the view holds anything")
    assert value(small, "object_leased_bytes") == 4 * MIB
    one.run(doing.delete, plain)
    assert value(small, "objects") == 1
    # It is used for as long as somebody looks at it.
    assert value(small, "object_store_used_bytes") >= 5 * MIB
    two.run(doing.let_all_go)
    two.run(doing.forget)
    eventually(lambda: value(small, "object_store_used_bytes") < 2 * MIB, "the memory is free")
    one.run(doing.delete, pinned)
    eventually(lambda: [value(small, name) for name in names] == [0] * 5, "nothing is left")


def test_what_was_never_sealed_is_no_object(small: Agent) -> None:
    before = events(small)
    small.worker("one").run(fill_and_drop, MIB, 5)
    assert more(small, before) == {}
    assert value(small, "objects") == 0
    eventually(lambda: value(small, "object_store_used_bytes") == 0, "the memory is free")
