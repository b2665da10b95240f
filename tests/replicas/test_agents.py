"""Agents that register in etcd: what the fleet hears of them from their start to their end."""

from __future__ import annotations

import re
import signal
import socket
from typing import TYPE_CHECKING

import pytest
from anyserve import Client

from tests.background import Background, pid_of
from tests.metrics import Metrics
from tests.replicas.looking import find, is_gone, offers, types
from tests.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from anyserve._core import Registry

    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.replicas.etcd import Etcd

APP = "tests.apps.gated:app"
ALL = ("again", "busy", "deadly", "deadly-again", "once", "quick", "watchful")


def test_an_agent_registers_and_leaves(serve: Serve, etcd: Etcd, fleet: Registry) -> None:
    with_id = ("--replica-id", "a", "--advertise", "somewhere.example", "--lease", "60")
    server = serve(APP, "--registry", etcd.url, *with_id)
    offers(fleet, "a", *ALL)
    replica = find(fleet, "a")
    assert replica is not None
    assert replica["endpoint"] == f"somewhere.example:{server.port}"
    assert replica["idempotent"] == [{"type": "again"}, {"type": "deadly-again"}]
    metrics = Metrics(server)
    names = [f"registry_{name}" for name in ("connected", "registered", "replicas")]
    eventually(lambda: all(metrics.value(name) == 1 for name in names), "the agent knows itself")
    assert server.stop() == 0
    # Long before the lease ends.
    is_gone(fleet, "a")


def test_an_agent_has_a_name_by_itself(serve: Serve, etcd: Etcd, fleet: Registry) -> None:
    server = serve(APP, "--registry", etcd.url)
    name = f"{socket.gethostname()}:{server.port}"
    offers(fleet, name, *ALL)
    assert fleet.route({"type": "quick"}) == {"endpoint": server.address, "replica_id": name}


def test_an_agent_that_drains_is_there_and_takes_nothing(serve: Serve, etcd: Etcd, fleet: Registry, gate: Gate) -> None:
    server = serve(APP, "--registry", etcd.url, "--replica-id", "a")
    offers(fleet, "a", *ALL)
    with Background(server.address) as background:
        running = background.infer("once", gate.parameters, timeout=60)
        gate.wait_entered()
        server.send_signal(signal.SIGTERM)
        offers(fleet, "a")
        assert fleet.route({"type": "once"}) is None
        gate.open()
        running.result(60)
    assert server.wait() == 0
    is_gone(fleet, "a")


def test_an_agent_that_is_killed_is_gone_when_its_lease_ends(serve: Serve, etcd: Etcd, fleet: Registry) -> None:
    server = serve(APP, "--registry", etcd.url, "--replica-id", "a", "--lease", "2")
    offers(fleet, "a", *ALL)
    server.process.kill()
    is_gone(fleet, "a")


def test_the_later_of_two_has_the_id_and_the_earlier_goes_on(serve: Serve, etcd: Etcd, fleet: Registry) -> None:
    options = ("--registry", etcd.url, "--replica-id", "a", "--lease", "3")
    earlier = serve(APP, *options)
    offers(fleet, "a", *ALL)
    later = serve("examples.basic.app:app", *options)
    told = earlier.stderr.find(re.compile("another agent has registered as replica a"))
    assert told is not None
    assert f"{later.address} (incarnation " in told.string
    assert "--replica-id" in told.string
    with Client(earlier.address) as client:
        assert pid_of(client.infer("quick"))
    assert Metrics(earlier).value("registry_registered") == 0
    # That it goes is nothing to the later one.
    assert earlier.stop() == 0
    replica = find(fleet, "a")
    assert replica is not None
    assert replica["endpoint"] == later.address


@pytest.mark.parametrize("forgets", [False, True], ids=["with its data", "without its data"])
def test_an_etcd_that_was_restarted_has_the_agent_again(
    serve: Serve, etcd: Etcd, fleet: Registry, forgets: bool
) -> None:
    server = serve(APP, "--registry", etcd.url, "--replica-id", "a", "--lease", "60")
    metrics = Metrics(server)
    offers(fleet, "a", *ALL)
    etcd.kill()
    eventually(lambda: metrics.value("registry_connected") == 0, "the agent has noticed")
    eventually(lambda: not fleet.is_connected(), "the API server has noticed")
    # What is known stays.
    assert types(fleet, "a") == set(ALL)
    assert metrics.value("registry_replicas") == 1
    with Client(server.address) as client:
        assert pid_of(client.infer("quick"))
    if forgets:
        etcd.forget()
    etcd.restart()
    # An etcd that has forgotten is told at once, not when a third of the lease is over.
    eventually(lambda: metrics.value("registry_connected") == 1, "the agent follows again")
    eventually(lambda: metrics.value("registry_registered") == 1, "the agent is registered again")
    eventually(fleet.is_connected, "the API server follows again")
    offers(fleet, "a", *ALL)
    assert server.stop() == 0
    is_gone(fleet, "a")


def test_an_agent_starts_and_stops_without_its_registry(serve: Serve, etcd: Etcd) -> None:
    etcd.kill()
    server = serve(APP, "--registry", etcd.url, "--replica-id", "a")
    with Client(server.address) as client:
        assert pid_of(client.infer("quick"))
    assert server.stderr.find(re.compile(f"cannot reach the registry at 127.0.0.1:{etcd.port}"))
    assert server.stop() == 0
    # Told once, whatever the number of tries.
    assert server.stderr.text.count("cannot be registered") <= 1


def test_the_file_says_the_same_as_the_options(serve: Serve, etcd: Etcd, fleet: Registry, tmp_path: Path) -> None:
    config = tmp_path / "anyserve.yaml"
    config.write_text(
        f"server: {{registry: '{etcd.url}', replica_id: b, advertise: 'h:81', lease: 5s}}\n"
        f"pools: {{quick: {{target: '{APP}'}}}}\n"
    )
    serve(f"--config={config}")
    offers(fleet, "b", *ALL)
    replica = find(fleet, "b")
    assert replica is not None
    assert replica["endpoint"] == "h:81"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--advertise", "0.0.0.0"], 1, "cannot advertise 0.0.0.0: it leads nowhere from another machine"),
        (["--advertise", "http://h:1"], 1, "endpoint 'http://h:1' is not HOST:PORT"),
        (["--replica-id", "a/b"], 1, "replica id 'a/b' is not allowed"),
        (["--api-server", "http://127.0.0.1:1"], 2, "--registry (registry) do not go together"),
        (["--lease", "0.5"], 2, "--lease (lease) 0.5 is not from 1 to 3600 seconds"),
        (["--registry", "etcd://user:secret@h:1?x=1"], 1, "it has no option 'x'"),
        (["--registry", "redis://h"], 1, "'redis://h' is no registry: it must be memory:, etcd://"),
    ],
)
def test_what_is_wrong_is_named(serve: Serve, options: list[str], code: int, message: str) -> None:
    server = serve(APP, "--registry", "etcd://127.0.0.1:1", *options, ready=False)
    assert server.wait() == code
    assert message in server.stderr.text
    assert "secret" not in server.stderr.text


def test_an_api_server_is_at_an_http_address(serve: Serve) -> None:
    server = serve(APP, "--api-server", "localhost:8080", ready=False)
    assert server.wait() == 2
    assert "'localhost:8080' is not http://HOST:PORT of an API server" in server.stderr.text
