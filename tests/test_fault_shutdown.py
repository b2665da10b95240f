"""An agent that stops while streams are under way: they are finished, and cut only when there is no more time."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import grpc
import pytest
from anyserve import Client
from anyserve.errors import UnavailableError

from tests.apps.stream_journal import Journal
from tests.metrics import Metrics
from tests.streams import Call, ask
from tests.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.server import Server

FORMS = [("app", "endless"), ("threads", "endless-yielded"), ("loop", "async-endless"), ("loop", "async-silent")]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def is_draining(server: Server) -> bool:
    """True if the server takes nothing new any longer."""
    with Client(server.address) as client:
        return not client.is_ready()


@pytest.mark.parametrize(
    ("app", "number"), [("app", signal.SIGTERM), ("threads", signal.SIGINT), ("loop", signal.SIGTERM)]
)
def test_streams_that_run_and_those_that_wait_are_finished(
    serve: Serve, gate: Gate, app: str, number: signal.Signals
) -> None:
    server = serve(f"tests.apps.stream_steered:{app}")
    with Client(server.address) as client, Call(server) as call:
        running = client.stream("halfway", parameters=gate.parameters)
        next(running)
        call.send(ask("halfway", id="1", parameters=gate.parameters), ask("endless", id="2", parameters={"count": 3}))
        call.send(ask("quick", id="3"))
        responses = []
        if app == "app":
            Metrics(server).wait_waiting("quick", 1)
        else:
            responses += [call.take() for _ in range(5)]
        server.send_signal(number)
        eventually(lambda: is_draining(server), "the server is draining")
        call.send(ask("quick", id="4"))
        gate.open()
        assert len(list(running)) == 1
        responses += call.rest()
    assert sorted(response.infer_response.id for response in responses) == ["1", "1", "2", "2", "2", "3", "4"]
    [refused] = [response for response in responses if response.error_message]
    assert (refused.infer_response.id, refused.error_message) == ("4", "the server is shutting down")
    assert server.wait() == 0
    assert server.stdout.text.endswith("\nstopped\n")


@pytest.mark.parametrize("model", ["quick", "endless"])
def test_a_new_call_is_refused(serve: Serve, gate: Gate, model: str) -> None:
    server = serve("tests.apps.stream_steered:app")
    with Client(server.address) as client, Call(server) as idle, Call(server) as late:
        assert len(idle.send(ask("quick")).numbers(1)) == 1
        running = client.stream("halfway", parameters=gate.parameters)
        next(running)
        server.send_signal(signal.SIGTERM)
        eventually(lambda: is_draining(server), "the server is draining")
        with pytest.raises(UnavailableError, match="the server is shutting down"):
            list(client.stream(model, parameters={"count": 1}))
        # A call that was open hears it in-band, or by its end, if it has been idle for too long.
        try:
            assert late.send(ask(model, parameters={"count": 1})).take().error_message == "the server is shutting down"
        except grpc.RpcError:
            assert late.rpc.code() is grpc.StatusCode.UNAVAILABLE
        gate.open()
        assert len(list(running)) == 1
    assert server.wait() == 0


def test_a_call_that_is_open_and_asks_nothing_holds_nothing_up(serve: Serve) -> None:
    server = serve("tests.apps.stream_steered:app")
    with Call(server) as call:
        call.send(ask("quick"))
        call.take()
        assert server.stop() == 0
        with pytest.raises((grpc.RpcError, StopIteration)):
            call.take()
    assert "cut" not in server.stderr.text


@pytest.mark.parametrize(("app", "model"), FORMS)
def test_a_stream_without_end_is_cut_when_the_time_to_drain_is_over(
    serve: Serve, journal: Journal, app: str, model: str
) -> None:
    server = serve(f"tests.apps.stream_steered:{app}", "--drain-timeout", "0.5")
    with Client(server.address) as client:
        results = client.stream(model, parameters=journal.parameters, request_id="the long one")
        if "silent" not in model:
            next(results)
        journal.wait("started")
        server.send_signal(signal.SIGTERM)
        with pytest.raises(UnavailableError, match="the server is shutting down"):
            list(results)
    assert server.wait() == 0
    assert server.stderr.find(re.compile(rf"id 'the long one', model '{model}'\) was cut off")) is not None


def test_a_client_that_reads_nothing_holds_nothing_up(serve: Serve, journal: Journal) -> None:
    server = serve("tests.apps.stream_steered:app", "--drain-timeout", "0.5")
    with Call(server) as call:
        call.send(ask("endless", parameters={"size": 1 << 20, **journal.parameters}))
        journal.wait("sent")
        assert server.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize(("app", "model"), FORMS[:1] + FORMS[-1:])
def test_a_second_signal_cuts_the_streams(serve: Serve, journal: Journal, app: str, model: str) -> None:
    server = serve(f"tests.apps.stream_steered:{app}", "--drain-timeout", "3600")
    with Client(server.address) as client:
        results = client.stream(model, parameters=journal.parameters)
        if "silent" not in model:
            next(results)
        journal.wait("started")
        server.send_signal(signal.SIGTERM)
        eventually(lambda: is_draining(server), "the server is draining")
        server.send_signal(signal.SIGTERM)
        with pytest.raises(UnavailableError):
            list(results)
    assert server.wait() == 0
