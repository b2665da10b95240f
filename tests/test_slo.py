"""Targets for the first response: who would wait too long for it is refused at once, and told for how long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError, ResourceExhaustedError

from tests.background import Background
from tests.metrics import Metrics
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from anyserve import InferResult

    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.server import Server

CROWD = 50

SLO = 5.0
"""The slo= of ``prompt`` of tests.apps.scheduled."""


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve("tests.apps.scheduled:app")


@pytest.fixture
def background(server: Server) -> Iterator[Background]:
    with Background(server.address) as background:
        yield background


def crowd(
    server: Server, background: Background, kind: str, **options: Any
) -> tuple[list[Future[InferResult]], list[ResourceExhaustedError]]:
    """Sends many requests at once to a worker that is busy: those that wait, and why the others do not."""
    metrics = Metrics(server)
    before = metrics.value("rejections_total", reason="predicted_miss")
    requests = [background.infer(kind, **options) for _ in range(CROWD)]

    def all_heard() -> bool:
        refused = metrics.value("rejections_total", reason="predicted_miss") - before
        return refused + metrics.of("queue_depth", kind) == CROWD

    eventually(all_heard, "each request waits or was refused")
    eventually(lambda: sum(request.done() for request in requests) == refusals(metrics, before), "they were told")
    waiting = [request for request in requests if not request.done()]
    errors = [request.exception() for request in requests if request.done()]
    assert all(isinstance(error, ResourceExhaustedError) for error in errors)
    return waiting, [error for error in errors if isinstance(error, ResourceExhaustedError)]


def refusals(metrics: Metrics, before: float) -> float:
    return metrics.value("rejections_total", reason="predicted_miss") - before


def hold(background: Background, gate: Gate) -> Future[InferResult]:
    """The worker is busy until the gate opens."""
    running = background.infer("plain", gate.parameters)
    gate.wait_entered()
    return running


def test_who_would_wait_too_long_is_refused(server: Server, client: Client, background: Background, gate: Gate) -> None:
    client.infer("prompt", parameters={"seconds": "0.2"})
    hold(background, gate)
    waiting, refused = crowd(server, background, "prompt")
    # Each takes 0.2 s or more, and there are 5 s.
    assert 1 <= len(waiting) <= SLO / 0.2
    for error in refused:
        assert str(error).startswith("the predicted wait of ")
        assert error.retry_after is not None
        assert error.retry_after > 0
    gate.open()
    for request in waiting:
        request.result(60)


def test_who_comes_back_when_told_is_taken(server: Server, client: Client, background: Background, gate: Gate) -> None:
    client.infer("prompt", parameters={"seconds": "0.2"})
    hold(background, gate)
    waiting, refused = crowd(server, background, "prompt")
    gate.open()
    time.sleep(max(error.retry_after or 0.0 for error in refused))
    for request in waiting:
        request.result(60)
    client.infer("prompt")


def test_without_a_target_nobody_is_refused(server: Server, client: Client, background: Background, gate: Gate) -> None:
    client.infer("plain", parameters={"seconds": "0.2"})
    hold(background, gate)
    waiting, refused = crowd(server, background, "others")
    assert (len(waiting), refused) == (CROWD, [])
    gate.open()
    for request in waiting:
        request.result(60)


def test_before_anything_was_measured_nobody_is_refused(server: Server, background: Background, gate: Gate) -> None:
    hold(background, gate)
    waiting, refused = crowd(server, background, "prompt")
    assert (len(waiting), refused) == (CROWD, [])
    gate.open()
    for request in waiting:
        request.result(60)


@pytest.mark.parametrize("how", ["timeout", "parameter"])
def test_a_deadline_of_ones_own_counts_like_a_target(
    server: Server, client: Client, background: Background, gate: Gate, how: str
) -> None:
    client.infer("others", parameters={"seconds": "0.2"})
    hold(background, gate)
    options: dict[str, Any] = {"timeout": 4} if how == "timeout" else {"parameters": {"timeout": 4_000_000}}
    waiting, refused = crowd(server, background, "others", **options)
    assert 1 <= len(waiting) <= 4 / 0.2
    assert refused
    gate.open()
    for request in waiting:
        # Those that were let in may be late on a busy machine, but are not refused any more.
        assert not isinstance(request.exception(60), ResourceExhaustedError)


def test_a_target_that_nobody_can_keep_is_no_reason_to_refuse_all(client: Client) -> None:
    client.infer("tight", parameters={"seconds": "0.5"})
    for _ in range(3):
        client.infer("tight")


def test_more_important_requests_do_not_wait_for_the_others(
    server: Server, client: Client, background: Background, gate: Gate
) -> None:
    client.infer("prompt", parameters={"seconds": "0.2"})
    running = hold(background, gate)
    waiting, refused = crowd(server, background, "prompt")
    assert refused
    important = background.infer("prompt", {"priority": 1})
    Metrics(server).wait_waiting("prompt", len(waiting) + 1)
    gate.open()
    for request in [running, important, *waiting]:
        request.result(60)


def test_the_refused_are_no_news_for_the_log(
    server: Server, client: Client, background: Background, gate: Gate
) -> None:
    client.infer("prompt", parameters={"seconds": "0.2"})
    hold(background, gate)
    crowd(server, background, "prompt")
    with pytest.raises(DeadlineExceededError):
        client.infer("others", parameters={"timeout": 1000})
    assert len(server.stderr.text.splitlines()) <= 1
