"""A handler that fails in the middle of its stream: the client has what came before, and the reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from anyserve import AsyncClient, Client, errors
from anyserve.errors import InternalError, RequestError, ResourceExhaustedError

from tests.streams import Servers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from anyserve import ResultStream

    from tests.server import Server

LIMIT = 1 << 20


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers("tests.apps.stream_faulty", "--max-message-size", str(LIMIT)) as servers:
        yield servers


def forms(*models: str) -> list[tuple[str, str]]:
    """The handlers on a thread, beside an event loop, and, by their async twins, on it."""
    return [("app", model) for model in models] + [
        ("loop", name) for model in models for name in (model, f"async-{model}")
    ]


@pytest.fixture
def server(servers: Servers, app: str) -> Server:
    return servers[app]


def collect(results: ResultStream, heard: list[str]) -> None:
    """Adds what comes, as it comes."""
    for result in results:
        heard.append(result["OUT"][0].decode())


def texts(results: ResultStream) -> list[str]:
    """All that comes."""
    heard: list[str] = []
    collect(results, heard)
    return heard


def stream_error(client: Client, model: str, parameters: Mapping[str, str | int], heard: list[str]) -> RequestError:
    """The error that ends a stream; what came before is added to `heard`."""
    with client.stream(model, parameters=parameters) as results, pytest.raises(RequestError) as failure:
        collect(results, heard)
    assert list(results) == [], "nothing comes after the error"
    assert client.infer("fine")["OUT"] == [b"fine"]
    return failure.value


@pytest.mark.parametrize("after", [0, 3, 200])
@pytest.mark.parametrize(("app", "model"), forms("raises", "raises-yielding"))
def test_what_came_before_an_exception_is_received_and_then_the_exception(
    client: Client, server: Server, model: str, after: int
) -> None:
    heard: list[str] = []
    error = stream_error(client, model, {"error": "ValueError", "message": f"{model}-{after}", "after": after}, heard)
    assert heard == [str(value) for value in range(after)]
    assert isinstance(error, InternalError)
    assert str(error) == f"ValueError: {model}-{after}"
    # In the log it is in full, and once with the request.
    assert server.stderr.find(re.compile(f"^ValueError: {model}-{after}$")) is not None
    assert server.stderr.find(re.compile(f"WARN request failed: ValueError: {model}-{after} ")) is not None


@pytest.mark.parametrize(("app", "model"), [("app", "raises-returning"), ("loop", "raises-returning")])
def test_an_exception_before_the_iterator_is_there_is_the_error(client: Client, model: str) -> None:
    heard: list[str] = []
    error = stream_error(client, model, {"error": "KeyError", "message": "x"}, heard)
    assert (str(error), heard) == ("KeyError: 'x'", [])


@pytest.mark.parametrize("name", ["NotFoundError", "InvalidArgumentError", "UnavailableError", "CancelledError"])
@pytest.mark.parametrize(("app", "model"), forms("raises", "raises-yielding"))
def test_an_error_with_a_code_reaches_the_client_as_it_is(
    client: Client, server: Server, model: str, name: str
) -> None:
    heard: list[str] = []
    message = f"{name} of {model}"
    error = stream_error(client, model, {"error": name, "message": message, "after": 1}, heard)
    assert type(error) is getattr(errors, name)
    assert (str(error), heard) == (message, ["0"])
    assert f"Error: {message}" not in server.stderr.text, "there is no traceback"


@pytest.mark.parametrize(("app", "model"), forms("raises", "raises-yielding"))
def test_a_handler_says_when_to_try_again(client: Client, model: str) -> None:
    error = stream_error(client, model, {"error": "retry", "message": "later", "after": 1}, [])
    assert isinstance(error, ResourceExhaustedError)
    assert (str(error), error.retry_after) == ("later", 2.5)


@pytest.mark.parametrize(("app", "model"), [("loop", "async-raises"), ("loop", "async-raises-yielding")])
async def test_the_asyncio_client_hears_it_too(server: Server, model: str) -> None:
    async with AsyncClient(server.address) as client:
        parameters = {"error": "PermissionDeniedError", "message": "no", "after": 2}
        async with client.stream(model, parameters=parameters) as results:
            assert [(await anext(results))["OUT"] for _ in range(2)] == [[b"0"], [b"1"]]
            with pytest.raises(errors.PermissionDeniedError) as failure:
                await anext(results)
            assert str(failure.value) == "no"
            assert [result async for result in results] == []


@pytest.mark.parametrize("what", ["None", "dict", "str", "ModelInferRequest", "type"])
@pytest.mark.parametrize(("app", "model"), forms("yields"))
def test_what_is_yielded_and_no_response_is_an_internal_error_that_names_it(
    client: Client, model: str, what: str
) -> None:
    heard: list[str] = []
    error = stream_error(client, model, {"what": what}, heard)
    handler = model.replace("-", "_")
    assert str(error) == f"handler {handler} yielded {what}; it must yield a ModelInferResponse"
    assert (type(error), heard) == (InternalError, ["before"])


@pytest.mark.parametrize("what", ["None", "dict", "str", "ModelInferRequest", "type"])
@pytest.mark.parametrize(("app", "model"), forms("sends"))
def test_what_is_sent_and_no_response_is_an_internal_error_that_names_it(client: Client, model: str, what: str) -> None:
    heard: list[str] = []
    error = stream_error(client, model, {"what": what}, heard)
    assert what in str(error)
    assert "ModelInferResponse" in str(error)
    assert (type(error), heard) == (InternalError, ["before"])


MALFORMED = {
    "malformed": r"output 'bad': shape \[3\] of FP32 needs 12 bytes, but the contents hold 0",
    "large": rf"a response of \d+ bytes is over the limit of {LIMIT}",
    "parameter": r"parameter 'bad' is a object",
}


@pytest.mark.parametrize("what", MALFORMED)
@pytest.mark.parametrize(("app", "model"), forms("sends", "yields"))
def test_a_response_that_cannot_be_sent_is_an_internal_error_with_the_reason(
    client: Client, model: str, what: str
) -> None:
    heard: list[str] = []
    error = stream_error(client, model, {"what": what}, heard)
    assert re.search(MALFORMED[what], str(error))
    assert (type(error), heard) == (InternalError, ["before"])


@pytest.mark.parametrize("what", MALFORMED)
@pytest.mark.parametrize(("app", "model"), forms("sends-again"))
def test_a_handler_may_send_something_better_instead(client: Client, model: str, what: str) -> None:
    [heard] = texts(client.stream(model, parameters={"what": what}))
    assert re.match(rf"(Value|Type)Error: {MALFORMED[what]}", heard)


@pytest.mark.parametrize("what", ["str", "type"])
@pytest.mark.parametrize(("app", "model"), forms("returns-value"))
def test_a_handler_that_sends_and_returns_something_is_an_internal_error(client: Client, model: str, what: str) -> None:
    heard: list[str] = []
    error = stream_error(client, model, {"what": what}, heard)
    handler = model.replace("-", "_")
    assert str(error) == f"handler {handler} returned {what}; it sends its responses by stream.send()"
    assert heard == ["before"]


@pytest.mark.parametrize("what", ["None", "type"])
@pytest.mark.parametrize(("app", "model"), [("app", "returns-no-iterator"), ("loop", "returns-no-iterator")])
def test_a_handler_that_returns_no_iterator_is_an_internal_error(client: Client, model: str, what: str) -> None:
    error = stream_error(client, model, {"what": what}, [])
    assert str(error) == f"handler returns_no_iterator returned {what}; it must return an iterator of responses"


@pytest.mark.parametrize("app", ["app", "loop"])
def test_a_list_of_responses_is_a_stream(client: Client) -> None:
    assert texts(client.stream("returns-list")) == ["one", "two"]


@pytest.mark.parametrize(("app", "model"), forms("closes"))
def test_what_is_sent_after_close_is_not_received_and_the_stream_has_ended_well(
    client: Client, server: Server, model: str
) -> None:
    assert texts(client.stream(model)) == ["before"]
    assert server.stderr.find(re.compile("RuntimeError: the stream is closed")) is not None
    assert client.infer("fine")["OUT"] == [b"fine"]


@pytest.mark.parametrize(("app", "twin"), [("app", ""), ("loop", ""), ("loop", "async-")])
def test_a_stream_that_was_kept_is_closed(client: Client, twin: str) -> None:
    assert texts(client.stream(f"{twin}keeps")) == ["before"]
    [reason] = texts(client.stream(f"{twin}uses-kept"))
    assert "the stream is closed" in reason
    assert client.infer("fine")["OUT"] == [b"fine"]


@pytest.mark.parametrize("app", ["loop"])
def test_a_handler_that_raises_asyncios_cancelled_error_is_cancelled(client: Client) -> None:
    with pytest.raises(errors.CancelledError, match="the handler was cancelled"):
        client.infer("async-cancels-itself")
