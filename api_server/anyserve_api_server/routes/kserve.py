"""The KServe v2 REST API for the whole fleet: https://github.com/kserve/open-inference-protocol

A model's name stands for a capability, as it does for an agent. Shared memory and the model repository are matters of
one machine, and are asked of its agent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from anyserve import ModelInferRequest, ModelInferResponse
from anyserve.errors import AnyserveError
from anyserve.rest import decode_generate, encode_generate
from fastapi import APIRouter, Request, Response

from .. import __version__
from ..errors import ApiError, from_anyserve
from ..json_forms import read_kserve
from ..services import Services
from ..sse import EventStream, event
from ..waiting import while_waited_for
from ..wanted import take_query
from .described import EVENTS, errors
from .schemas import INFER_REQUEST, INFER_RESPONSE, METADATA

__all__ = ["router"]

EXTENSIONS = ["binary_tensor_data", "generate"]

_ERRORS = errors(400, 403, 404, 408, 413, 415, 429, 500, 501, 503, 504)


def router(services: Services) -> APIRouter:
    """The routes of the protocol."""
    routes = APIRouter(prefix="/v2", tags=["kserve"])
    _add_health(routes, services)
    # A model with its version, and without.
    for path in ("/models/{model}", "/models/{model}/versions/{version}"):
        _add_model(routes, services, path)
        _add_infer(routes, services, path)
        _add_generate(routes, services, path)
    return routes


def _add_health(routes: APIRouter, services: Services) -> None:
    @routes.get("", summary="The server's name and extensions")
    async def server() -> dict[str, Any]:
        return {"name": "anyserve", "version": __version__, "extensions": EXTENSIONS}

    @routes.get("/health/live", summary="The process is alive", response_class=Response)
    async def live() -> Response:
        return Response()

    @routes.get("/health/ready", summary="The server knows the fleet", response_class=Response, responses=errors(503))
    async def ready() -> Response:
        if not services.fleet.known:
            raise ApiError(503, "the registry has not answered yet", {"retry-after": "1"})
        return Response()


def _add_model(routes: APIRouter, services: Services, path: str) -> None:
    forwarder = services.forwarder

    @routes.get(
        f"{path}/ready",
        summary="Some replica takes requests for the model",
        response_class=Response,
        responses=errors(400, 404),
        openapi_extra=_parameters(path),
    )
    async def ready(request: Request) -> Response:
        query = forwarder.of_model(*_model(request))
        if not forwarder.serves(query):
            raise forwarder.no_match(query)
        return Response()

    @routes.get(
        path,
        summary="The model's inputs and outputs",
        responses={200: {"content": {"application/json": {"schema": METADATA}}}, **_ERRORS},
        openapi_extra=_parameters(path),
    )
    async def metadata(request: Request) -> dict[str, Any]:
        model, version = _model(request)
        inputs, outputs = await forwarder.metadata(forwarder.of_model(model, version), model)
        return {
            "name": model,
            "versions": [version] if version else [],
            "platform": "anyserve",
            "inputs": [_tensor(*tensor) for tensor in inputs],
            "outputs": [_tensor(*tensor) for tensor in outputs],
        }


def _add_infer(routes: APIRouter, services: Services, path: str) -> None:
    content = {"application/json": {"schema": INFER_RESPONSE}, "application/octet-stream": {"schema": _BINARY}}

    @routes.post(
        f"{path}/infer",
        summary="Inference",
        description="The body may be JSON with binary tensors behind it (Triton's binary data extension).",
        response_class=Response,
        responses={200: {"description": "The outputs.", "content": content}, **_ERRORS},
        openapi_extra={
            **_parameters(path),
            "requestBody": {"required": True, "content": {"application/json": {"schema": INFER_REQUEST}}},
        },
    )
    async def infer(request: Request) -> Response:
        call = await read_kserve(request, *_model(request))
        query = take_query(request, call.request, services.forwarder)
        response = await while_waited_for(request, services.forwarder.infer(query, call.request))
        answer = await call.answer(response)
        return Response(answer.body, headers=answer.headers)


def _add_generate(routes: APIRouter, services: Services, path: str) -> None:
    forwarder = services.forwarder
    body = {"required": True, "content": {"application/json": {"schema": _FLAT, "example": {"text": "hello"}}}}
    extra = {**_parameters(path), "requestBody": body}

    @routes.post(
        f"{path}/generate",
        summary="Inference with a flat object",
        description="Triton's generate extension: members that are called as inputs are these, the others parameters.",
        response_class=Response,
        responses={200: {"description": "The outputs.", "content": {"application/json": {"schema": _FLAT}}}, **_ERRORS},
        openapi_extra=extra,
    )
    async def generate(request: Request) -> Response:
        sent = await _read_flat(request, services)
        query = take_query(request, sent, forwarder)
        response = await while_waited_for(request, forwarder.infer(query, sent))
        return Response(_write_flat(response), media_type="application/json")

    @routes.post(
        f"{path}/generate_stream",
        summary="The same, with any number of answers",
        description='Each answer is an event; an error that comes after the first is the last: `{"error": "..."}`.',
        response_class=Response,
        responses={200: {"description": "The answers, as they come.", **EVENTS}, **_ERRORS},
        openapi_extra=extra,
    )
    async def stream(request: Request) -> Response:
        sent = await _read_flat(request, services)
        responses = forwarder.stream(take_query(request, sent, forwarder), sent)
        # The status can tell of what goes wrong before the first answer.
        first = await while_waited_for(request, anext(responses, None))
        return EventStream(_flat_events(first, responses), services.stopping, responses.aclose)


async def _read_flat(request: Request, services: Services) -> ModelInferRequest:
    model, version = _model(request)
    body = await request.body()
    inputs, _ = await services.forwarder.metadata(services.forwarder.of_model(model, version), model)
    try:
        return decode_generate(body, inputs, model, version)
    except ValueError as error:
        raise ApiError(400, str(error)) from error


def _write_flat(response: ModelInferResponse) -> bytes:
    try:
        return encode_generate(response)
    except ValueError as error:
        raise ApiError(400, str(error)) from error


async def _flat_events(
    first: ModelInferResponse | None, others: AsyncIterator[ModelInferResponse]
) -> AsyncIterator[bytes]:
    response = first
    try:
        while response is not None:
            yield event(_write_flat(response))
            response = await anext(others, None)
    except (AnyserveError, ApiError) as error:
        told = error if isinstance(error, ApiError) else from_anyserve(error)
        yield event({"error": str(told)})


def _model(request: Request) -> tuple[str, str]:
    """The model's name and version, as the path has them."""
    return request.path_params["model"], request.path_params.get("version", "")


def _parameters(path: str) -> dict[str, Any]:
    names = ["model", "version"] if "{version}" in path else ["model"]
    return {"parameters": [{"name": name, "in": "path", "required": True, "schema": _NAME} for name in names]}


def _tensor(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


_NAME = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9._-]+$"}
_BINARY = {"type": "string", "format": "binary"}
_FLAT = {"type": "object", "additionalProperties": True}
