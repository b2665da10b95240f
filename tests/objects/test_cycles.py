"""Objects made, read and deleted again and again: memory and descriptors stay what they were.

ANYSERVE_TEST_CYCLES says how often.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyserve
import numpy as np
import psutil
import pytest

from tests.objects import doing
from tests.objects.doing import MIB
from tests.objects.remote import Remote
from tests.objects.test_leftovers import segments
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.objects.remote import Agent

CYCLES = int(os.environ.get("ANYSERVE_TEST_CYCLES", "20000"))

MOST_GROWTH = 8 * MIB
"""Bytes: what allocators keep."""

SMALL = [16, 1000, 8192]
SHARED = [8193, 20_000, 100_000]


def cycle(count: int, sizes: list[int]) -> int:
    """Makes, reads and deletes so many objects."""
    arrays = [np.full(size, size % 251, np.uint8) for size in sizes]
    right = 0
    for number in range(count):
        array = arrays[number % len(arrays)]
        key = f"cycle {number}" if number % 3 == 0 else None
        ref = anyserve.create(array, key=key, ttl=60 if number % 2 else None)
        view = np.asarray(anyserve.get(key or ref))
        right += view[0] == view[-1] == array[0]
        del view
        anyserve.delete(ref)
    return int(right)


def fill(count: int) -> int:
    """Fills, seals and deletes."""
    for number in range(count):
        empty = anyserve.create_empty((100, 100), "UINT8")
        empty.array[:] = number % 251
        if number % 4:
            ref = empty.seal()
            assert np.asarray(anyserve.get(ref))[99, 99] == number % 251
            anyserve.delete(ref)
    return count


def hand_over(count: int) -> int:
    """Objects that another worker is given and makes."""
    two = Remote(anyserve.call, "two")
    for number in range(count):
        ref = anyserve.create(np.full(10_000, number % 251, np.uint8))
        result = two.infer(answer, inputs={"a": ref})["y"]
        assert np.asarray(anyserve.get(result))[0] == (number + 1) % 251
        anyserve.delete(ref)
        anyserve.delete(result)
    return count


def answer(request: anyserve.ModelInferRequest) -> anyserve.ModelInferResponse:
    """Runs in the other worker."""
    response = anyserve.ModelInferResponse()
    value = (int(request.get_input("a").as_numpy()[0]) + 1) % 251
    response.add_output("y", data=anyserve.create(np.full(10_000, value, np.uint8)))
    return response


class Watch:
    """What the agent and two workers have of the system."""

    def __init__(self, agent: Agent) -> None:
        pids = [agent.server.process.pid, *(agent.worker(name).run(doing.pid) for name in ("one", "two"))]
        self.processes = [psutil.Process(pid) for pid in pids]
        self.before = self.now()

    def now(self) -> list[tuple[int, int, int]]:
        """Descriptors, mappings of shared memory, and memory."""
        return [(process.num_fds(), segments(process), process.memory_info().rss) for process in self.processes]

    def is_flat(self) -> bool:
        """Whether nothing has become more."""
        return all(
            fds <= fds_then and count <= count_then and memory - memory_then < MOST_GROWTH
            for (fds, count, memory), (fds_then, count_then, memory_then) in zip(self.now(), self.before, strict=True)
        )


def check(agent: Agent, function: Callable[..., int], count: int, *arguments: object) -> None:
    """Runs it for as long as it takes, after a tenth of that as a warm-up."""
    one = agent.worker("one")
    watch = None
    for step in range(11):
        done = one.run(function, count // 10, *arguments, timeout=3600)
        assert done == count // 10
        if step == 0:
            watch = Watch(agent)
    assert watch is not None
    eventually(watch.is_flat, f"it was {watch.before} and is {watch.now()}")


# As long as a million of them takes on a slow machine.
@pytest.mark.timeout(120 + CYCLES // 100)
@pytest.mark.parametrize("sizes", [SMALL, SHARED], ids=["small", "shared"])
def test_create_get_delete(small: Agent, sizes: list[int]) -> None:
    check(small, cycle, CYCLES, sizes)


@pytest.mark.timeout(120 + CYCLES // 100)
def test_create_empty_seal_delete(small: Agent) -> None:
    check(small, fill, CYCLES // 4)


@pytest.mark.timeout(120 + CYCLES // 100)
def test_objects_handed_over(small: Agent) -> None:
    check(small, hand_over, CYCLES // 20)
