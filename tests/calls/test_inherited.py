"""What holds for a request holds for the calls of its handler: time, urgency, trace, and its end."""

from __future__ import annotations

import asyncio
import threading
from concurrent import futures
from typing import TYPE_CHECKING, Any

import anyserve
import grpc
import pytest
from anyserve import AsyncClient
from anyserve.errors import CancelledError, DeadlineExceededError
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.background import Background
from tests.calls import doing
from tests.calls.doing import callee, stay
from tests.gate import Gate
from tests.objects.remote import CONTEXT, PATIENCE, Remote, parameters_of, result_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyserve import Client

    from tests.objects.remote import Remote as Worker


def time_left() -> float | None:
    """Seconds until whoever waits for this stops."""
    return CONTEXT.get().time_left


def time_of_call(timeout: float | None) -> list[float | None]:
    """The handler's own time, and that of its call."""
    return [time_left(), result_of(callee("two").infer(time_left, timeout=timeout))]


def test_a_call_has_no_more_time_than_its_caller(one: Worker) -> None:
    own, of_call = one.run(time_of_call, None, timeout=20)
    assert 0 < of_call <= own <= 20


def test_the_sooner_deadline_counts(one: Worker) -> None:
    own, of_call = one.run(time_of_call, 5, timeout=20)
    assert 0 < of_call <= 5 < own
    own, of_call = one.run(time_of_call, 50, timeout=20)
    assert 0 < of_call <= own <= 20


def test_without_deadlines_there_is_none(one: Worker) -> None:
    assert result_of(one.infer(time_of_call, None, timeout=None)) == [None, None]


def test_a_chain_has_one_deadline(shared: Client, one: Worker, gate: Gate) -> None:
    with pytest.raises(DeadlineExceededError):
        one.run(call_in_chain, gate.parameters["gate"], timeout=1)
    gate.wait_cancelled()
    assert Remote(shared.infer, "one").run(doing.call, "two", "add", 1, 2) == 3


def call_in_chain(gate: str) -> Any:
    """One calls two, two calls pair, which stays."""
    return callee("two").run(call_pair, gate, timeout=PATIENCE)


def call_pair(gate: str) -> Any:
    """Runs in two."""
    return callee("pair").run(stay, gate, timeout=PATIENCE)


def priority_of(request: Any = None) -> Any:
    """The priority that the handler's request came with."""
    return request.parameters.get("priority")


def priority_of_call(own: int | None) -> Any:
    """The same of a call."""
    parameters = parameters_of(priority_of, inputs=True)
    if own is not None:
        parameters["priority"] = own
    return result_of(CONTEXT.get().call("two", {"a": [1]}, parameters=parameters))


@pytest.mark.parametrize(("given", "own", "expected"), [(2, None, 2), (2, 7, 7), (None, None, None)])
def test_a_call_is_as_urgent_as_its_caller(
    shared: Client, given: int | None, own: int | None, expected: int | None
) -> None:
    parameters = parameters_of(priority_of_call, own)
    if given is not None:
        parameters["priority"] = given
    assert result_of(shared.infer("one", parameters=parameters, timeout=PATIENCE)) == expected


class Recorder(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """A server that remembers the metadata of what it was asked."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, str]] = []

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answers with nothing."""
        self.metadata.append(dict(context.invocation_metadata()))
        return service_pb2.ModelInferResponse(model_name=request.model_name)


@pytest.fixture
def recorder() -> Iterator[tuple[Recorder, str]]:
    """Such a server, and where it is."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    recorder = Recorder()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(recorder, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield recorder, f"127.0.0.1:{port}"
    server.stop(None)


def ask_by_another(endpoint: str, depth: int) -> str:
    """The last of a chain asks the server."""
    if depth:
        return str(callee("two").run(ask_by_another, endpoint, depth - 1))
    return str(CONTEXT.get().call("whatever", endpoint=endpoint, timeout=20).response.model_name)


@pytest.mark.parametrize("depth", [0, 1])
def test_the_trace_goes_on(shared: Client, recorder: tuple[Recorder, str], depth: int) -> None:
    server, endpoint = recorder
    request = service_pb2.ModelInferRequest(model_name="one")
    for name, value in parameters_of(ask_by_another, endpoint, depth).items():
        if isinstance(value, str):
            request.parameters[name].string_param = value
        else:
            request.parameters[name].bool_param = value
    trace = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "tracestate": "vendor=1", "baggage": "user=me"}
    metadata = [*trace.items(), ("authorization", "Bearer secret")]
    with grpc.insecure_channel(shared.endpoint) as channel:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=metadata, timeout=PATIENCE)
    [found] = server.metadata
    assert {key: found.get(key) for key in trace} == trace
    assert "authorization" not in found


def call_and_say(gate: str) -> str:
    """What a handler hears whose client has left."""
    try:
        callee("two").run(stay, gate)
    except CancelledError as error:
        Gate(gate + ".heard").stay(lambda: True)
        return str(error)
    return "not cancelled"


def test_a_client_that_leaves_cancels_the_calls(shared: Client, gate: Gate) -> None:
    async def leave() -> None:
        async with AsyncClient(shared.endpoint) as client:
            parameters = parameters_of(call_and_say, gate.parameters["gate"])
            asking = asyncio.create_task(client.infer("one", parameters=parameters))
            await asyncio.to_thread(gate.wait_entered)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(leave())
    gate.wait_cancelled()
    Gate(gate.parameters["gate"] + ".heard").wait_entered()
    assert Remote(shared.infer, "one").run(doing.call, "two", "add", 1, 2) == 3


def call_in_thread(gate: str) -> str:
    """From a thread that knows nothing of the request, and does not end with it."""
    threading.Thread(target=lambda: Remote(anyserve.call, "pair").run(stay, gate)).start()
    Gate(gate).wait_entered()
    return "left"


def test_a_call_of_nobodys_is_not_cancelled(one: Worker, gate: Gate) -> None:
    assert one.run(call_in_thread, gate.parameters["gate"]) == "left"
    gate.open()


def test_a_batch_keeps_its_calls_while_anybody_waits(shared: Client, gate: Gate) -> None:
    with Background(shared.endpoint) as background:
        parameters = parameters_of(call_in_batch, gate.parameters["gate"])
        requests = [
            background.infer("batch", parameters, timeout=timeout) for timeout in (1.5, PATIENCE, PATIENCE, PATIENCE)
        ]
        gate.wait_entered()
        with pytest.raises(DeadlineExceededError):
            requests[0].result(PATIENCE)
        gate.open()
        assert [result_of(request.result(PATIENCE))[1] for request in requests[1:]] == ["open"] * 3


def call_in_batch(gate: str) -> Any:
    """In the name of the whole batch."""
    return Remote(anyserve.call, "two").run(stay, gate, timeout=PATIENCE)
