"""How an agent stops: it finishes what it has, refuses what is new, and waits no longer than it was told."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError, UnavailableError

from tests.background import Background, pid_of
from tests.gate import Gate
from tests.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Serve
    from tests.server import Server

APP = "tests.apps.gated:app"
SIGNALS = [signal.SIGINT, signal.SIGTERM]


def is_draining(client: Client) -> bool:
    """True if new requests are refused because the server stops."""
    try:
        client.infer("quick", timeout=0.2)
    except UnavailableError as error:
        return "shutting down" in str(error)
    except DeadlineExceededError:
        # Behind the request in the gate.
        return False
    return False


@pytest.mark.parametrize("number", SIGNALS)
def test_an_idle_server_stops(serve: Serve, number: signal.Signals) -> None:
    server = serve(APP, "--workers", "2")
    assert server.stop(number) == 0
    assert server.stdout.text.endswith("\nstopped\n")
    assert server.stderr.text == ""


def test_a_server_with_connections_stops(serve: Serve) -> None:
    server = serve(APP)
    with Client(server.address) as client:
        client.infer("quick")
        assert server.stop() == 0
        with pytest.raises(UnavailableError):
            client.infer("quick")


@pytest.mark.parametrize("number", SIGNALS)
def test_what_runs_and_what_waits_is_finished_and_what_is_new_is_refused(
    serve: Serve, gate: Gate, number: signal.Signals
) -> None:
    server = serve(APP)
    [worker] = server.workers()
    with Background(server.address) as background, Client(server.address) as client:
        running = background.infer("once", gate.parameters)
        gate.wait_entered()
        waiting = [background.infer("quick") for _ in range(3)]
        # They were sent before this one, which is refused or not by what came first.
        assert not is_draining(client)
        server.send_signal(number)
        eventually(lambda: is_draining(client), "new requests are refused")
        assert not running.done()
        assert not client.is_ready()
        assert not client.is_ready("quick")
        with Client(server.address) as late, pytest.raises(UnavailableError, match="shutting down"):
            late.infer("quick")
        gate.open()
        for request in [running, *waiting]:
            assert pid_of(request.result(60)) == worker.pid
    assert server.wait() == 0
    assert server.stdout.text.endswith("\nstopped\n")


def test_a_drain_ends_after_its_timeout(serve: Serve, gate: Gate) -> None:
    server = serve(APP, "--drain-timeout", "1")
    with Background(server.address) as background:
        running = background.infer("once", gate.parameters, request_id="the long one")
        gate.wait_entered()
        assert server.stop(signal.SIGTERM) == 0
        with pytest.raises(UnavailableError, match="shutting down"):
            running.result(60)
    assert server.stderr.find(re.compile("still running 1s after .* told to stop .*--drain-timeout")) is not None
    assert server.stderr.find(re.compile(r"id 'the long one', model 'once'\) was cut off")) is not None


def test_a_second_signal_stops_at_once(serve: Serve, gate: Gate) -> None:
    server = serve(APP, "--drain-timeout", "3600")
    with Background(server.address) as background, Client(server.address) as client:
        running = background.infer("once", gate.parameters)
        gate.wait_entered()
        server.send_signal(signal.SIGINT)
        eventually(lambda: is_draining(client), "new requests are refused")
        assert server.stop(signal.SIGINT) == 0
        with pytest.raises(UnavailableError):
            running.result(60)


@pytest.fixture
def starting(serve: Serve, tmp_path: Path) -> Server:
    """A server whose workers are importing the application, without end."""
    environment = {"ANYSERVE_TEST_FOLDER": str(tmp_path)}
    server = serve("tests.apps.moody:app", "--workers", "2", environment=environment, ready=False)
    Gate(tmp_path / "import").wait_entered(2)
    return server


def test_a_server_that_is_still_starting_stops(starting: Server) -> None:
    assert starting.stop(signal.SIGINT) == 0
    assert "ready" not in starting.stdout.text


def test_a_server_that_is_still_starting_stops_at_once_if_told_again(starting: Server) -> None:
    def told() -> bool:
        starting.send_signal(signal.SIGINT)
        return starting.process.poll() is not None

    # Signals that come too close are heard as one.
    eventually(told, "the server has ended")
    assert starting.wait() == 0


def test_a_signal_for_a_worker_ends_only_the_worker(serve: Serve) -> None:
    server = serve(APP)
    [worker] = server.workers()
    worker.send_signal(signal.SIGTERM)
    with Client(server.address) as client:
        eventually(lambda: pid_of(client.infer("quick", timeout=60)) != worker.pid, "another worker answers")


@pytest.mark.parametrize("what", ["thread", "fork"])
def test_a_worker_that_left_something_running_stops(serve: Serve, what: str) -> None:
    server = serve("tests.apps.faulty:app")
    with Client(server.address) as client:
        client.infer(what)
    assert server.stop() == 0
