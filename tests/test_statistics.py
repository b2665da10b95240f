"""KServe's model statistics, as tritonclient asks for them; they are the metrics in other words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from anyserve import Client
from anyserve.errors import RequestError
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests.background import Background
from tests.metrics import Metrics
from tests.server import Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gate import Gate


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.measured:app") as server:
        yield server.wait_ready()


@pytest.fixture
def triton(server: Server) -> Iterator[Any]:
    with InferenceServerClient(server.address) as triton:
        yield triton


def of(triton: Any, name: str, version: str = "") -> Any:
    """The statistics of a model that is one capability."""
    [found] = triton.get_inference_statistics(name, version).model_stats
    return found


def test_it_is_announced(triton: Any) -> None:
    assert "statistics" in triton.get_server_metadata().extensions


def test_before_the_first_request_all_is_zero(triton: Any) -> None:
    found = of(triton, "exit")
    assert (found.name, found.last_inference) == ("exit", 0)
    assert (found.inference_count, found.execution_count, list(found.batch_stats)) == (0, 0, [])
    assert (found.inference_stats.success.count, found.inference_stats.success.ns) == (0, 0)


def test_successes_and_failures_are_told_apart(triton: Any, client: Client) -> None:
    for _ in range(5):
        client.infer("ends")
    for _ in range(3):
        with pytest.raises(RequestError):
            client.infer("ends", parameters={"error": "InvalidArgumentError"})
    found = of(triton, "ends")
    assert (found.inference_count, found.execution_count) == (5, 8)
    stats = found.inference_stats
    assert (stats.success.count, stats.fail.count, stats.queue.count, stats.compute_infer.count) == (5, 3, 8, 8)
    assert min(stats.success.ns, stats.fail.ns, stats.queue.ns, stats.compute_infer.ns) > 0
    assert stats.success.ns + stats.fail.ns >= stats.compute_infer.ns


def test_the_time_of_the_last_inference_is_kept(triton: Any, client: Client) -> None:
    client.infer("work")
    first = of(triton, "work").last_inference
    # Milliseconds since 1970: after 2020.
    assert first > 1_577_836_800_000
    client.infer("work-again")
    assert of(triton, "work").last_inference == first
    client.infer("work")
    assert of(triton, "work").last_inference >= first


def test_they_equal_the_metrics(server: Server, triton: Any, client: Client) -> None:
    for _ in range(7):
        client.infer("work")
    with pytest.raises(RequestError):
        client.infer("work", parameters={"error": "ValueError"})
    metrics, found = Metrics(server), of(triton, "work")
    stats = found.inference_stats
    assert stats.success.count == metrics.of("requests_total", "work", outcome="ok")
    assert stats.fail.count == metrics.of("requests_total", "work", outcome="internal")
    assert found.execution_count == metrics.of("batch_size_count", "work")
    for counted, name in ((stats.queue, "queue_seconds"), (stats.compute_infer, "handler_seconds")):
        assert counted.count == metrics.of(f"{name}_count", "work")
        assert counted.ns * 1e-9 == pytest.approx(metrics.of(f"{name}_sum", "work"), abs=1e-6)


def test_waiting_is_told_apart_from_running(server: Server, triton: Any, gate: Gate) -> None:
    metrics = Metrics(server)
    with Background(server.address) as background:
        running = background.infer("work", gate.parameters)
        gate.wait_entered()
        waiting = background.infer("work-again")
        metrics.wait_waiting("work-again", 1)
        eventually(lambda: metrics.of("queue_oldest_seconds", "work-again") > 0.1, "it has waited for a while")
        gate.open()
        running.result(60)
        waiting.result(60)
    assert of(triton, "work").inference_stats.compute_infer.ns > 1e8
    assert of(triton, "work-again").inference_stats.queue.ns > 1e8


def test_batches_by_their_size(server: Server, triton: Any) -> None:
    with Background(server.address) as background:
        for _ in range(2):
            for request in [background.infer("batch") for _ in range(4)]:
                request.result(60)
        background.infer("batch", timeout=1).result(60)
    found = of(triton, "batch")
    assert (found.inference_count, found.execution_count) == (9, 3)
    assert {batch.batch_size: batch.compute_infer.count for batch in found.batch_stats} == {1: 1, 4: 2}


def test_streams(server: Server, triton: Any, client: Client) -> None:
    assert len(list(client.stream("count", parameters={"responses": 10}))) == 10
    eventually(lambda: of(triton, "count").inference_count == 1, "the stream has ended")
    assert of(triton, "count").inference_stats.success.count == 1


def test_all_models_at_once(triton: Any, client: Client) -> None:
    def counts() -> dict[tuple[str, str], int]:
        found = triton.get_inference_statistics().model_stats
        return {(stats.name, stats.version): stats.inference_count for stats in found}

    before = counts()
    client.infer("work")
    client.infer(capability={"type": "chat"})
    new = {key: count - before[key] for key, count in counts().items() if count != before[key]}
    assert new == {("work", "1"): 1, ("llama", "2"): 1}
    assert {("work-again", "1"), ("kill", "1"), ("llama", "3")} <= set(before)


def test_each_version_of_a_model(triton: Any, client: Client) -> None:
    before = [of(triton, "llama", version).inference_count for version in "23"]
    client.infer(capability={"type": "chat"})
    after = [of(triton, "llama", version).inference_count for version in "23"]
    assert after == [before[0] + 1, before[1]]


def test_all_versions_of_a_model(triton: Any, client: Client) -> None:
    client.infer(capability={"type": "chat"})
    found = triton.get_inference_statistics("llama").model_stats
    assert {stats.version for stats in found} == {"2", "3"}
    assert [of(triton, "work").version] == ["1"]


@pytest.mark.parametrize(("name", "version"), [("nothing", ""), ("work", "2"), ("llama", "4")])
def test_an_unknown_model_is_not_found(triton: Any, name: str, version: str) -> None:
    with pytest.raises(InferenceServerException) as failure:
        triton.get_inference_statistics(name, version)
    assert failure.value.status() == "StatusCode.NOT_FOUND"


def test_asking_changes_nothing(triton: Any) -> None:
    before = triton.get_inference_statistics(as_json=True)
    assert triton.get_inference_statistics(as_json=True) == before
