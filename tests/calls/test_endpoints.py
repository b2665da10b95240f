"""``endpoint=``: a server that a handler names is asked, and no other."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anyserve import ModelInferResponse
from anyserve.errors import DeadlineExceededError, RequestError

from tests.background import Background
from tests.calls import doing
from tests.calls.conftest import APP
from tests.calls.doing import acall, add, stay
from tests.objects.remote import CONTEXT, PATIENCE, parameters_of, result_of
from tests.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyserve import ModelInferRequest

    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.objects.remote import Remote as Worker


@pytest.fixture(scope="module")
def other() -> Iterator[Server]:
    """Another agent of the same application."""
    with Server(APP) as server:
        yield server.wait_ready()


def ask(endpoint: str, function: Callable[..., Any] | str, *arguments: Any, **options: Any) -> Any:
    """Asks a worker of that server; an error is its class and its message."""
    function = getattr(doing, function) if isinstance(function, str) else function
    parameters = parameters_of(function, *arguments, inputs="inputs" in options)
    try:
        result = CONTEXT.get().call("two", endpoint=endpoint, parameters=parameters, **options)
    except (RequestError, ValueError) as error:
        return [type(error).__name__, str(error)]
    return result_of(result)


def test_the_server_is_asked(one: Worker, other: Server) -> None:
    assert one.run(ask, other.address, "add", 1, 2) == 3


async def ask_async(endpoint: str) -> list[int]:
    """By a coroutine, and as a stream."""
    stream = CONTEXT.get().stream("stream", endpoint=endpoint, parameters=parameters_of(doing.count, 100))
    streamed = [result_of(result) async for result in stream]
    return [await acall("two", add, 1, 2, endpoint=endpoint), *streamed]


def test_coroutines_and_streams_ask_too(loop: Worker, other: Server) -> None:
    assert loop.run(ask_async, other.address) == [3, *range(100)]


def reverse(request: ModelInferRequest) -> ModelInferResponse:
    """Gives its input back, the other way round."""
    response = ModelInferResponse(parameters={"result": "0"})
    response.add_output("a", data=request.get_input("a").as_numpy()[::-1])
    return response


def ask_with_array(endpoint: str, size: int) -> list[int]:
    """Large contents go there and back."""
    array = np.arange(size, dtype=np.int32)
    parameters = parameters_of(reverse, inputs=True)
    result = CONTEXT.get().call("two", {"a": array}, endpoint=endpoint, parameters=parameters)
    return [int(np.array_equal(result["a"], array[::-1])), len(result["a"])]


@pytest.mark.parametrize("size", [1, 100_000, 2_000_000])
def test_contents_go_there_and_back(one: Worker, other: Server, size: int) -> None:
    assert one.run(ask_with_array, other.address, size) == [1, size]


def test_a_server_that_is_not_there_is_unavailable(one: Worker) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{nobody.getsockname()[1]}"
        kind, message = one.run(ask, endpoint, "add", 1, 2)
    assert kind == "UnavailableError"
    assert message.startswith(f"cannot reach {endpoint}: ")


@pytest.mark.parametrize("endpoint", ["nowhere", "host:port", "https://a:1"])
def test_what_is_no_endpoint_is_refused(one: Worker, endpoint: str) -> None:
    kind, message = one.run(ask, endpoint, "add", 1, 2)
    assert kind == "InvalidArgumentError"
    assert message == f"endpoint '{endpoint}' is not HOST:PORT or http://HOST:PORT"


def test_the_servers_errors_are_the_calls(one: Worker, other: Server) -> None:
    assert one.run(ask_nobody, other.address)[0] == "NotFoundError"


def ask_nobody(endpoint: str) -> list[str]:
    """What the other agent does not serve."""
    try:
        CONTEXT.get().call("nobody", endpoint=endpoint)
    except RequestError as error:
        return [type(error).__name__, str(error)]
    return ["no error"]


def test_the_time_of_the_caller_counts_there_too(one: Worker, other: Server, gate: Gate) -> None:
    with pytest.raises(DeadlineExceededError):
        one.run(ask, other.address, stay.__name__, gate.parameters["gate"], timeout=1)
    gate.wait_cancelled()


def test_a_server_that_dies_is_unavailable(serve: Serve, callers: Server, one: Worker, gate: Gate) -> None:
    dying = serve(APP)
    with Background(callers.address) as background:
        parameters = parameters_of(ask, dying.address, "stay", gate.parameters["gate"])
        running = background.infer("one", parameters, timeout=PATIENCE)
        gate.wait_entered()
        dying.process.kill()
        assert result_of(running.result(PATIENCE))[0] == "UnavailableError"
    replaced = serve(APP)
    assert one.run(ask, replaced.address, "add", 1, 2) == 3
