"""How the server is."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Response

from .. import __version__
from ..errors import ApiError
from ..measures import CONTENT_TYPE
from ..models import Health
from ..services import Services
from .described import errors

__all__ = ["router"]


def router(services: Services) -> APIRouter:
    """The routes for those who look after the server."""
    routes = APIRouter(tags=["health"])
    registry, fleet = services.registry, services.fleet

    @routes.get("/health", summary="How the server is", response_model=Health)
    async def health() -> dict[str, Any]:
        connected = registry.is_connected()
        return {
            "status": "ok" if connected else "degraded",
            "version": __version__,
            "uptime": time.monotonic() - services.started,
            "registry": services.settings.registry.partition(":")[0],
            "connected": connected,
            "replicas": len(fleet),
        }

    @routes.get("/livez", summary="The process is alive", response_class=Response, responses=_OK)
    async def live() -> Response:
        return Response("ok\n", media_type="text/plain")

    @routes.get(
        "/readyz",
        summary="The server knows the fleet",
        description="It stays ready while the registry does not answer: what it knows of the fleet is as good.",
        response_class=Response,
        responses={**_OK, **errors(503)},
    )
    async def ready() -> Response:
        if not fleet.known:
            raise ApiError(503, "the registry has not answered yet", {"retry-after": "1"})
        return Response("ok\n", media_type="text/plain")

    @routes.get(
        "/metrics",
        summary="Counts for Prometheus",
        response_class=Response,
        responses={
            200: {
                "description": "OpenMetrics.",
                "content": {"application/openmetrics-text": {"schema": {"type": "string"}}},
            }
        },
    )
    async def metrics() -> Response:
        return Response(services.measures.page(), media_type=CONTENT_TYPE)

    return routes


_OK: dict[int | str, dict[str, Any]] = {
    200: {"description": "It is.", "content": {"text/plain": {"schema": {"type": "string"}, "example": "ok\n"}}}
}
