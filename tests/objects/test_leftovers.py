"""Nothing is left behind: no names in the machine's shared memory, no descriptors, no mappings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.objects import doing
from tests.objects.doing import MIB
from tests.objects.test_room import create
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.objects.conftest import Start
    from tests.objects.remote import Agent

SHARED_MEMORY = Path("/dev/shm")


def listing() -> set[str]:
    """What has a name in the machine's shared memory."""
    return set(os.listdir(SHARED_MEMORY))


def mappings(process: psutil.Process) -> list[str]:
    """The files that a process has mapped, as often as it has."""
    lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
    return [line.split(maxsplit=5)[5] for line in lines if len(line.split(maxsplit=5)) == 6]


def segments(process: psutil.Process) -> int:
    """How many mappings of shared memory a process has."""
    return sum("memfd:" in path for path in mappings(process))


def use(agent: Agent) -> None:
    """Objects that are made, held, left unsealed and deleted, by workers of which one dies."""
    one, two = agent.worker("one"), agent.worker("two")
    refs = [one.run(doing.create, value, size) for value, size in enumerate([16, 20_000, 4 * MIB])]
    for ref in refs:
        two.run(doing.hold, ref)
    one.run(doing.delete, refs[0])
    agent.kill("one")
    assert two.run(doing.read_held, refs[2]) == [2, 4 * MIB]


def wait_gone(agent: Agent) -> None:
    """Waits until no process of it is left."""
    eventually(lambda: not agent.server.processes(), "all are gone")


def test_nothing_has_a_name(start: Start) -> None:
    before = listing()
    for end in ("stop", "kill"):
        agent = start()
        use(agent)
        for process in agent.server.processes():
            assert not [path for path in mappings(process) if path.startswith(str(SHARED_MEMORY))]
        if end == "stop":
            assert agent.server.stop() == 0
        else:
            agent.server.process.kill()
            wait_gone(agent)
    # Others on this machine may have something there for a moment.
    eventually(lambda: not listing() - before, "nothing is left")


def test_a_killed_worker_leaves_no_descriptors_and_mappings(small: Agent) -> None:
    """Of the agent, and of a worker that looked at what the dead ones made."""
    process, two = psutil.Process(small.server.process.pid), small.worker("two")
    other = psutil.Process(two.run(doing.pid))

    def counts() -> tuple[int, int, int, int]:
        return process.num_fds(), segments(process), other.num_fds(), segments(other)

    def live_and_die() -> None:
        ref = small.worker("one").run(create, 1, MIB)
        two.run(doing.hold, ref)
        small.kill("one")
        assert two.run(doing.read_held, ref) == [1, MIB]
        two.run(doing.let_go, ref)
        two.run(doing.delete, ref)

    def live() -> None:
        # There is one worker in its place, which has a segment.
        small.worker("one").run(doing.delete, small.worker("one").run(create, 1, MIB))
        two.run(doing.forget)

    for _ in range(3):
        live_and_die()
    live()
    settled: list[tuple[int, ...]] = []

    def stands() -> bool:
        settled.append(counts())
        return len(settled) > 200 and len(set(settled[-200:])) == 1

    eventually(stands, "what the dead had is given back")
    before = settled[-1]
    for _ in range(10):
        live_and_die()
    live()
    eventually(lambda: all(now <= then for now, then in zip(counts(), before, strict=True)), f"{before} as before")


def test_an_object_keeps_the_segment_of_its_dead_creator_and_no_other(small: Agent) -> None:
    process = psutil.Process(small.server.process.pid)
    small.worker("two").run(doing.pid)
    kept = small.worker("one").run(create, 1, MIB)
    small.kill("one")
    small.worker("one").run(doing.pid)
    before = segments(process)
    for _ in range(3):
        small.worker("one").run(doing.delete, small.worker("one").run(create, 1, MIB))
        small.kill("one")
    eventually(lambda: segments(process) <= before, "theirs are gone")
    assert small.worker("two").run(doing.read, kept) == [1, MIB]
    small.worker("two").run(doing.delete, kept)
    eventually(lambda: segments(process) < before, "its own is gone too")


def sizes(pid: int) -> int:
    """How much shared memory a process's mappings of segments hold."""
    held, counts = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            counts = "memfd:" in line
        elif counts and line.startswith("Rss:"):
            held += int(line.split()[1]) * 1024
    return held


def test_memory_goes_back_to_the_system_with_its_segment(small: Agent) -> None:
    ref = small.worker("one").run(create, 1, 48 * MIB)
    agent = small.server.process.pid
    assert small.worker("two").run(doing.read, ref) == [1, 48 * MIB]
    small.kill("one")
    small.worker("two").run(doing.delete, ref)
    small.worker("two").run(doing.forget)
    eventually(lambda: sizes(agent) < 16 * MIB, "the agent has it no longer")
    assert sizes(small.worker("two").run(doing.pid)) < 16 * MIB
