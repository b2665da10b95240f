"""Who offers what."""

from __future__ import annotations

import json
from typing import Any

from anyserve._core import Registry
from anyserve.errors import CapabilityError
from fastapi import APIRouter, Request, Response

from ..errors import ApiError
from ..lookup import find_route, parse_query
from ..models import RegistryState, Replicas, Route
from ..services import Services
from ..sse import EventStream
from .described import errors

__all__ = ["router"]


def router(services: Services) -> APIRouter:
    """The routes by which clients find replicas."""
    routes = APIRouter(tags=["discovery"])
    _add_lookup(routes, services.registry)
    _add_fleet(routes, services)
    return routes


def _add_lookup(routes: APIRouter, registry: Registry) -> None:
    @routes.get(
        "/route",
        summary="One replica that offers a capability",
        description="The query is the capability, such as `?type=chat&model=llama-70b`. Of several that match, each "
        "is named in turn.",
        response_model=Route,
        responses=errors(400, 404),
        openapi_extra={"parameters": [_capability(required=True)]},
    )
    async def route(request: Request) -> Response:
        found = find_route(registry, request.scope["query_string"])
        return Response(found, media_type="application/json")

    @routes.get(
        "/replicas",
        summary="All replicas that offer a capability",
        description="The query is the capability, as for `/route`; without one, all replicas.",
        response_model=Replicas,
        responses=errors(400),
        openapi_extra={"parameters": [_capability(required=False)]},
    )
    async def replicas(request: Request) -> Response:
        query = parse_query(request.scope["query_string"])
        try:
            return _json({"replicas": registry.replicas(query or None)})
        except CapabilityError as error:
            raise ApiError(400, str(error)) from error


def _add_fleet(routes: APIRouter, services: Services) -> None:
    fleet = services.fleet

    @routes.get("/registry", summary="The whole fleet, and how it is known", response_model=RegistryState)
    async def state() -> Response:
        return _json(
            {
                "registry": services.registry_name,
                "connected": fleet.is_connected(),
                "complete": fleet.settled,
                "replicas": fleet.replicas(),
            }
        )

    @routes.get(
        "/watch",
        summary="The fleet, and then its changes",
        response_class=Response,
        responses={
            200: {
                "description": "Events: `snapshot` at first (what is not in it is gone, if `complete` is true), then "
                "`put` and `gone`, and a comment every 5 s. `overrun` ends the stream: the reader was too slow, and "
                "connects again.",
                "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
            },
            **errors(503),
        },
    )
    async def watch() -> Response:
        watcher = fleet.watch()
        return EventStream(watcher.events(), services.stopping, watcher.close)


def _json(content: dict[str, Any]) -> Response:
    """Without the framework's checks, which take long for a whole fleet: all of it comes from the registry."""
    return Response(json.dumps(content, separators=(",", ":")), media_type="application/json")


def _capability(*, required: bool) -> dict[str, Any]:
    return {
        "name": "capability",
        "in": "query",
        "required": required,
        "style": "form",
        "explode": True,
        "description": "The pairs of a capability, each a parameter of its own.",
        "schema": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 32,
            "propertyNames": {"pattern": "^[a-z][a-z0-9_.]{0,63}$"},
            "additionalProperties": {"type": "string", "maxLength": 64},
        },
        "example": {"type": "chat", "model": "llama-70b"},
    }


_EXAMPLE = 'event: snapshot\ndata: {"replicas":[],"complete":true}\n\nevent: gone\ndata: {"replica_id":"a"}\n\n'
