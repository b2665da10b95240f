"""Requests end at their deadlines, also those that wait behind a handler that takes its time."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError, InvalidArgumentError
from tritonclient.grpc import InferenceServerClient, InferInput, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from tests.background import Background
from tests.gate import Gate
from tests.metrics import Metrics
from tests.server import Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from anyserve import InferResult

    from tests.conftest import Serve

APPS = {"one at a time": "scheduled", "on threads": "threaded", "on a loop": "looped"}
HOLD = {"one at a time": ("plain", 1), "on threads": ("four", 4), "on a loop": ("five", 5)}
"""What holds a worker up: as many requests of the capability as it runs at once."""


@pytest.fixture(params=list(APPS))
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(way: str, serve: Serve) -> Server:
    # Of each test's own: where nothing was measured, no wait is predicted.
    return serve(f"tests.apps.{APPS[way]}:app")


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with Server("tests.apps.scheduled:app") as server:
        yield server.wait_ready()


@pytest.fixture
def kind(way: str) -> str:
    """The capability whose requests wait."""
    return HOLD[way][0]


@pytest.fixture
def busy(server: Server, way: str, gate: Gate) -> Iterator[list[Future[InferResult]]]:
    """The worker runs as many requests as it can, until the gate is open."""
    kind, count = HOLD[way]
    with Background(server.address) as background:
        running = [background.infer(kind, gate.parameters) for _ in range(count)]
        gate.wait_entered(count)
        yield running
        gate.open()
        for request in running:
            request.result(60)


@pytest.mark.parametrize("how", ["grpc-timeout", "parameter"])
def test_a_request_that_waits_ends_at_its_deadline(
    server: Server, kind: str, busy: list[Future[InferResult]], tmp_path: Path, how: str
) -> None:
    metrics = Metrics(server)
    never = Gate(tmp_path / "never")
    started = time.monotonic()
    request = service_pb2.ModelInferRequest(model_name=kind)
    request.parameters["gate"].string_param = never.parameters["gate"]
    if how == "parameter":
        request.parameters["timeout"].int64_param = 300_000
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as failure:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(
            request, timeout=0.3 if how == "grpc-timeout" else None
        )
    assert time.monotonic() - started >= 0.29
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    if how == "parameter":
        assert failure.value.details().startswith("the deadline passed after 3")
    metrics.wait_waiting(kind, 0)
    assert not any(running.done() for running in busy)
    assert never.entered() == []


@pytest.mark.usefixtures("busy")
def test_many_deadlines_each_in_its_time(server: Server, kind: str) -> None:
    with Background(server.address) as background:
        order: list[int] = []
        waiting = []
        for millis in (900, 100, 500, 300, 700):
            request = background.infer(kind, {"timeout": millis * 1000})
            request.add_done_callback(lambda _, millis=millis: order.append(millis))  # type: ignore[misc]
            waiting.append(request)
        assert {type(request.exception(60)) for request in waiting} == {DeadlineExceededError}
    assert order == [100, 300, 500, 700, 900]


def call_of(grpc_timeout: str) -> bytes:
    """A call of ModelInfer with this header, which no client library sends as it is."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/inference.GRPCInferenceService/ModelInfer",
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
        "grpc-timeout": grpc_timeout,
    }
    # Literal fields without indexing, https://www.rfc-editor.org/rfc/rfc7541#section-6.2.2
    fields = [
        bytes([0, len(name)]) + name.encode() + bytes([len(text)]) + text.encode() for name, text in headers.items()
    ]
    message = service_pb2.ModelInferRequest(model_name="plain").SerializeToString()
    body = b"\0" + len(message).to_bytes(4, "big") + message
    opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")
    return opening + frame(1, 4, 1, b"".join(fields)) + frame(0, 1, 1, body)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame, https://www.rfc-editor.org/rfc/rfc9113#section-4.1"""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    ("timeout", "reason"),
    [
        ("0n", "deadline_passed"),
        ("0S", "deadline_passed"),
        ("1n", "deadline_passed"),
        ("1x", "invalid"),
        ("", "invalid"),
    ],
)
def test_a_deadline_that_has_passed_is_refused(shared: Server, timeout: str, reason: str) -> None:
    metrics = Metrics(shared)
    before = metrics.value("rejections_total", reason=reason)
    with socket.create_connection((shared.host, shared.port)) as connection:
        connection.sendall(call_of(timeout))
        eventually(lambda: metrics.value("rejections_total", reason=reason) == before + 1, "it was refused")


def test_a_timeout_of_a_microsecond_is_over_at_once(shared: Server) -> None:
    with Client(shared.address) as client, pytest.raises(DeadlineExceededError, match=r"the deadline (had )?passed"):
        client.infer("plain", parameters={"timeout": 1})


def test_a_timeout_of_zero_is_none(shared: Server) -> None:
    with Client(shared.address) as client:
        client.infer("plain", parameters={"timeout": 0})


@pytest.mark.parametrize("timeout", [-1, 0.5, "1", True])
def test_a_timeout_that_is_no_number_of_microseconds_is_refused(shared: Server, timeout: Any) -> None:
    message = "'timeout' must be a whole number of microseconds"
    with Client(shared.address) as client, pytest.raises(InvalidArgumentError, match=message):
        client.infer("plain", parameters={"timeout": timeout})


@pytest.mark.parametrize("timeout", [2**63 - 1, 10**15])
def test_the_largest_timeouts_are_far_away(shared: Server, timeout: int) -> None:
    with Client(shared.address) as client:
        client.infer("plain", parameters={"timeout": timeout})


@pytest.mark.parametrize("way", ["on a loop"])
def test_the_deadline_ends_a_running_request_alone(
    client: Client, busy: list[Future[InferResult]], tmp_path: Path
) -> None:
    with pytest.raises(DeadlineExceededError, match="the deadline passed after"):
        client.infer("usual", parameters={"timeout": 300_000, "gate": str(tmp_path / "beside")})
    assert not any(running.done() for running in busy)


@pytest.mark.usefixtures("busy")
def test_the_timeout_of_tritonclient(server: Server, kind: str) -> None:
    nothing = InferInput("nothing", [1], "INT64").set_data_from_numpy(np.zeros(1, "int64"))
    with InferenceServerClient(server.address) as triton:
        for options in ({"timeout": 200_000}, {"client_timeout": 0.2}):
            with pytest.raises(InferenceServerException) as failure:
                triton.infer(kind, [nothing], **options)
            assert failure.value.status() == "StatusCode.DEADLINE_EXCEEDED"
