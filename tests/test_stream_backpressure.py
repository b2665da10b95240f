"""A client that does not take its stream stops the handler, not the agent; it goes on when the client does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from anyserve import Client
from anyserve.errors import ResourceExhaustedError

from tests.apps.stream_journal import Journal
from tests.streams import Call, Servers, ask
from tests.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Serve
    from tests.server import Server

MEBIBYTE = 1 << 20
WINDOW = 64
"""Responses that a handler may be ahead of its client, beyond what the connection takes."""
CONNECTION = 8 * MEBIBYTE
"""More than agent and connection hold of one stream for a client that reads nothing."""

FORMS = [
    ("app", "endless"),
    ("threads", "endless-yielded"),
    *(("loop", model) for model in ("endless", "async-endless", "async-endless-yielded")),
]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers("tests.apps.stream_steered", "--workers", "2") as servers:
        yield servers


@pytest.fixture(scope="module")
def impatient() -> Iterator[Servers]:
    with Servers("tests.apps.stream_steered", "--stream-stall-timeout", "0.5") as servers:
        yield servers


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def stopped_at(journal: Journal) -> int:
    """How many responses a handler has sent when it sends no more."""
    counts: list[int] = []

    def stands() -> bool:
        time.sleep(0.1)
        counts.append(journal.count("sent"))
        return len(counts) > 3 and counts[-1] == counts[-4] > 0

    eventually(stands, "the handler waits")
    return counts[-1]


@pytest.mark.parametrize(("app", "model"), FORMS)
def test_the_handler_waits_for_the_client_and_goes_on_with_it(
    servers: Servers, journal: Journal, app: str, model: str
) -> None:
    server = servers[app]
    size = 128 * 1024
    with Client(server.address) as client, Client(server.address) as other:
        parameters = {"size": size, "count": 300, **journal.parameters}
        results = client.stream(model, parameters=parameters)
        assert np.asarray(next(results)["OUT"])[0] == 0
        sent = stopped_at(journal)
        assert sent < CONNECTION // size + WINDOW
        # The other worker, or the same one beside the stream, has time for others.
        for _ in range(20):
            other.infer("quick", timeout=PATIENCE)
        assert [np.asarray(next(other.stream("endless"))["OUT"])[0] for _ in range(3)] == [0] * 3
        # Some more room lets it go on as far.
        assert [int(np.asarray(next(results)["OUT"])[0]) for _ in range(100)] == list(range(1, 101))
        again = stopped_at(journal)
        assert sent < again < 100 + CONNECTION // size + WINDOW
        assert [int(np.asarray(result["OUT"])[0]) for result in results] == list(range(101, 300))
        journal.wait("ended")
    assert journal.count("sent") == 300


@pytest.mark.parametrize(("app", "model"), [("app", "endless"), ("loop", "async-endless")])
def test_small_responses_wait_by_their_number(servers: Servers, journal: Journal, app: str, model: str) -> None:
    with Call(servers[app]) as call:
        call.send(ask(model, parameters={"size": 4096, **journal.parameters}))
        call.take()
        # grpcio takes more of them than the window holds, but not many times more.
        assert WINDOW < stopped_at(journal) < WINDOW + CONNECTION // 4096


STALLED = r"the client has taken nothing of the stream for 500ms|the client has taken nothing of the stream for 0\.5 s"


@pytest.mark.parametrize(("app", "model"), FORMS)
def test_a_client_that_takes_nothing_for_too_long_loses_its_stream(
    impatient: Servers, journal: Journal, app: str, model: str
) -> None:
    size = 128 * 1024
    with Client(impatient[app].address) as client:
        results = client.stream(model, parameters={"size": size, **journal.parameters})
        next(results)
        journal.wait("ended")
        # Its place is free again.
        for _ in range(4):
            client.infer("quick", timeout=PATIENCE)
        with pytest.raises(ResourceExhaustedError, match=rf"({STALLED}) \(--stream-stall-timeout\)"):
            list(results)
    assert journal.count("sent") < CONNECTION // size + WINDOW


def test_a_client_that_takes_a_little_keeps_its_stream(serve: Serve, journal: Journal) -> None:
    server = serve("tests.apps.stream_steered:app", "--stream-stall-timeout", "1")
    with Client(server.address) as client:
        results = client.stream("endless", parameters={"size": MEBIBYTE, **journal.parameters})
        for _ in range(5):
            stopped = stopped_at(journal)
            while journal.count("sent") == stopped:
                next(results)
    assert "ended" not in journal.words()


def test_a_client_that_takes_very_little_keeps_its_stream(serve: Serve, journal: Journal) -> None:
    server = serve("tests.apps.stream_steered:app", "--stream-stall-timeout", "1")
    with Client(server.address) as client:
        size = 1 << 14
        results = client.stream("endless", parameters={"size": size, **journal.parameters})
        next(results)
        stopped_at(journal)
        for _ in range(12):
            time.sleep(0.2)
            next(results)
    assert "ended" not in journal.words()


def memory(server: Server) -> int:
    return psutil.Process(server.process.pid).memory_info().rss


@pytest.mark.parametrize(("app", "model"), [("threads", "endless"), ("loop", "async-endless")])
def test_large_responses_that_nobody_takes_do_not_fill_the_agent(
    serve: Serve, journal: Journal, app: str, model: str
) -> None:
    server = serve(f"tests.apps.stream_steered:{app}")
    before = memory(server)
    size, streams = 8 * MEBIBYTE, 4
    for each in range(1, 3):
        parameters: dict[str, int | str] = {"size": size, "count": 100, **journal.parameters}
        calls = [Call(server).send(ask(model, parameters=parameters)) for _ in range(streams)]
        journal.wait("sent", each * streams)
        stopped_at(journal)
        # A few responses of each stream are somewhere under way, of 3.2 GB in all.
        assert journal.count("sent") <= each * streams * 4
        assert memory(server) - before < 8 * size * streams
        for call in calls:
            with call:
                pass
        journal.wait("ended", each * streams)
