"""If the agent dies at any moment, nothing of it stays: no process, no named shared memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from anyserve import Client

from tests.background import Background
from tests.gate import Gate
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Serve
    from tests.server import Server

APP = "tests.apps.gated:app"


@pytest.fixture(autouse=True)
def _nothing_named_is_left() -> Iterator[None]:
    before = set(os.listdir("/dev/shm"))
    yield
    assert set(os.listdir("/dev/shm")) <= before


def kill(server: Server) -> None:
    """Kills the agent; its workers must follow."""
    workers = server.workers()
    assert len(workers) == 2
    server.process.kill()
    server.process.wait()
    eventually(lambda: not server.processes(), "every worker is gone")


def test_idle_workers_end_with_the_agent(serve: Serve) -> None:
    server = serve(APP, "--workers", "2")
    with Client(server.address) as client:
        client.infer("quick")
        kill(server)


def test_a_worker_in_a_handler_ends_with_the_agent(serve: Serve, gate: Gate) -> None:
    server = serve(APP, "--workers", "2")
    with Background(server.address) as background:
        background.infer("once", gate.parameters)
        gate.wait_entered()
        kill(server)


@pytest.mark.parametrize("how", ["in Python", "in C"])
def test_a_worker_that_hears_nothing_ends_with_the_agent(serve: Serve, gate: Gate, how: str) -> None:
    server = serve(APP, "--workers", "2")
    with Background(server.address) as background:
        background.infer("busy", {"how": how, **gate.parameters})
        gate.wait_entered()
        kill(server)


def test_a_worker_that_is_still_importing_ends_with_the_agent(serve: Serve, tmp_path: Path) -> None:
    environment = {"ANYSERVE_TEST_FOLDER": str(tmp_path)}
    server = serve("tests.apps.moody:app", "--workers", "2", environment=environment, ready=False)
    Gate(tmp_path / "import").wait_entered(2)
    kill(server)


def test_large_tensors_leave_nothing_behind(serve: Serve) -> None:
    server = serve("examples.basic.app:app", "--workers", "2")
    with Client(server.address) as client:
        client.infer("echo", {"x": bytes(20 << 20)})
        kill(server)
