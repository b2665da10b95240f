"""In which forms a handler may stream, told from its signature, and what is refused with the reason."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from anyserve import AnyServe, AsyncStream, Context, ModelInferRequest, ModelInferResponse, Stream


def sends(request: ModelInferRequest, context: Context, stream: Stream) -> None: ...


async def async_sends(request: ModelInferRequest, context: Context, stream: AsyncStream) -> None: ...


def generator(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    yield ModelInferResponse()


def generator_with_context(request: ModelInferRequest, context: Context) -> Iterator[ModelInferResponse]:
    yield ModelInferResponse()


async def async_generator(request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
    yield ModelInferResponse()


async def async_generator_with_context(
    request: ModelInferRequest, context: Context
) -> AsyncIterator[ModelInferResponse]:
    yield ModelInferResponse()


def plain(request: ModelInferRequest) -> Any:
    return ModelInferResponse()


def plain_with_context(request: ModelInferRequest, context: Context) -> Any:
    return ModelInferResponse()


async def coroutine(request: ModelInferRequest) -> ModelInferResponse:
    return ModelInferResponse()


def any_number(*arguments: Any) -> Any:
    return None


class Methods:
    def sends(self, request: ModelInferRequest, context: Context, stream: Stream) -> None: ...

    async def yields(self, request: ModelInferRequest) -> AsyncIterator[ModelInferResponse]:
        yield ModelInferResponse()


class Callable3:
    async def __call__(self, request: ModelInferRequest, context: Context, stream: AsyncStream) -> None: ...


class CallableGenerator:
    def __call__(self, request: ModelInferRequest, context: Context) -> Iterator[ModelInferResponse]:
        yield ModelInferResponse()


FORMS: dict[str, tuple[Callable[..., Any], bool, tuple[str, bool, bool]]] = {
    "a function that sends": (sends, True, ("stream", False, True)),
    "a coroutine that sends": (async_sends, True, ("stream", True, True)),
    "a generator": (generator, False, ("generator", False, False)),
    "a generator that says so": (generator, True, ("generator", False, False)),
    "a generator with a context": (generator_with_context, True, ("generator", False, True)),
    "an async generator": (async_generator, False, ("generator", True, False)),
    "an async generator with a context": (async_generator_with_context, True, ("generator", True, True)),
    "a function that returns an iterator": (plain, True, ("generator", False, False)),
    "and takes the context": (plain_with_context, True, ("generator", False, True)),
    "a function of one response": (plain, False, ("unary", False, False)),
    "a coroutine of one response": (coroutine, False, ("unary", True, False)),
    "a function of any arguments": (any_number, True, ("stream", False, True)),
    "a method that sends": (Methods().sends, True, ("stream", False, True)),
    "a method that yields": (Methods().yields, False, ("generator", True, False)),
    "an object that sends": (Callable3(), True, ("stream", True, True)),
    "an object that yields": (CallableGenerator(), False, ("generator", False, True)),
}


@pytest.mark.parametrize("what", FORMS)
def test_the_form_of_a_handler_is_told_from_its_signature(what: str) -> None:
    function, stream, form = FORMS[what]
    app = AnyServe()
    app.capability(type="a", stream=stream)(function)
    [handler] = app.handlers
    assert (handler.kind, handler.is_async, handler.wants_context) == form


def four(request: ModelInferRequest, context: Context, stream: Stream, more: int) -> None: ...


async def generator_that_sends(
    request: ModelInferRequest, context: Context, stream: AsyncStream
) -> AsyncIterator[ModelInferResponse]:
    yield ModelInferResponse()


@pytest.mark.parametrize(
    ("function", "options", "reason"),
    [
        (sends, {}, r"must take \(request\) or \(request, context\); for a stream, declare it with stream=True"),
        (four, {"stream": True}, r"must take \(request\).*\(request, context\) or \(request, context, stream\)"),
        (coroutine, {"stream": True}, "must be an async generator, or take"),
        (generator_that_sends, {"stream": True}, r"must take \(request\) or \(request, context\)"),
        (generator, {"max_batch_size": 4}, "is a generator; with max_batch_size it must return a list"),
        (sends, {"max_batch_size": 4}, r"must take \(request\) or \(request, context\)"),
    ],
)
def test_a_handler_of_no_form_is_refused_by_name(
    function: Callable[..., Any], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(TypeError, match=rf"handler {function.__name__}\b.* {reason}"):
        AnyServe().capability(type="a", **options)(function)


def test_a_stream_of_batches_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\{type: a\}: stream=True and max_batch_size=2 do not go together"):
        AnyServe().capability(type="a", stream=True, max_batch_size=2)


def test_an_async_handler_has_many_requests_at_once_unless_it_says() -> None:
    app = AnyServe()
    app.capability(type="a")(async_generator)
    app.capability(type="b", concurrency=3)(async_generator_with_context)
    app.capability(type="c")(generator)
    assert [handler.concurrency for handler in app.handlers] == [32, 3, 1]
