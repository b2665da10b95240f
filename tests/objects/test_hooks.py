"""Objects and calls from the hooks of a class: not before the worker is ready, and until its on_stop has returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyserve import Client
from anyserve.cli.agents import admin_of

from tests.objects.apps.hooks import FOLDER
from tests.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Serve
    from tests.server import Server

APP = "tests.objects.apps.hooks:app"
KINDS = ["plain", "loop"]

ALL = ["created 60000", "sealed 16", "found True", "called 42"]


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> Server:
    return serve(APP, environment={FOLDER: str(tmp_path)})


def said(folder: Path, kind: str, hook: str) -> list[str]:
    """What the hook wrote down, once it has."""
    path = folder / f"{kind}.{hook}"
    eventually(path.exists, f"{hook} was called")
    return path.read_text().splitlines()


@pytest.mark.parametrize("kind", KINDS)
def test_from_on_start_everything_is_refused(client: Client, tmp_path: Path, kind: str) -> None:
    client.infer(kind, timeout=60)
    refused = said(tmp_path, kind, "on_start")
    message = "UnavailableError: the worker is not ready: objects and calls are for handlers, not for the start"
    names = ["create", "create_empty", "get", "lookup", "delete", "stat", "call"]
    assert refused == [f"{name}: {message}" for name in names]


@pytest.mark.parametrize("kind", KINDS)
def test_from_on_sleep_and_on_wake_everything_works(client: Client, server: Server, tmp_path: Path, kind: str) -> None:
    client.infer(kind, timeout=60)
    admin_of(server.port).sleep(kind)
    assert said(tmp_path, kind, "on_sleep") == ALL
    client.infer(kind, timeout=60)
    assert said(tmp_path, kind, "on_wake") == ALL


@pytest.mark.parametrize("kind", KINDS)
def test_from_on_stop_everything_works(client: Client, server: Server, tmp_path: Path, kind: str) -> None:
    client.infer(kind, timeout=60)
    admin_of(server.port).drain(kind)
    assert said(tmp_path, kind, "on_stop") == ALL


@pytest.mark.parametrize("kind", KINDS)
def test_while_the_agent_stops_objects_work(client: Client, server: Server, tmp_path: Path, kind: str) -> None:
    client.infer(kind, timeout=60)
    assert server.stop() == 0
    done = said(tmp_path, kind, "on_stop")
    # Whoever would answer a call stops too.
    assert done[:3] == ALL[:3]
    assert done[3] == ALL[3] or done[3].startswith("UnavailableError: ")
