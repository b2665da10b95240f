"""How many requests may wait: for one capability, and for all together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError, InternalError, ResourceExhaustedError
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.background import Background
from tests.metrics import Metrics
from tests.waiting import eventually

if TYPE_CHECKING:
    from concurrent.futures import Future

    from anyserve import InferResult

    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.server import Server

FEW = 2
"""The max_queue_size of the capability ``few`` of tests.apps.scheduled."""


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve("tests.apps.scheduled:app", "--max-queue-size", "5")


def fill(server: Server, background: Background, gate: Gate, kind: str, count: int) -> list[Future[InferResult]]:
    """So many requests wait behind one in the gate."""
    requests = [background.infer("plain", gate.parameters)]
    gate.wait_entered()
    requests += [background.infer(kind) for _ in range(count)]
    Metrics(server).wait_waiting(kind, count)
    return requests


def test_a_capability_has_a_limit_of_its_own(server: Server, client: Client, gate: Gate) -> None:
    with Background(server.address) as background:
        accepted = fill(server, background, gate, "few", FEW)
        message = r"^2 requests are waiting for \{type: few\} already, as many as may \(max_queue_size\)$"
        with pytest.raises(ResourceExhaustedError, match=message):
            client.infer("few")
        # Others may still wait.
        accepted += [background.infer("others") for _ in range(5 - FEW)]
        Metrics(server).wait_waiting("others", 5 - FEW)
        with pytest.raises(ResourceExhaustedError, match=r"^5 requests are waiting already, .*\(--max-queue-size\)$"):
            client.infer("others")
        gate.open()
        for request in accepted:
            request.result(60)
    client.infer("few")


def test_who_runs_does_not_count(server: Server, gate: Gate) -> None:
    with Background(server.address) as background:
        requests = [background.infer("few", gate.parameters)]
        gate.wait_entered()
        requests += [background.infer("few") for _ in range(FEW)]
        Metrics(server).wait_waiting("few", FEW)
        gate.open()
        for request in requests:
            request.result(60)


@pytest.mark.parametrize(("kind", "count"), [("few", FEW), ("others", 5)])
def test_a_refusal_says_when_to_try_again(server: Server, client: Client, gate: Gate, kind: str, count: int) -> None:
    # Something has been measured then: half a second each.
    client.infer(kind, parameters={"seconds": "0.5"})
    with Background(server.address) as background, grpc.insecure_channel(server.address) as channel:
        accepted = fill(server, background, gate, kind, count)
        with pytest.raises(ResourceExhaustedError) as refusal:
            client.infer(kind)
        assert refusal.value.retry_after is not None
        assert 0.5 <= refusal.value.retry_after <= 60
        with pytest.raises(grpc.RpcError) as failure:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(
                service_pb2.ModelInferRequest(model_name=kind)
            )
        assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        [hint] = [value for key, value in failure.value.trailing_metadata() if key == "retry-after-ms"]
        assert int(hint) == round(refusal.value.retry_after * 1000)
        gate.open()
        for request in accepted:
            request.result(60)


def test_an_important_request_is_refused_too(server: Server, client: Client, gate: Gate) -> None:
    with Background(server.address) as background:
        fill(server, background, gate, "others", 5)
        with pytest.raises(ResourceExhaustedError):
            client.infer("first", parameters={"priority": 1})
        gate.open()


def test_refusals_are_counted(server: Server, client: Client, gate: Gate) -> None:
    metrics = Metrics(server)
    with Background(server.address) as background:
        fill(server, background, gate, "few", FEW)
        for _ in range(3):
            with pytest.raises(ResourceExhaustedError):
                client.infer("few")
        assert metrics.value("rejections_total", reason="queue_full") == 3
        assert metrics.of("queue_depth", "few") == FEW
        gate.open()


def test_what_requests_hold_together_is_limited(serve: Serve, gate: Gate) -> None:
    server = serve("tests.apps.scheduled:app", "--max-queue-bytes", "1MiB")
    half = {"x": np.zeros(1 << 19, "uint8")}
    with Background(server.address) as background, Client(server.address) as client:
        running = background.infer("plain", gate.parameters, inputs=half)
        gate.wait_entered()
        waiting = background.infer("others", inputs=half)
        Metrics(server).wait_waiting("others", 1)
        with pytest.raises(ResourceExhaustedError, match=r"\(--max-queue-bytes\)") as refusal:
            client.infer("others", {"x": [1]})
        assert refusal.value.retry_after is not None
        assert refusal.value.retry_after > 0
        # What holds nothing may wait.
        nothing = background.infer("others")
        Metrics(server).wait_waiting("others", 2)
        gate.open()
        for request in (running, waiting, nothing):
            request.result(60)
        # All of it is free again.
        client.infer("others", {"x": np.zeros(1 << 20, "uint8")})
        assert Metrics(server).value("rejections_total", reason="queue_full") == 1


@pytest.mark.parametrize("end", ["deadline", "cancel", "error"])
def test_whatever_ends_a_request_frees_what_it_held(serve: Serve, gate: Gate, end: str) -> None:
    server = serve("tests.apps.scheduled:app", "--max-queue-bytes", "1MiB")
    whole = {"x": np.zeros(1 << 20, "uint8")}
    with Background(server.address) as background, Client(server.address) as client:
        running = background.infer("plain", gate.parameters)
        gate.wait_entered()
        if end == "error":
            failing = background.infer("others", {"seconds": "none"}, inputs=whole)
            Metrics(server).wait_waiting("others", 1)
        else:
            how: dict[str, Any] = {"timeout": 0.2} if end == "cancel" else {"parameters": {"timeout": 200_000}}
            with pytest.raises(DeadlineExceededError):
                client.infer("others", whole, **how)
        gate.open()
        running.result(60)
        if end == "error":
            assert isinstance(failing.exception(60), InternalError)
        eventually(lambda: Metrics(server).of("queue_depth", "others") == 0, "the server knows that it left")
        client.infer("others", whole)


def test_a_request_over_the_limit_alone_is_refused(serve: Serve) -> None:
    server = serve("tests.apps.scheduled:app", "--max-queue-bytes", "1MiB")
    with Client(server.address) as client:
        with pytest.raises(ResourceExhaustedError, match=r"\(--max-queue-bytes\)"):
            client.infer("plain", {"x": np.zeros((1 << 20) + 1, "uint8")})
        client.infer("plain", {"x": np.zeros(1 << 20, "uint8")})
