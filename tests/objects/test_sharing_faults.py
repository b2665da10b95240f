"""Clients that share memory with an agent, and what goes wrong: forgeries, deaths, too much."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from anyserve import Client
from anyserve.errors import (
    DeadlineExceededError,
    ResourceExhaustedError,
    UnavailableError,
)

from tests.gate import Gate
from tests.objects.regions import APP, noise
from tests.objects.sharing import ByHand, place
from tests.objects.test_leftovers import segments
from tests.objects.test_sharing_client import echo, used
from tests.server import Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Serve

MIB = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(APP, "--workers", "2") as server:
        yield server.wait_ready()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.address, shared_memory=True) as client:
        yield client


def works(server: Server) -> bool:
    """Whether others are served."""
    with Client(server.address, shared_memory=True) as client:
        return np.array_equal(echo(client, noise(MIB)), noise(MIB))


# ---- who breaks the protocol ----


def test_another_version(server: Server) -> None:
    with ByHand(server) as client:
        message = client.hello(version=77).failure()
    assert message == "the client speaks version 77 of this protocol, and the agent version 1"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "a frame of"),
        (b"\xff" * 8, "a frame of"),
        (b"\x04\0\0\0\0\0\0\0\xff\xff\xff\xff", "a frame holds no valid message"),
        (b"\0\0\0\0\0\0\0\0", "the client said what it may not say there"),
    ],
)
@pytest.mark.parametrize("greeted", [False, True])
def test_garbage(server: Server, data: bytes, says: str, greeted: bool) -> None:
    with ByHand(server) as client:
        if greeted:
            client.welcome()
        client.send_bytes(data)
        assert says in client.failure()
    assert works(server)


def test_a_hello_comes_first_and_once(server: Server) -> None:
    with ByHand(server) as client:
        client.send("allocate", {"call": 1, "size": 5})
        assert "may not say there" in client.failure()
    with ByHand(server) as client:
        client.welcome().hello()
        assert "may not say there" in client.failure()


def test_leases_of_others_are_refused(server: Server, client: Client) -> None:
    held = echo(client, noise(MIB))
    for lease in (0, 1, 2, 3, 2**63):
        with ByHand(server) as thief:
            thief.welcome().infer([place(lease, MIB)], size=MIB)
            assert f"it spoke of lease {lease}, which it does not hold" in thief.failure()
        with ByHand(server) as thief:
            thief.welcome().send("released", {"leases": [lease]})
            assert f"it spoke of lease {lease}, which it does not hold" in thief.failure()
    np.testing.assert_array_equal(held, noise(MIB))
    assert works(server)


@pytest.mark.parametrize(("offset", "size"), [(0, MIB + 1), (1, MIB), (MIB, 1), (2**64 - 1, 2), (0, 2**63)])
def test_more_than_was_lent_is_refused(server: Server, offset: int, size: int) -> None:
    with ByHand(server) as client:
        _, lent = client.welcome().allocate(MIB)
        client.infer([place(lent["lease"], size, offset)], size=size % 2**31)
        assert "are not within its lease" in client.failure()
    assert works(server)


def test_contents_that_fit_no_tensor(server: Server) -> None:
    with ByHand(server) as client:
        _, lent = client.welcome().allocate(MIB)
        client.infer([place(lent["lease"], MIB)], size=MIB - 1)
        kind, answer = client.receive()
        assert kind == "answer"
        assert f"needs {MIB - 1} bytes, but the contents hold {MIB}" in answer["failure"]["message"]
        # The connection goes on.
        client.infer([place(lent["lease"], MIB)], size=MIB, call=3)
        kind, answer = client.receive()
        assert (kind, answer["call"], "inferred" in answer) == ("answer", 3, True)


def test_memory_that_is_lent_cannot_be_resized(server: Server) -> None:
    with ByHand(server) as client:
        path, _ = client.welcome().allocate(MIB)
        for size in (0, 4096, 1 << 50):
            with pytest.raises(OSError, match=r"not permitted|too large"):
                os.truncate(path, size)
    assert works(server)


def test_a_request_over_the_limit(serve: Serve) -> None:
    server = serve(APP, "--max-message-size", "4MiB")
    with Client(server.address, shared_memory=True) as client:
        with pytest.raises(ResourceExhaustedError, match="over the limit of 4194304 bytes; raise it with"):
            echo(client, noise(5 * MIB))
        np.testing.assert_array_equal(echo(client, noise(3 * MIB)), noise(3 * MIB))


# ---- deaths ----


DYING = """
import os, sys
import numpy as np
from anyserve import Client
client = Client({address!r}, shared_memory=True)
held = [client.infer("echo", {{"x": np.full(4 << 20, number, np.uint8)}})["output_x"] for number in range(4)]
print("holding", flush=True)
client.infer("echo", {{"x": np.full(4 << 20, 7, np.uint8)}}, parameters={parameters!r})
"""


def test_a_client_that_is_killed_leaves_nothing(server: Server, tmp_path: Path) -> None:
    agent = psutil.Process(server.process.pid)
    assert works(server)
    before = used(server), agent.num_fds(), segments(agent)
    for number in range(5):
        gate = Gate(tmp_path / f"gate{number}")
        code = DYING.format(address=server.address, parameters=gate.parameters)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            gate.wait_entered()
            assert used(server) >= before[0] + 20 * MIB
            process.kill()
        gate.open()

    def now() -> tuple[float, int, int]:
        return used(server), agent.num_fds(), segments(agent)

    eventually(lambda: all(is_now <= was for is_now, was in zip(now(), before, strict=True)), "all is as before")
    assert works(server)


def test_an_agent_that_is_killed_and_comes_back(serve: Serve, tmp_path: Path) -> None:
    server = serve(APP)
    port = server.port
    with Client(server.address, shared_memory=True) as client:
        held = echo(client, noise(MIB))
        server.process.kill()
        eventually(lambda: not server.processes(), "it is gone")
        with pytest.raises(UnavailableError):
            echo(client, noise(MIB))
        # What was looked at is there for as long as it is looked at.
        np.testing.assert_array_equal(held, noise(MIB))
        serve(APP, "--port", str(port))
        np.testing.assert_array_equal(echo(client, noise(MIB, 1)), noise(MIB, 1))
        np.testing.assert_array_equal(echo(client, held), held)


def test_an_agent_that_dies_in_the_middle_of_a_request(serve: Serve, tmp_path: Path) -> None:
    server = serve(APP)
    gate = Gate(tmp_path / "gate")
    code = DYING.format(address=server.address, parameters=gate.parameters)
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        gate.wait_entered()
        server.process.kill()
        assert process.stderr is not None
        said = process.stderr.read()
    gate.open()
    assert "UnavailableError" in said
    assert "the agent ended the connection" in said


def test_an_agent_that_does_not_answer(serve: Serve) -> None:
    server = serve(APP)
    with Client(server.address, shared_memory=True) as client:
        echo(client, noise(MIB))
        server.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(DeadlineExceededError, match="no answer within"):
                client.infer("echo", {"x": noise(MIB)}, timeout=0.5)
            with Client(server.address, shared_memory=True) as other, pytest.raises(DeadlineExceededError):
                other.infer("echo", {"x": noise(MIB)}, timeout=0.5)
        finally:
            server.send_signal(signal.SIGCONT)
        np.testing.assert_array_equal(echo(client, noise(MIB)), noise(MIB))
        eventually(lambda: used(server) == 0, "all of it is free again")


# ---- too much ----


def hold_until_full(client: Client) -> list[Any]:
    """As much as the agent lends it."""
    held: list[Any] = []
    with contextlib.suppress(ResourceExhaustedError):
        while len(held) < 100:
            held.append(echo(client, noise(8 * MIB)))
        raise AssertionError("it is never full")
    return held


def test_more_than_there_is(serve: Serve) -> None:
    server = serve(APP, "--object-store-size", "64MiB")
    with Client(server.address, shared_memory=True) as greedy, Client(server.address, shared_memory=True) as modest:
        with pytest.raises(ResourceExhaustedError, match=rf"{100 * MIB} bytes were asked for, and \d+ of {64 * MIB}"):
            echo(greedy, noise(100 * MIB))
        held = hold_until_full(greedy)
        # Others have their share.
        np.testing.assert_array_equal(echo(modest, noise(2 * MIB)), noise(2 * MIB))
        held.clear()
        np.testing.assert_array_equal(echo(greedy, noise(8 * MIB)), noise(8 * MIB))
        eventually(lambda: used(server) == 0, "all of it is free again")


def test_as_many_clients_as_may(serve: Serve) -> None:
    server = serve(APP)
    with contextlib.ExitStack() as stack:
        for _ in range(256):
            stack.enter_context(ByHand(server)).welcome()
        with Client(server.address, shared_memory=True) as client, pytest.raises(ResourceExhaustedError) as caught:
            echo(client, noise(10))
        assert str(caught.value) == "256 clients share memory with this agent already, as many as may"
    eventually(lambda: works(server), "there is a place again")


def test_a_client_that_reads_nothing(server: Server) -> None:
    """It is not read from either, so what waits for it has a bound."""
    agent = psutil.Process(server.process.pid)
    before = agent.memory_info().rss
    with ByHand(server) as client:
        client.welcome()
        _, lent = client.allocate(MIB)
        with pytest.raises(TimeoutError):
            client.flood(lent["lease"])
        assert agent.memory_info().rss - before < 64 * MIB
        assert works(server)


def test_a_client_that_says_nothing_is_cut_off(server: Server) -> None:
    with ByHand(server) as client:
        assert client.failure() == "the client did not say hello in time"
