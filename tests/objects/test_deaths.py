"""Workers that are killed with objects in their hands: what they made stays, and what they held does not."""

from __future__ import annotations

import itertools
import random
import signal
import time
from typing import TYPE_CHECKING

import anyserve
import numpy as np
import pytest
from anyserve import ModelInferRequest
from anyserve.errors import UnavailableError

from tests.background import Background
from tests.gate import Gate
from tests.objects import doing
from tests.objects.doing import HELD, MIB, named
from tests.objects.remote import Remote, parameters_of
from tests.objects.test_greed import can_create
from tests.objects.test_room import create
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.objects.conftest import Start
    from tests.objects.remote import Agent


def leave_unsealed(size: int) -> None:
    """Fills an array that becomes no object."""
    HELD["empty"] = anyserve.create_empty(size, "UINT8")
    HELD["empty"].array[:] = 1


def test_what_its_creator_did_not_seal_is_free(small: Agent) -> None:
    for _ in range(3):
        small.worker("one").run(leave_unsealed, 40 * MIB)
        assert not can_create(small.worker("two"), 40 * MIB)
        small.kill("one")
        eventually(lambda: can_create(small.worker("two"), 40 * MIB), "its memory is free")


@pytest.mark.parametrize("size", [16, 20_000, 4 * MIB])
def test_what_its_creator_made_lives_on(small: Agent, size: int) -> None:
    two = small.worker("two")
    looked_at, untouched = (small.worker("one").run(doing.create, value, size, f"key {value}") for value in (7, 8))
    two.run(doing.hold, looked_at)
    pid = small.kill("one")
    eventually(lambda: small.worker("one").run(doing.pid) != pid, "another one takes its place")
    for worker in (two, small.worker("one"), small.worker("three")):
        assert worker.run(doing.read, looked_at) == [7, size]
        assert worker.run(doing.read, untouched) == worker.run(doing.read, "key 8") == [8, size]
        assert worker.run(doing.stat, untouched)["creator"] == f"one, pid {pid}"
    assert two.run(doing.read_held, looked_at) == [7, size]
    # And goes like others.
    assert two.run(doing.delete, looked_at) is True
    assert two.run(doing.read_held, looked_at) == [7, size]
    two.run(doing.let_all_go)


def test_what_the_dead_made_makes_room(small: Agent) -> None:
    refs = [small.worker("one").run(create, value, 4 * MIB) for value in range(10)]
    small.kill("one")
    two = small.worker("two")
    assert two.run(doing.read, refs[9]) == [9, 4 * MIB]
    two.run(doing.forget)
    eventually(lambda: can_create(two, 40 * MIB), "there is room")
    assert sum(two.run(doing.is_there, ref) for ref in refs) <= 4


def hold_all(names: list[str]) -> None:
    """Looks at all of them."""
    for name in names:
        doing.hold(name)


def leases(agent: Agent, names: list[str]) -> list[int]:
    """How many hold each, as a third one sees it."""
    return [agent.worker("three").run(doing.stat, name)["leases"] for name in names]


def test_what_a_reader_held_is_held_no_longer(small: Agent) -> None:
    one, two = small.worker("one"), small.worker("two")
    refs = [one.run(create, value, MIB) for value in range(4)]
    eventually(lambda: leases(small, refs) == [0] * 4, "nobody holds them")
    two.run(hold_all, refs)
    assert min(leases(small, refs)) >= 1
    two.run(doing.forget)
    eventually(lambda: leases(small, refs) == [1] * 4, "the views hold them")
    small.kill("two")
    eventually(lambda: leases(small, refs) == [0] * 4, "nobody holds them")
    assert [one.run(doing.read, ref) for ref in refs] == [[value, MIB] for value in range(4)]


def stay_with(request: ModelInferRequest, gate: str) -> None:
    """Has its input in its hands until it dies."""
    view = request.get_input("a").as_numpy()
    Gate(gate).stay()
    assert view[0]


