"""The page at ``/``, and what it is made of."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response

from ..services import Services
from ..sse import EventStream
from .described import EVENTS, errors

__all__ = ["router"]

FOLDER = Path(__file__).parents[1] / "static"

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

HEADERS = {
    # Nothing but what comes from this server, and nothing written into the page itself.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def router(services: Services) -> APIRouter:
    """The routes of the console."""
    routes = APIRouter(tags=["console"])
    # Read once, and looked up by name: no path of a request ever becomes a path of a file.
    files = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in TYPES}
    for name, content in files.items():
        _add_file(routes, "/" if name == "index.html" else f"/console/{name}", TYPES[Path(name).suffix], content)

    @routes.get(
        "/console/state",
        summary="What the console shows, once a second",
        description="Events: `history`, `capabilities` when they change, and `state`. The replicas are asked only "
        "while somebody listens.",
        response_class=Response,
        responses={200: {"description": "Events.", **EVENTS}, **errors(503)},
    )
    async def state() -> Response:
        return EventStream(services.console.open(), services.stopping, services.console.close)

    return routes


def _add_file(routes: APIRouter, path: str, media_type: str, content: bytes) -> None:
    @routes.get(path, include_in_schema=False)
    async def file() -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)
