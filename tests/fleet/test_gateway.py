"""A gateway before two replicas: to a client it is an agent that serves all that they do."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from anyserve import AsyncClient, Client
from anyserve.errors import DeadlineExceededError, InternalError, NotFoundError
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.api_server.process import ApiServer
from tests.background import pid_of
from tests.fleet.process import Fleet, Gateway
from tests.objects.remote import CONTEXT, Remote
from tests.streams import Call, ask
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gate import Gate
    from tests.server import Server


class Parts(NamedTuple):
    """The processes that the tests share."""

    api: ApiServer
    gateway: Gateway
    gated: list[Server]


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    with ApiServer() as api, ExitStack() as stack:
        fleet = Fleet(stack, "--api-server", api.url)
        gated = [fleet.replica("tests.apps.gated:app", name) for name in "ab"]
        fleet.replica("tests.apps.streaming:app", "streaming")
        fleet.replica("tests.objects.apps.remote:app", "remote")
        gateway = fleet.gateway("--http-port", "0").wait_replicas(5)
        yield Parts(api, gateway.wait_knows("quick", "sent", "one"), gated)


@pytest.fixture
def client(parts: Parts) -> Iterator[Client]:
    with Client(parts.gateway.address) as client:
        yield client


def test_the_replicas_share_the_requests(parts: Parts, client: Client) -> None:
    workers = {worker.pid for server in parts.gated for worker in server.workers()}
    assert {pid_of(client.infer("quick", timeout=60)) for _ in range(64)} == workers
    assert parts.gateway.passed_on("a") > 0
    assert parts.gateway.passed_on("b") > 0


def test_streams_are_passed_on(parts: Parts, client: Client) -> None:
    numbers = [int(np.asarray(result["OUT"])[0]) for result in client.stream("sent", {"N": np.array([500])})]
    assert numbers == list(range(500))
    with Call(parts.gateway) as call:
        call.send(ask("yielded", 3, id="1"), ask("sent", 2, id="2"), ask("nobody", 1, id="3"))
        responses = call.rest()
    by_id: dict[str, int] = {}
    for response in responses:
        by_id[response.infer_response.id] = by_id.get(response.infer_response.id, 0) + 1
    assert by_id == {"1": 3, "2": 2, "3": 1}
    [failed] = [response for response in responses if response.error_message]
    assert "nobody" in failed.error_message


def test_tritonclient_is_served(parts: Parts) -> None:
    with triton_grpc.InferenceServerClient(parts.gateway.address) as triton:
        assert triton.is_server_live()
        assert triton.is_server_ready()
        assert triton.is_model_ready("quick")
        assert not triton.is_model_ready("nobody")
        result = triton.infer("quick", [])
        assert result.as_numpy("pid").shape == (1,)
        sent = triton_grpc.InferInput("N", [1], "INT64")
        sent.set_data_from_numpy(np.array([4]))
        results: asyncio.Queue[Any] = asyncio.Queue()
        triton.start_stream(lambda result, error: results.put_nowait((result, error)))
        triton.async_stream_infer("sent", [sent])
        eventually(lambda: results.qsize() == 4, "the stream is complete")
        triton.stop_stream()
    taken = [results.get_nowait() for _ in range(4)]
    assert [int(result.as_numpy("OUT")[0]) for result, error in taken if error is None] == [0, 1, 2, 3]


def test_rest_is_passed_on(parts: Parts) -> None:
    with triton_http.InferenceServerClient(f"{parts.gateway.host}:{parts.gateway.http_port}") as triton:
        assert triton.is_server_ready()
        assert triton.is_model_ready("quick")
        assert triton.infer("quick", []).as_numpy("pid").shape == (1,)
        with pytest.raises(triton_http.InferenceServerException, match="nobody"):
            triton.infer("nobody", [])


def time_left() -> float | None:
    """Runs in a worker: seconds until whoever waits stops."""
    return CONTEXT.get().time_left


def test_the_deadline_is_passed_on(client: Client) -> None:
    left = Remote(client.infer, "one").run(time_left, timeout=20)
    assert 0 < left <= 20
    assert Remote(client.infer, "one").infer(time_left, timeout=None).response.parameters["result"] == "null"


def test_a_deadline_that_passes_ends_the_request(client: Client, gate: Gate) -> None:
    with pytest.raises(DeadlineExceededError):
        client.infer("watchful", parameters=gate.parameters, timeout=1)
    gate.wait_entered()
    gate.wait_cancelled()


async def test_who_leaves_takes_the_request_along(parts: Parts, gate: Gate) -> None:
    async with AsyncClient(parts.gateway.address) as client:
        task = asyncio.create_task(client.infer("watchful", parameters=gate.parameters))
        await asyncio.to_thread(gate.wait_entered)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(gate.wait_cancelled)


def test_a_connection_that_breaks_takes_the_request_along(parts: Parts, gate: Gate) -> None:
    request = service_pb2.ModelInferRequest(model_name="watchful")
    request.parameters["gate"].string_param = gate.parameters["gate"]
    with grpc.insecure_channel(parts.gateway.address) as channel:
        # grpc cancels a call that nobody holds.
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(request)
        gate.wait_entered()
        assert not call.done()
    gate.wait_cancelled()


def fail() -> None:
    """Runs in a worker."""
    raise ZeroDivisionError("on purpose")


def test_errors_are_passed_on(client: Client) -> None:
    with pytest.raises(InternalError, match="ZeroDivisionError: on purpose"):
        Remote(client.infer, "one").run(fail)
    with pytest.raises(NotFoundError, match="no capability matches"):
        client.infer("nobody", timeout=60)


@pytest.mark.parametrize("count", [0, 1, 8193, 3_000_001, 40 << 20])
def test_contents_go_there_and_back(client: Client, count: int) -> None:
    sent = np.random.default_rng(count).integers(0, 256, count, dtype=np.uint8)
    remote = Remote(client.infer, "one")
    result = remote.infer(reverse, inputs={"a": sent})
    np.testing.assert_array_equal(result["a"], sent[::-1])


def reverse(request: Any) -> Any:
    """Runs in a worker: its input, the other way round."""
    from anyserve import ModelInferResponse

    response = ModelInferResponse(parameters={"result": "0"})
    response.add_output("a", data=np.ascontiguousarray(request.get_input("a").as_numpy()[::-1]))
    return response
