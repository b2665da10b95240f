"""What the metrics count: every request once, by how it ended, and how long that took."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psutil
import pytest
from anyserve import Client
from anyserve.errors import RequestError, UnavailableError
from prometheus_client.openmetrics import parser as openmetrics

from tests.background import Background, pid_of
from tests.metrics import Metrics
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.server import Server

OUTCOMES = {
    None: "ok",
    "ValueError": "internal",
    "InvalidArgumentError": "invalid_argument",
    "NotFoundError": "not_found",
    "ResourceExhaustedError": "resource_exhausted",
    "DeadlineExceededError": "deadline_exceeded",
    "UnavailableError": "unavailable",
    "UnimplementedError": "unimplemented",
    "PermissionDeniedError": "permission_denied",
    "UnauthenticatedError": "unauthenticated",
    "CancelledError": "cancelled",
}
"""By what the handler raises."""


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve("tests.apps.measured:app")


@pytest.fixture
def metrics(server: Server) -> Metrics:
    return Metrics(server)


def test_the_page_is_well_formed(metrics: Metrics, client: Client) -> None:
    client.infer("work")
    assert list(openmetrics.text_string_to_metric_families(metrics.page()))  # type: ignore[no-untyped-call]


def test_requests_are_counted_by_outcome(metrics: Metrics, client: Client) -> None:
    for count, error in enumerate(OUTCOMES, start=1):
        for _ in range(count):
            if error is None:
                client.infer("work")
            else:
                with pytest.raises(RequestError):
                    client.infer("work", parameters={"error": error})
    for count, outcome in enumerate(OUTCOMES.values(), start=1):
        assert metrics.of("requests_total", "work", outcome=outcome) == count
    assert metrics.of("responses_total", "work") == 1


def test_what_the_server_makes_of_an_answer_counts(metrics: Metrics, client: Client) -> None:
    with pytest.raises(RequestError, match="output 'more' was requested, but the handler gave 'pid'"):
        client.infer("work", outputs=["more"])
    assert metrics.of("requests_total", "work", outcome="invalid_argument") == 1
    assert metrics.of("requests_total", "work", outcome="ok") == 0


def test_a_request_that_ends_in_the_queue_counts_for_what_it_waited_for(
    server: Server, metrics: Metrics, client: Client, gate: Gate
) -> None:
    with Background(server.address) as background:
        running = background.infer("work-again", gate.parameters)
        gate.wait_entered()
        with pytest.raises(RequestError):
            client.infer("work", parameters={"timeout": 50_000})
        gate.open()
        running.result(60)
    assert metrics.of("requests_total", "work", outcome="deadline_exceeded") == 1
    assert metrics.of("queue_seconds_count", "work") == 0


def test_what_was_not_accepted_is_counted_by_reason(metrics: Metrics, client: Client) -> None:
    for count, (model, parameters) in enumerate(
        [("nothing", {}), ("work", {"priority": 77}), ("", {})],
        start=1,
    ):
        for _ in range(count):
            with pytest.raises(RequestError):
                client.infer(model, parameters=parameters)
    with pytest.raises(RequestError):
        client.infer("count")
    found = {
        reason: metrics.value("rejections_total", reason=reason) for reason in ("no_match", "invalid", "stream_only")
    }
    assert found == {"no_match": 1, "invalid": 5, "stream_only": 1}
    assert not [labels for name, labels in metrics.samples() if name == "anyserve_requests_total"]


def test_who_waits_and_who_runs(server: Server, metrics: Metrics, gate: Gate) -> None:
    with Background(server.address) as background:
        requests = [background.infer("work", gate.parameters)]
        gate.wait_entered()
        assert (metrics.of("in_flight", "work"), metrics.of("queue_oldest_seconds", "work")) == (1, 0)
        requests += [background.infer("work") for _ in range(3)]
        metrics.wait_waiting("work", 3)
        before = metrics.of("queue_oldest_seconds", "work")
        eventually(lambda: metrics.of("queue_oldest_seconds", "work") > before > 0, "the oldest grows older")
        assert metrics.of("in_flight", "work") == 1
        gate.open()
        for request in requests:
            request.result(60)
    for name in ("in_flight", "queue_depth", "queue_oldest_seconds"):
        assert metrics.of(name, "work") == 0


@pytest.mark.parametrize("name", ["queue_seconds", "handler_seconds", "first_response_seconds", "batch_size"])
def test_histograms_count_every_request(metrics: Metrics, client: Client, name: str) -> None:
    for _ in range(20):
        client.infer("work")
    assert metrics.of(f"{name}_count", "work") == 20
    samples = {
        float(dict(labels)["le"]): value
        for (found, labels), value in metrics.samples().items()
        if found == f"anyserve_{name}_bucket" and dict(labels)["capability"] == "{type: work}"
    }
    cumulative = [value for _, value in sorted(samples.items())]
    assert cumulative == sorted(cumulative)
    assert cumulative[-1] == 20


def test_histograms_sum_the_times(server: Server, metrics: Metrics, gate: Gate) -> None:
    with Background(server.address) as background:
        running = background.infer("work", gate.parameters)
        gate.wait_entered()
        waiting = background.infer("work")
        metrics.wait_waiting("work", 1)
        eventually(lambda: metrics.of("queue_oldest_seconds", "work") > 0.2, "it has waited for a while")
        gate.open()
        running.result(60)
        waiting.result(60)
    total = metrics.of("queue_seconds_sum", "work") + metrics.of("handler_seconds_sum", "work")
    assert metrics.of("queue_seconds_sum", "work") > 0.2
    assert metrics.of("handler_seconds_sum", "work") > 0.2
    # Neither streams: the first response is the end.
    assert metrics.of("first_response_seconds_sum", "work") == pytest.approx(total, abs=0.01)


def test_batches_are_counted_by_size(server: Server, metrics: Metrics) -> None:
    with Background(server.address) as background:
        for _ in range(3):
            for request in [background.infer("batch") for _ in range(4)]:
                request.result(60)
    assert (metrics.of("batch_size_count", "batch"), metrics.of("batch_size_sum", "batch")) == (3, 12)
    assert metrics.of("batch_size_bucket", "batch", le="2.0") == 0
    assert metrics.of("batch_size_bucket", "batch", le="4.0") == 3
    assert metrics.of("requests_total", "batch", outcome="ok") == 12


def test_the_responses_of_streams_are_counted_one_by_one(metrics: Metrics, client: Client) -> None:
    for responses in (0, 1, 100):
        assert len(list(client.stream("count", parameters={"responses": responses}))) == responses
    eventually(lambda: metrics.of("requests_total", "count", outcome="ok") == 3, "the streams have ended")
    assert metrics.of("responses_total", "count") == 101
    assert metrics.of("first_response_seconds_count", "count") == 2


def test_restarts_are_counted_by_reason(metrics: Metrics, client: Client) -> None:
    for kind, reason in (("kill", "killed"), ("exit", "exited"), ("hang", "hung")):
        with pytest.raises(RequestError):
            client.infer(kind, timeout=60)
        eventually(lambda: metrics.value("workers_ready") == 0, "the worker is gone")
        client.infer("work", timeout=60)
        assert metrics.value("worker_restarts_total", reason=reason) == 1
        assert metrics.value("workers_ready") == 1
    assert metrics.of("requests_total", "kill", outcome="unavailable") == 1
    assert metrics.of("requests_total", "hang", outcome="deadline_exceeded") == 1


def test_a_request_that_ran_twice_counts_once(server: Server, metrics: Metrics, gate: Gate) -> None:
    with Background(server.address) as background:
        request = background.infer("work-again", gate.parameters)
        [pid] = gate.wait_entered()
        os.kill(pid, 9)
        gate.wait_entered(2)
        gate.open()
        assert pid_of(request.result(60)) != pid
    assert metrics.of("requests_total", "work-again", outcome="ok") == 1
    assert (metrics.of("in_flight", "work-again"), metrics.of("handler_seconds_count", "work-again")) == (0, 1)


def test_what_was_taken_back_from_a_worker_counts_once(serve: Serve, gate: Gate) -> None:
    server = serve("tests.apps.gated:app", "--workers", "2")
    metrics = Metrics(server)
    with Background(server.address) as background:
        # Fast handlers get their requests ahead of time; those that are behind a slow one are taken back.
        requests = [background.infer("quick") for _ in range(300)]
        requests.append(background.infer("once", gate.parameters))
        requests += [background.infer("quick") for _ in range(300)]
        gate.wait_entered()
        for request in requests[:300] + requests[301:]:
            request.result(60)
        gate.open()
        requests[300].result(60)
    assert metrics.of("requests_total", "quick", outcome="ok") == 600
    for name in ("queue_seconds_count", "handler_seconds_count", "batch_size_sum", "batch_size_count"):
        assert metrics.of(name, "quick") == 600
    assert metrics.of("in_flight", "quick") == 0


def test_memory(server: Server, metrics: Metrics) -> None:
    [worker] = server.workers()
    for process, pid in (("agent", server.process.pid), ("workers", worker.pid)):
        found = metrics.value("resident_memory_bytes", process=process)
        assert found == pytest.approx(psutil.Process(pid).memory_info().rss, rel=0.2)


def test_an_unavailable_worker_is_not_ready(metrics: Metrics, client: Client) -> None:
    assert metrics.value("workers_ready") == 1
    with pytest.raises(UnavailableError):
        client.infer("kill")
    eventually(lambda: metrics.value("workers_ready") == 0, "the worker is gone")
    eventually(lambda: metrics.value("workers_ready") == 1, "another has come")
