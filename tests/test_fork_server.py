"""Workers that are forked by a process which has imported what they need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from anyserve import Client
from anyserve._core import Admin
from anyserve.cli.folders import admin_socket

from tests.conftest import Serve
from tests.server import Server, is_alive
from tests.waiting import eventually

APP = "tests.apps.forking:app"


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(APP)


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.address) as client:
        yield client


def fork_servers(server: Server) -> list[psutil.Process]:
    """The fork servers that have imported what they are for."""
    ours = [process for process in server.workers() if "anyserve.worker.fork_server" in process.cmdline()]
    return [process for process in ours if "json.tool" in process.cmdline()]


def told(client: Client, name: str) -> dict[str, object]:
    result = client.infer(name, timeout=60)
    return {output.name: result[output.name][0] for output in result.response.outputs}


def forked(server: Server, client: Client) -> dict[str, object]:
    """What a worker says that was certainly forked: the server is ready by then."""
    admin = Admin(admin_socket(server.port))

    def is_forked() -> bool:
        admin.scale("forked", 0)
        eventually(lambda: not workers_of(admin, "forked"), "the worker is gone")
        return told(client, "forked")["parent"] in [process.pid for process in fork_servers(server)]

    eventually(is_forked, "a worker is forked")
    return told(client, "forked")


def workers_of(admin: Admin, pool: str) -> list[object]:
    return next(list(found["workers"]) for found in admin.status()["pools"] if found["name"] == pool)


def test_a_worker_is_forked_with_what_was_preloaded(server: Server, client: Client) -> None:
    worker = forked(server, client)
    assert worker["loaded"]
    assert worker["group"] == worker["pid"]
    assert worker["argv"] == b"tests.apps.forking:app --pool forked"


def test_a_forked_worker_has_no_more_descriptors_than_an_executed_one(server: Server, client: Client) -> None:
    assert forked(server, client)["descriptors"] == told(client, "executed")["descriptors"]


def test_forked_workers_throw_their_own_dice(server: Server, client: Client) -> None:
    first, second = forked(server, client), forked(server, client)
    assert first["pid"] != second["pid"]
    assert first["dice"] != second["dice"]


def test_a_pool_without_preload_is_executed(server: Server, client: Client) -> None:
    assert told(client, "executed")["parent"] == server.process.pid


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        ("threaded", "1 thread runs after importing tests.apps.starts_a_thread"),
        ("broken", "importing tests.apps.nothing_here raised ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_forked_safely_is_executed(server: Server, client: Client, pool: str, why: str) -> None:
    assert server.stderr.find(re.compile(f"workers start without a fork server: {why}.*{pool}")) is not None
    assert told(client, pool)["parent"] == server.process.pid


def test_a_killed_worker_is_told_by_its_signal(server: Server, client: Client) -> None:
    worker = forked(server, client)
    pid = int(str(worker["pid"]))
    psutil.Process(pid).kill()
    assert server.stderr.find(re.compile("the worker was killed by SIGKILL")) is not None
    assert told(client, "forked")["pid"] != pid


def test_a_fork_server_that_dies_takes_its_workers_along_and_is_replaced(server: Server, client: Client) -> None:
    worker = forked(server, client)
    [before] = fork_servers(server)
    before.kill()
    pid = int(str(worker["pid"]))
    eventually(lambda: not psutil.pid_exists(pid) or not is_alive(psutil.Process(pid)), "the worker is gone")
    assert told(client, "forked")["pid"] != pid
    again = forked(server, client)
    assert again["parent"] != before.pid


def test_nothing_is_left_after_a_stop(server: Server, client: Client) -> None:
    forked(server, client)
    # The server looks for whatever stems from it.
    assert server.stop() == 0


def test_nothing_is_left_after_the_agent_was_killed(server: Server, client: Client) -> None:
    forked(server, client)
    server.process.kill()
    server.process.wait()
    eventually(lambda: not server.processes(), "every process is gone", patience=5)


def test_the_environment_of_a_pool_reaches_forked_workers(serve: Serve, tmp_path: Path) -> None:
    config = tmp_path / "anyserve.yaml"
    config.write_text(
        "pools:\n  forked:\n    target: tests.apps.forking:app\n    worker: forked\n"
        "    env: {ANYSERVE_TEST_MINE: 'yes'}\n"
    )
    server = serve(f"--config={config}")
    with Client(server.address) as client:
        assert forked(server, client)["mine"] == b"yes"
