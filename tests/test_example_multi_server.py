"""examples/multi_server: the client goes on when one of two replicas is killed."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from anyserve.cli import main

from tests.api_server.process import ApiServer
from tests.server import ROOT, Collected, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = "examples.multi_server.app:app"
BOTH = re.compile(r"^ *\d+:  a [1-9]\d*  b [1-9]\d*$")
ONLY_B = re.compile(r"^ *\d+:  b [1-9]\d*$")


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """The example's API server."""
    with ApiServer() as api:
        yield api


@pytest.fixture
def replicas(api: ApiServer) -> Iterator[dict[str, Server]]:
    """Its replicas, by name."""
    with ExitStack() as stack:
        options = ["--api-server", api.url, "--replica-id"]
        started = {name: stack.enter_context(Server(APP, *options, name)) for name in "ab"}
        for server in started.values():
            server.wait_ready()
        api.wait_ids("a", "b", type="echo")
        yield started


def test_the_client_goes_on_when_a_replica_is_killed(api: ApiServer, replicas: dict[str, Server]) -> None:
    command = [sys.executable, "-m", "examples.multi_server.client", "--api-server", api.url, "--seconds", "3600"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as client:
        try:
            assert client.stdout is not None
            printed = Collected(client.stdout)
            assert printed.find(BOTH)
            replicas["a"].process.kill()
            assert printed.find(ONLY_B)
        finally:
            client.kill()
        printed.finish()
    assert "failed" not in printed.text


def test_both_ways_to_connect(api: ApiServer, replicas: dict[str, Server]) -> None:
    # By the name that handlers' code knows it by.
    from anyserve.worker.client import Client

    client = Client(endpoint=replicas["a"].address)
    assert client.infer("echo", {"text": ["hello"]})["text"] == [b"hello"]
    assert (client.endpoint, client.replica_id) == (replicas["a"].address, None)
    client.close()

    client = Client(api_server=api.url, capability={"type": "echo"})
    result = client.infer("echo", {"text": ["hello"]})
    assert result["text"] == [b"hello"]
    assert client.endpoint == replicas[client.replica_id or ""].address
    client.close()


def test_from_a_shell(api: ApiServer, replicas: dict[str, Server], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", "--api-server", api.url, "echo", "text=hello"]) == 0
    assert capsys.readouterr().out == "text BYTES [1]: [hello]\n"
    assert main(["infer", "--api-server", api.url, "paint"]) == 1
    message = "anyserve: no capability matches {type: paint}; served by any replica: {type: echo}\n"
    assert capsys.readouterr().err == message
