"""Many threads of many workers that make, read and delete objects at once: nobody ever sees another's bytes."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import anyserve
import numpy as np
from anyserve.errors import NotFoundError, ResourceExhaustedError

from tests.objects import doing
from tests.objects.doing import MIB
from tests.objects.test_greed import can_create
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.objects.conftest import Start
    from tests.objects.remote import Agent

SIZES = [1, 100, 8192, 8193, 65_537, 300_000, MIB]


def content(seed: int, size: int) -> bytes:
    """Bytes that no other object has."""
    return np.random.default_rng(seed).bytes(size)


def churn(seed: int, steps: int) -> dict[str, int]:
    """Makes, reads and deletes, and looks at every byte; how often what happened."""
    chance = random.Random(seed)
    mine: list[tuple[anyserve.ObjectRef, int, int]] = []
    views: list[tuple[memoryview, bytes]] = []
    done = {"made": 0, "read": 0, "gone": 0, "full": 0}
    for step in range(steps):
        action = chance.random()
        if action < 0.4 or not mine:
            size, own = chance.choice(SIZES), seed * 1_000_000 + step
            try:
                mine.append((anyserve.create(content(own, size)), own, size))
                done["made"] += 1
            except ResourceExhaustedError:
                done["full"] += 1
        elif action < 0.8:
            ref, own, size = chance.choice(mine)
            try:
                view = anyserve.get(ref)
            except NotFoundError:
                # It made room.
                mine.remove((ref, own, size))
                done["gone"] += 1
                continue
            assert isinstance(view, memoryview)
            assert view == content(own, size), f"{ref} holds something else"
            done["read"] += 1
            views.append((view, content(own, size)))
            del views[:-4]
        else:
            ref, *_ = mine.pop(chance.randrange(len(mine)))
            anyserve.delete(ref)
    for view, expected in views:
        assert view == expected, "it changed under a view"
    return done


def churn_on_threads(seed: int, threads: int, steps: int) -> dict[str, int]:
    """The same by so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda number: churn(seed + number, steps), range(threads)))
    doing.forget()
    return {what: sum(done[what] for done in found) for what in found[0]}


def check_storm(agent: Agent, steps: int) -> dict[str, int]:
    """Three workers at once, and what is left afterwards."""
    names = ["one", "two", "three"]
    with ThreadPoolExecutor(3) as pool:
        running = [
            pool.submit(agent.worker(name).run, churn_on_threads, 100 * number, 4, steps, timeout=100)
            for number, name in enumerate(names)
        ]
        found = [storm.result(100) for storm in running]
    eventually(lambda: can_create(agent.worker("one"), 36 * MIB), "nothing is lost")
    assert "panicked" not in agent.server.stderr.text
    return {what: sum(done[what] for done in found) for what in found[0]}


def test_a_storm(start: Start) -> None:
    done = check_storm(start("--object-store-size", "2GiB"), 200)
    assert done["gone"] == done["full"] == 0
    assert done["read"] > 500


def test_a_storm_in_a_store_that_is_full(small: Agent) -> None:
    done = check_storm(small, 200)
    assert done["made"] > 200
    assert done["read"] > 100


def race_to_seal() -> list[str]:
    """Many threads seal the same array."""
    empty = anyserve.create_empty(10_000, "UINT8")
    empty.array[:] = 3
    barrier = threading.Barrier(8)

    def seal(number: int) -> str:
        barrier.wait()
        try:
            return str(empty.seal())
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(seal, range(8)))
    [ref] = [text for text in found if text.startswith("anyserve://")]
    assert doing.read(ref) == [3, 10_000]
    return [text for text in found if text != ref]


def test_only_one_of_many_seals(small: Agent) -> None:
    for _ in range(10):
        assert small.worker("one").run(race_to_seal) == ["it was sealed before"] * 7


def race_for_key(key: str, times: int) -> None:
    """Takes the key again and again."""
    for value in range(times):
        doing.create(value % 200, 10_000, key)


def read_by_key(key: str, times: int) -> int:
    """Reads whatever has the key: always one whole object."""
    found = 0
    for _ in range(times):
        if anyserve.lookup(key) is not None:
            assert doing.read(key)[1] == 10_000
            found += 1
    return found


def test_a_key_that_many_take_names_one_object_at_any_time(small: Agent) -> None:
    with ThreadPoolExecutor(3) as pool:
        takers = [pool.submit(small.worker(name).run, race_for_key, "key", 300) for name in ("one", "two")]
        reading = pool.submit(small.worker("three").run, read_by_key, "key", 300)
        for taker in takers:
            taker.result(100)
        assert reading.result(100) >= 0
    assert small.worker("three").run(doing.read, "key")[1] == 10_000
