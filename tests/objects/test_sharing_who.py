"""Who may share memory with an agent: a process of its user, on its machine, that means this agent."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anyserve import AsyncClient, Client
from anyserve.errors import FailedPreconditionError, UnavailableError

from tests.objects.regions import APP, noise
from tests.objects.sharing import socket_of
from tests.objects.test_sharing_client import MIB, echo
from tests.server import ROOT, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Serve

NOBODY = 65_534
"""A user that owns nothing here."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(APP) as server:
        yield server.wait_ready()


def test_an_agent_on_another_machine(server: Server) -> None:
    # Addresses that are kept for documentation.
    for endpoint in (f"192.0.2.1:{server.port}", f"[2001:db8::1]:{server.port}"):
        with Client(endpoint, shared_memory=True) as client, pytest.raises(FailedPreconditionError) as caught:
            echo(client, noise(10))
        assert str(caught.value) == (
            f"{endpoint} shares no memory with this process: the endpoint is on another machine; "
            "leave out shared_memory"
        )


def test_an_agent_at_another_address_of_this_machine(server: Server) -> None:
    other = f"127.0.0.2:{server.port}"
    with Client(other, shared_memory=True) as client, pytest.raises(FailedPreconditionError) as caught:
        echo(client, noise(10))
    assert str(caught.value) == f"the agent of this user listens at {server.address}, not at {other}"


async def test_no_agent() -> None:
    wanted = r"no agent of this user shares memory for that port on this machine \(.*/1\.shm\.sock: "
    with Client("localhost:1", shared_memory=True) as client, pytest.raises(UnavailableError, match=wanted):
        echo(client, noise(10))
    async with AsyncClient("localhost:1", shared_memory=True) as other:
        with pytest.raises(UnavailableError, match=wanted):
            await other.infer("echo", {"x": noise(10)})
        with pytest.raises(UnavailableError, match=wanted):
            [result async for result in other.stream("echo", {"x": noise(10)})]


@pytest.mark.parametrize("endpoint", ["localhost", ":8000", "localhost:http", "localhost:99999"])
def test_no_endpoint(endpoint: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        Client(endpoint, shared_memory=True)


STRANGER = """
import os, socket, sys
os.setgid({user}); os.setuid({user})
{code}
"""


def as_stranger(code: str) -> str:
    """What a process of another user prints."""
    command = [sys.executable, "-c", STRANGER.format(user=NOBODY, code=code)]
    # It reads what this one may read, from where it is.
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return run.stdout + run.stderr


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")


@needs_root
def test_another_user_finds_no_socket(server: Server) -> None:
    said = as_stranger(f"""
connection = socket.socket(socket.AF_UNIX)
try:
    connection.connect({str(socket_of(server))!r})
except PermissionError as error:
    print("refused", error)
""")
    assert said.startswith("refused")


@needs_root
def test_another_user_is_refused_even_at_an_open_socket(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        server = serve(APP)
        path = socket_of(server)
        for opened in (Path(folder), path.parent, path):
            opened.chmod(0o777)
        said = as_stranger(f"""
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(30)
connection.connect({str(path)!r})
data = b""
while part := connection.recv(1000):
    data += part
print(data)
""")
        assert f"user {NOBODY} may not share memory with an agent of user 0" in said


@needs_root
def test_an_agent_of_another_user_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        path = Path(name, "anyserve", "1.shm.sock")
        path.parent.mkdir()
        for opened in path.parents[:2]:
            opened.chmod(0o777)
        code = f"""
listening = socket.socket(socket.AF_UNIX)
listening.bind({str(path)!r})
listening.listen()
print("listening", flush=True)
sys.stdin.read()
"""
        command = [sys.executable, "-c", STRANGER.format(user=NOBODY, code=code)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"listening\n"
            wanted = f"belongs to user {NOBODY}, not to this one"
            with (
                Client("localhost:1", shared_memory=True) as client,
                pytest.raises(FailedPreconditionError, match=wanted),
            ):
                echo(client, noise(10))
            process.kill()


def test_the_socket_is_this_users_alone(server: Server) -> None:
    path = socket_of(server)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_socket_goes_with_the_agent(serve: Serve) -> None:
    server = serve(APP)
    path = socket_of(server)
    with Client(server.address, shared_memory=True) as client:
        held = echo(client, noise(MIB))
        assert server.stop() == 0
        assert not path.exists()
        assert held.size == MIB
    assert "were cut off" not in server.stderr.text
