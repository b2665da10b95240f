"""However a client leaves its stream, the handler is told in the way of its form, and its place is free again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from anyserve import Client

from tests.apps.stream_journal import Journal
from tests.background import pid_of
from tests.server import ROOT
from tests.streams import Call, Servers, ask
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.gate import Gate
    from tests.server import Server

ANYSERVES = "anyserve.errors.CancelledError"
ASYNCIOS = "asyncio.exceptions.CancelledError"
CLOSED = "builtins.GeneratorExit"

TOLD = {
    "endless": {ANYSERVES},
    "endless-yielded": {CLOSED},
    "silent": {ANYSERVES},
    # It may be told while it waits for something of its own, or while its response waits for the client.
    "async-endless": {ASYNCIOS, ANYSERVES},
    "async-endless-yielded": {CLOSED, ASYNCIOS},
    "async-silent": {ASYNCIOS},
    "async-silent-yielded": {ASYNCIOS},
}
SYNC = ["endless", "endless-yielded", "silent"]
FORMS = [
    *(("app", model) for model in SYNC),
    *(("threads", model) for model in SYNC),
    *(("loop", model) for model in TOLD),
]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers("tests.apps.stream_steered") as servers:
        yield servers


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def check_told(server: Server, journal: Journal, model: str) -> None:
    """The handler has ended for the right reason, and its worker goes on."""
    journal.wait("ended")
    words = [word for word in journal.words() if word != "sent"]
    if "told" in words:
        words.remove("told")
    started, reason, ended = words
    assert (started, ended) == ("started", "ended")
    assert reason in TOLD[model]
    [worker] = server.workers()
    with Client(server.address) as client:
        for _ in range(5):
            assert pid_of(client.infer("quick", timeout=PATIENCE)) == worker.pid


@pytest.mark.parametrize(("app", "model"), FORMS)
def test_a_call_that_is_cancelled(servers: Servers, journal: Journal, app: str, model: str) -> None:
    with Call(servers[app]) as call:
        call.send(ask(model, parameters=journal.parameters))
        journal.wait("started")
        call.rpc.cancel()
        check_told(servers[app], journal, model)


@pytest.mark.parametrize(("app", "model"), FORMS)
def test_a_call_that_is_cancelled_after_its_half_close(
    servers: Servers, journal: Journal, app: str, model: str
) -> None:
    with Call(servers[app]) as call:
        call.send(ask(model, parameters=journal.parameters)).half_close()
        journal.wait("started")
        call.rpc.cancel()
        check_told(servers[app], journal, model)


@pytest.mark.parametrize(("app", "model"), FORMS)
def test_a_deadline_that_passes(servers: Servers, journal: Journal, app: str, model: str) -> None:
    with Call(servers[app]) as call:
        call.send(ask(model, id="17", parameters={"timeout": 200_000, "size": 1 << 16, **journal.parameters}))
        check_told(servers[app], journal, model)
        *_, last = call.rest()
    assert last.error_message.startswith("the deadline passed after ")
    assert last.infer_response.id == "17"


@pytest.mark.parametrize(("app", "model"), [("app", "endless"), ("threads", "silent"), ("loop", "async-silent")])
def test_a_client_that_dies(servers: Servers, journal: Journal, app: str, model: str) -> None:
    server = servers[app]
    code = (
        f"from anyserve import Client\n"
        f"for _ in Client({server.address!r}).stream({model!r}, parameters={journal.parameters!r}): input()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=pipe) as process:
        journal.wait("started")
        process.kill()
        check_told(server, journal, model)


@pytest.mark.parametrize(("app", "model"), [form for form in FORMS if "silent" not in form[1]])
def test_a_client_that_had_enough(servers: Servers, journal: Journal, app: str, model: str) -> None:
    with Client(servers[app].address) as client:
        with client.stream(model, parameters={"size": 1 << 16, **journal.parameters}) as results:
            for _ in range(100):
                next(results)
        check_told(servers[app], journal, model)


@pytest.mark.parametrize(("app", "model"), [("app", "silent"), ("loop", "async-endless-yielded")])
def test_a_stream_of_tritonclient_that_is_stopped(servers: Servers, journal: Journal, app: str, model: str) -> None:
    heard: list[Any] = []
    with tritonclient.grpc.InferenceServerClient(servers[app].address) as triton:
        triton.start_stream(lambda result, error: heard.append(error))
        triton.async_stream_infer(model, [], parameters={"size": 1 << 16, **journal.parameters})
        journal.wait("started")
        triton.stop_stream(cancel_requests=True)
        check_told(servers[app], journal, model)
    assert heard[-1].status() == "StatusCode.CANCELLED"


async def test_a_stream_of_tritonclient_for_asyncio_that_is_cancelled(servers: Servers, journal: Journal) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        yield {"model_name": "async-endless", "inputs": [], "parameters": journal.parameters}
        await asyncio.to_thread(journal.wait, "ended")

    async with tritonclient.grpc.aio.InferenceServerClient(servers["loop"].address) as triton:
        results = triton.stream_infer(requests())
        await anext(results)
        assert results.cancel()
        await asyncio.to_thread(check_told, servers["loop"], journal, "async-endless")


@pytest.mark.parametrize("app", ["app", "threads", "loop"])
def test_every_request_of_the_call_is_cancelled(servers: Servers, app: str, tmp_path: Path) -> None:
    models = [model for model in TOLD if app == "loop" or not model.startswith("async")]
    journals = {model: Journal(tmp_path / model) for model in models}
    with Call(servers[app]) as call:
        call.send(*(ask(model, parameters=journals[model].parameters) for model in models))
        # The one that runs, if it runs alone.
        running = models[:1] if app == "app" else models
        for model in running:
            journals[model].wait("started")
        call.rpc.cancel()
        for model in running:
            check_told(servers[app], journals[model], model)
    for model in models[len(running) :]:
        assert journals[model].words() == [], "what waited has never started"


def test_an_async_generator_has_time_to_clean_up(servers: Servers, journal: Journal) -> None:
    with Client(servers["loop"].address) as client:
        with client.stream("async-tidy", parameters=journal.parameters) as results:
            next(results)
        journal.wait("tidied")
        client.infer("async-quick")


@pytest.mark.parametrize("app", ["app", "threads", "loop"])
def test_a_generator_that_cannot_be_closed_harms_nobody(servers: Servers, journal: Journal, app: str) -> None:
    with Client(servers[app].address) as client:
        for _ in range(5):
            with client.stream("stubborn", parameters=journal.parameters) as results:
                next(results)
        client.infer("quick", timeout=PATIENCE)


def test_a_coroutine_that_cannot_be_cancelled_harms_nobody(servers: Servers, journal: Journal, gate: Gate) -> None:
    server = servers["loop"]
    with Client(server.address) as client, Call(server) as call:
        parameters = {**gate.parameters, **journal.parameters}
        call.send(*(ask("async-stubborn", parameters=parameters) for _ in range(3)))
        journal.wait("started", 3)
        call.rpc.cancel()
        journal.wait("told", 3)
        client.infer("async-quick", timeout=PATIENCE)
        gate.open()
        journal.wait("ended", 3)
        client.infer("async-quick", timeout=PATIENCE)
