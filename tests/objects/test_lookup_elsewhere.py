"""Keys that are looked up at another agent."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING

import anyserve
import pytest
from anyserve import AsyncClient, ObjectRef
from anyserve.errors import DeadlineExceededError, InvalidArgumentError, UnavailableError

from tests.objects import doing
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.objects.conftest import Start
    from tests.objects.remote import Agent


@pytest.fixture
def near(start: Start) -> Agent:
    """An agent that asks."""
    return start()


@pytest.fixture
def far(start: Start) -> Agent:
    """An agent that is asked."""
    return start()


def look_up(keys: list[str], owner: str | None, timeout: float | None = None) -> list[str | None]:
    """Runs in a worker: what is found."""
    return [None if ref is None else str(ref) for ref in anyserve.lookup(keys, owner, timeout)]


def look_up_one(key: str, owner: str) -> list[int]:
    """Runs in a worker: what the object holds."""
    ref = anyserve.lookup(key, owner=ObjectRef.parse(owner))
    assert isinstance(ref, ObjectRef)
    return doing.summary(anyserve.get(ref))


async def test_handlers_and_clients_find_what_another_agent_has(near: Agent, far: Agent) -> None:
    refs = [far.worker("one").run(doing.create, value, size, f"key {value}") for value, size in [(7, 20_000), (8, 16)]]
    owner = ObjectRef.parse(refs[0]).owner
    keys = ["key 7", "no such key", "key 8", "", "x" * 5000]
    found = [refs[0], None, refs[1], None, None]
    assert near.worker("one").run(look_up, keys, owner) == found
    assert near.worker("one").run(look_up, keys, refs[0]) == found
    assert near.worker("one").run(look_up, keys, None) == [None] * 5
    assert near.worker("one").run(look_up_one, "key 7", refs[1]) == [7, 20_000]
    objects = near.client.objects
    assert objects.lookup("key 8", owner=owner) == ObjectRef.parse(refs[1])
    assert objects.lookup("no such key", owner=ObjectRef.parse(refs[0])) is None
    assert objects.get(ObjectRef.parse(refs[1])).tolist() == [8] * 16
    async with AsyncClient(near.server.address) as client:
        assert [ref and str(ref) for ref in await client.objects.lookup(keys, owner=owner)] == found
    # An agent that is asked about itself need not be asked.
    assert far.worker("two").run(look_up, keys, owner) == found
    assert near.worker("one").run(look_up, [], owner) == []


def test_as_many_as_may(near: Agent, far: Agent) -> None:
    ref = far.worker("one").run(doing.create, 7, 16, "key 9876")
    found = near.client.objects.lookup([f"key {number}" for number in range(10_000)], owner=ObjectRef.parse(ref))
    assert {number: str(ref) for number, ref in enumerate(found) if ref} == {9876: ref}
    for owner in (None, ref):
        with pytest.raises(InvalidArgumentError, match="10001 keys are over the limit of 10000"):
            near.client.objects.lookup(["key"] * 10_001, owner=owner)


def test_an_owner_that_is_gone_is_named(near: Agent, far: Agent) -> None:
    owner = ObjectRef.parse(far.worker("one").run(doing.create, 7, 16, "key")).owner
    assert near.client.objects.lookup("key", owner=owner) is not None
    far.server.process.kill()
    eventually(lambda: not far.server.processes(), "it is gone")
    with pytest.raises(UnavailableError, match=f"keys could not be looked up at {owner}: .*cannot be reached"):
        near.client.objects.lookup("key", owner=owner)
    with pytest.raises(UnavailableError, match=f"keys could not be looked up at {owner}: .*cannot be reached"):
        near.worker("one").run(look_up, ["key"], owner)


def test_an_owner_that_does_not_answer_is_waited_for_so_long(near: Agent, far: Agent) -> None:
    owner = ObjectRef.parse(far.worker("one").run(doing.create, 7, 16, "key")).owner
    far.server.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(DeadlineExceededError, match=f"{owner} did not say within|no answer within"):
            near.worker("one").run(look_up, ["key"], owner, 0.5)
        with pytest.raises(DeadlineExceededError):
            near.client.objects.lookup("key", owner=owner, timeout=0.5)
    finally:
        far.server.send_signal(signal.SIGCONT)
    assert near.worker("one").run(look_up, ["key"], owner) != [None]


@pytest.mark.parametrize("owner", ["", "localhost", "localhost:", ":7000", "localhost:0", "a b:7000", "anyserve://a:1"])
def test_what_names_no_owner(near: Agent, owner: str) -> None:
    with pytest.raises(ValueError, match="is neither HOST:PORT nor a reference"):
        near.client.objects.lookup("key", owner=owner)


@pytest.fixture
def stranger() -> Iterator[str]:
    """Something that answers, and is no agent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            try:
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                        while connection.recv(1000):
                            pass
            except OSError:
                pass

        threading.Thread(target=answer, daemon=True).start()
        yield "{}:{}".format(*listening.getsockname())
        listening.shutdown(socket.SHUT_RDWR)


def test_what_is_no_agent_is_named(near: Agent, stranger: str) -> None:
    with pytest.raises(UnavailableError, match=f"looked up at {stranger}: what answers there breaks the protocol"):
        near.client.objects.lookup("key", owner=stranger)


def test_what_expired_or_was_deleted_is_not_found(near: Agent, far: Agent) -> None:
    ref = far.worker("one").run(doing.create, 7, 16, "key")
    expiring = far.worker("one").run(doing.create, 7, 16, "expiring", 0.1)
    assert near.client.objects.lookup("key", owner=ref) is not None
    assert far.worker("one").run(doing.delete, ref)
    assert near.client.objects.lookup("key", owner=ref) is None
    eventually(lambda: near.client.objects.lookup("expiring", owner=expiring) is None, "it has expired")