def send_to_two(name: str, gate: str) -> None:
    """Runs in one."""
    Remote(anyserve.call, "two").infer(stay_with, gate, inputs={"a": named(name)})


def test_what_a_request_held_is_held_no_longer(small: Agent, gate: Gate) -> None:
    three = small.worker("three")
    ref = three.run(create, 1, MIB)
    eventually(lambda: leases(small, [ref]) == [0], "nobody holds it")
    with Background(small.server.address) as background:
        lost = background.infer("one", parameters_of(send_to_two, ref, gate.parameters["gate"]), timeout=60)
        [pid] = gate.wait_entered()
        assert leases(small, [ref])[0] >= 1
        next(worker for worker in small.server.workers() if worker.pid == pid).kill()
        with pytest.raises(UnavailableError, match="SIGKILL"):
            lost.result(60)
    eventually(lambda: leases(small, [ref]) == [0], "nobody holds it")


def make_without_end(gate: str) -> None:
    """Makes objects of all sizes, and forgets most of them, until it dies."""
    Gate(gate).stay(lambda: True)
    chance = random.Random(1)
    for number in itertools.count():
        size = chance.choice([100, 9000, 300_000, MIB])
        if chance.random() < 0.3:
            empty = anyserve.create_empty(size, "UINT8")
            empty.array[:] = number % 251
            if chance.random() < 0.5:
                continue
            ref = empty.seal()
        else:
            ref = anyserve.create(np.full(size, number % 251, np.uint8))
        if chance.random() < 0.9:
            anyserve.delete(ref)


def test_deaths_at_any_moment_lose_no_memory(small: Agent, gate: Gate) -> None:
    two = small.worker("two")
    kept = two.run(create, 9, MIB, True)
    chance = random.Random(2)
    with Background(small.server.address) as background:
        for round in range(12):
            lost = background.infer("one", parameters_of(make_without_end, gate.parameters["gate"]), timeout=60)
            pid = gate.wait_entered(round + 1)[-1]
            time.sleep(chance.uniform(0, 0.2))
            next(worker for worker in small.server.workers() if worker.pid == pid).kill()
            with pytest.raises(UnavailableError, match="SIGKILL"):
                lost.result(60)
    eventually(lambda: can_create(two, 40 * MIB), "nothing is lost")
    assert two.run(doing.read, kept) == [9, MIB]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_agent_stops_while_objects_are_held(small: Agent, gate: Gate, number: signal.Signals) -> None:
    one, two = small.worker("one"), small.worker("two")
    ref = one.run(create, 5, 4 * MIB)
    one.run(leave_unsealed, 4 * MIB)
    two.run(doing.hold, ref)
    with Background(small.server.address) as background:
        reading = background.infer("two", parameters_of(read_after, ref, gate.parameters["gate"]), timeout=60)
        gate.wait_entered()
        small.server.send_signal(number)
        eventually(lambda: is_refused(small), "it stops")
        gate.open()
        assert reading.result(60).response.parameters["result"] == f"[5, {4 * MIB}]"
    assert small.server.wait() == 0
    assert "panicked" not in small.server.stderr.text


def is_refused(agent: Agent) -> bool:
    """Whether new requests are."""
    try:
        agent.worker("one").run(doing.pid)
    except UnavailableError:
        return True
    return False


def read_after(name: str, gate: str) -> list[int]:
    """Looks at an object before and after the agent was told to stop, and makes another one."""
    view = anyserve.get(named(name))
    Gate(gate).stay()
    assert doing.read(doing.create(6, 20_000)) == [6, 20_000]
    assert doing.read(name) == doing.summary(view)
    return doing.summary(view)


def test_workers_end_with_an_agent_that_is_killed(start: Start) -> None:
    agent = start()
    ref = agent.worker("one").run(create, 5, 4 * MIB)
    agent.worker("two").run(doing.hold, ref)
    agent.server.process.kill()
    eventually(lambda: not agent.server.processes(), "nobody is left")
