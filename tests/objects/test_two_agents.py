"""Objects of another agent: brought once when they are asked for, and as good as one's own from then on."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyserve
import numpy as np
import pytest
from anyserve import ModelInferRequest, ObjectRef
from anyserve.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)

from tests.metrics import Metrics
from tests.objects import doing
from tests.objects.doing import MIB, named
from tests.objects.remote import result_of
from tests.objects.test_bad_references import forged, nothing
from tests.objects.test_data import ARRAYS, PLAIN, compare_array, compare_bytes, make
from tests.objects.test_references import describe, give, send
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.objects.conftest import Start
    from tests.objects.remote import Agent


@pytest.fixture(params=[False, True], ids=["plain", "checksums"])
def both(start: Start, request: pytest.FixtureRequest) -> tuple[Agent, Agent]:
    """Two agents."""
    options = ["--object-store-size", "128MiB", *(["--object-checksum"] if request.param else [])]
    return start(*options), start(*options)


@pytest.fixture
def near(start: Start) -> Agent:
    """The agent that has the objects."""
    return start("--object-store-size", "128MiB")


@pytest.fixture
def far(start: Start) -> Agent:
    """The agent that brings them."""
    return start("--object-store-size", "128MiB")


def pulled(agent: Agent) -> int:
    """How many bytes it has brought."""
    return int(Metrics(agent.server).value("object_pulled_bytes_total"))


SIZES = [0, 1, 16, 8192, 8193, 3_000_001, 20 * MIB]


def test_an_object_is_brought_once(both: tuple[Agent, Agent]) -> None:
    near, far = both
    for size in SIZES:
        before = pulled(far)
        ref = near.worker("one").run(doing.create, 7, size, f"key {size}")
        value = 7 if size else -1
        for worker in ("one", "two", "one"):
            assert far.worker(worker).run(doing.read, ref) == [value, size]
        assert doing.summary(far.client.objects.get(ObjectRef.parse(ref))) == [value, size]
        assert result_of(far.worker("two").infer(describe, inputs={"a": ObjectRef.parse(ref)}))[:2] == [value, size]
        assert far.worker("one").run(send, ref) == [value, size, "UINT8", [size], ref]
        assert pulled(far) - before == size
        known = far.worker("one").run(doing.stat, ref)
        assert ObjectRef.parse(known["reference"]).id == ObjectRef.parse(ref).id
        assert ObjectRef.parse(ref).owner in known["location"]
        assert known["key"] is None
        # Its key is known where it was made.
        assert far.worker("one").run(doing.lookup, f"key {size}") is None
        assert near.worker("one").run(doing.stat, ref)["location"] == "memory"


def test_a_stat_of_what_was_brought_says_what_it_is(near: Agent, far: Agent) -> None:
    ref = near.worker("one").run(doing.create, 7, 20_000)
    assert far.worker("one").run(doing.read, ref) == [7, 20_000]
    assert far.worker("one").run(doing.stat, ref)["reference"] == ref


def test_every_kind_of_data_is_the_same_there(near: Agent, far: Agent) -> None:
    for case in ARRAYS:
        for count in (24, 4096):
            far.worker("two").run(compare_array, case, count, near.worker("one").run(make, case, count))
    for case in PLAIN:
        for count in (24, 20_000):
            far.worker("two").run(compare_bytes, case, count, near.worker("one").run(make, case, count))


def test_many_who_want_it_at_once_share_one_transfer(near: Agent, far: Agent) -> None:
    ref = near.worker("one").run(doing.create, 7, 20 * MIB)
    for name in ("one", "two", "three", "threads"):
        far.worker(name).run(doing.pid)
    before = pulled(far)
    with ThreadPoolExecutor(8) as pool:
        names = ["one", "two", "three", "threads", "threads", "threads", "threads"]
        reading = [pool.submit(far.worker(name).run, doing.read, ref) for name in names]
        assert [read.result(60) for read in reading] == [[7, 20 * MIB]] * len(names)
    assert pulled(far) - before == 20 * MIB


def test_many_at_once_arrive_each_as_it_is(near: Agent, far: Agent) -> None:
    refs = [near.worker("one").run(doing.create, value, size) for value in range(10) for size in (1000, MIB)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda ref: far.worker("threads").run(doing.read, ref), refs))
    assert found == [[value, size] for value in range(10) for size in (1000, MIB)]


def test_an_object_can_go_there_and_back(near: Agent, far: Agent) -> None:
    ref = near.worker("one").run(doing.create, 7, 20_000)
    result = far.worker("two").infer(give_next, inputs={"a": ObjectRef.parse(ref)})
    assert result["y"].owner != ObjectRef.parse(ref).owner
    assert near.worker("one").run(doing.read, result["y"]) == [8, 20_000]
    # Where an object was made, its reference is still its own.
    assert str(far.worker("two").infer(give, ref)["y"]) == ref
    assert near.worker("two").run(doing.read, ref) == [7, 20_000]


def give_next(request: ModelInferRequest) -> anyserve.ModelInferResponse:
    """Answers with a new object."""
    response = anyserve.ModelInferResponse()
    response.add_output("y", data=anyserve.create(request.get_input("a").as_numpy() + np.uint8(1)))
    return response


def test_what_was_brought_outlives_its_original(near: Agent, far: Agent) -> None:
    ref, other = (near.worker("one").run(doing.create, 7, size) for size in (20_000, 30_000))
    far.worker("one").run(doing.hold, ref)
    assert near.worker("one").run(doing.delete, ref) is True
    assert far.worker("two").run(doing.read, ref) == [7, 20_000]
    # Deleting a copy does not delete what it was made from.
    assert far.worker("two").run(doing.read, other) == [7, 30_000]
    assert far.worker("two").run(doing.delete, other) is True
    assert near.worker("one").run(doing.read, other) == [7, 30_000]
    assert far.worker("one").run(doing.read, other) == [7, 30_000]
    assert far.worker("two").run(doing.delete, ref) is True
    far.worker("one").run(doing.forget)
    with pytest.raises(NotFoundError, match=f"object {ObjectRef.parse(ref).id} could not be pulled from .* any more"):
        far.worker("one").run(doing.read, ref)
    assert far.worker("one").run(doing.read_held, ref) == [7, 20_000]


def test_an_owner_that_is_gone_is_named(near: Agent, far: Agent) -> None:
    brought, other = (near.worker("one").run(doing.create, 7, size) for size in (20_000, 30_000))
    far.worker("one").run(doing.hold, brought)
    near.server.process.kill()
    eventually(lambda: not near.server.processes(), "it is gone")
    owner = ObjectRef.parse(other).owner
    with pytest.raises(UnavailableError, match=f"from {owner}: its owner cannot be reached"):
        far.worker("one").run(doing.read, other)
    with pytest.raises(UnavailableError, match=f"input 'a': .*{owner}"):
        far.worker("one").infer(nothing, inputs={"a": ObjectRef.parse(other)})
    assert far.worker("two").run(doing.read, brought) == [7, 20_000]


def get_within(name: str, timeout: float) -> None:
    """Runs in a worker."""
    anyserve.get(named(name), timeout=timeout)


def test_an_owner_that_does_not_answer_is_waited_for_so_long(near: Agent, far: Agent) -> None:
    ref = near.worker("one").run(doing.create, 7, 20_000)
    near.server.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(DeadlineExceededError, match=f"object {ObjectRef.parse(ref).id} did not come within"):
            far.worker("one").run(get_within, ref, 1.0)
        with pytest.raises(DeadlineExceededError):
            far.worker("one").infer(nothing, inputs={"a": ObjectRef.parse(ref)}, timeout=1)
        # Others are served meanwhile.
        assert far.worker("one").run(doing.read, far.worker("two").run(doing.create, 8, 20_000)) == [8, 20_000]
    finally:
        near.server.send_signal(signal.SIGCONT)
    assert far.worker("one").run(doing.read, ref) == [7, 20_000]


def test_what_does_not_fit_is_not_brought(near: Agent, start: Start) -> None:
    tiny = start("--object-store-size", "16MiB")
    ref = near.worker("one").run(doing.create, 7, 20 * MIB)
    with pytest.raises(ResourceExhaustedError, match=f"{20 * MIB} bytes were asked for"):
        tiny.worker("one").run(doing.read, ref)
    # What was brought makes room for more.
    refs = [near.worker("one").run(doing.create, value, 2 * MIB) for value in range(20)]
    for value, ref in enumerate(refs):
        assert tiny.worker("one").run(doing.read, ref) == [value, 2 * MIB]
        tiny.worker("one").run(doing.forget)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_size_that_is_wrong_is_refused(near: Agent, far: Agent, change: int) -> None:
    ref = ObjectRef.parse(near.worker("one").run(doing.create, 7, 20_000))
    with pytest.raises(InvalidArgumentError, match=r"20000|\d bytes where"):
        far.worker("one").run(doing.read, forged(ref, size=ref.size + change))
    assert far.worker("one").run(doing.read, ref) == [7, 20_000]


def elements(name: str) -> list[Any]:
    """What an object is to who gets it."""
    view = np.asarray(anyserve.get(named(name)))
    return [str(view.dtype), list(view.shape)]


def test_a_reference_that_is_wrong_does_not_change_what_others_see(near: Agent, far: Agent) -> None:
    ref = ObjectRef.parse(near.worker("one").run(doing.create, 7, 20_000))
    wrong = forged(ref, datatype="FP32", shape="50,100")
    assert near.worker("one").run(elements, wrong) == ["uint8", [20_000]]
    far.worker("one").run(elements, wrong)
    assert far.worker("two").run(elements, ref) == ["uint8", [20_000]]


def test_an_agent_that_stops_has_nothing_left(near: Agent, far: Agent) -> None:
    ref = near.worker("one").run(doing.create, 7, MIB)
    far.worker("one").run(doing.hold, ref)
    assert near.server.stop() == 0
    assert far.worker("one").run(doing.read_held, ref) == [7, MIB]
    assert far.server.stop() == 0
    for agent in (near, far):
        assert "panicked" not in agent.server.stderr.text
