"""Requests for whoever offers a capability, as JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from anyserve import ModelInferResponse
from anyserve.errors import AnyserveError
from fastapi import APIRouter, Request, Response

from ..errors import ApiError, from_anyserve
from ..json_forms import Call, read_call
from ..services import Services
from ..sse import EventStream, event
from ..waiting import while_waited_for
from ..wanted import take_query
from .described import EVENTS, errors
from .schemas import INFER_REQUEST, INFER_RESPONSE, SHORT_REQUEST, SHORT_RESPONSE

__all__ = ["router"]

_ERRORS = errors(400, 403, 404, 408, 413, 415, 429, 500, 501, 503, 504)

_INPUT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [SHORT_REQUEST, INFER_REQUEST]},
                "examples": {
                    "short": {"value": {"inputs": {"text": ["hello"]}}},
                    "kserve": {
                        "value": {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["hello"]}]}
                    },
                },
            }
        },
    },
    "parameters": [
        {
            "name": "x-cap-type",
            "in": "header",
            "required": True,
            "description": "`x-cap-KEY: VALUE` for each pair of the capability that is asked for; any key will do. "
            "Instead, parameters `cap.KEY` may be in the body.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 64},
            "example": "chat",
        }
    ],
}


def router(services: Services) -> APIRouter:
    """The routes for those who speak plain HTTP."""
    routes = APIRouter(tags=["inference"])
    forwarder = services.forwarder

    @routes.post(
        "/infer",
        summary="Send a request to a replica that offers a capability",
        response_class=Response,
        responses={
            200: {
                "description": "The outputs, in the form of the request.",
                "content": {"application/json": {"schema": {"anyOf": [SHORT_RESPONSE, INFER_RESPONSE]}}},
            },
            **_ERRORS,
        },
        openapi_extra=_INPUT,
    )
    async def infer(request: Request) -> Response:
        call = await read_call(request, binary=True)
        query = take_query(request, call.request, forwarder)
        response = await while_waited_for(request, forwarder.infer(query, call.request))
        answer = await call.answer(response)
        return Response(answer.body, headers=answer.headers)

    @routes.post(
        "/infer/stream",
        summary="The same, with any number of answers",
        description="Each answer is an event whose data is what `/infer` answers. An error that comes later than the "
        "first answer is the last event, named `error`: its data has `error` and `status`.",
        response_class=Response,
        responses={200: {"description": "The answers, as they come.", **EVENTS}, **_ERRORS},
        openapi_extra=_INPUT,
    )
    async def stream(request: Request) -> Response:
        call = await read_call(request, binary=False)
        query = take_query(request, call.request, forwarder)
        responses = forwarder.stream(query, call.request)
        # The status can tell of what goes wrong before the first answer.
        first = await while_waited_for(request, anext(responses, None))
        return EventStream(_events(call, first, responses), services.stopping, responses.aclose)

    return routes


async def _events(
    call: Call, first: ModelInferResponse | None, others: AsyncIterator[ModelInferResponse]
) -> AsyncIterator[bytes]:
    response = first
    try:
        while response is not None:
            yield event((await call.answer(response)).body)
            response = await anext(others, None)
    except (AnyserveError, ApiError) as error:
        told = error if isinstance(error, ApiError) else from_anyserve(error)
        yield event({"error": str(told), "status": told.status}, "error")
