"""The ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from . import __version__, openapi
from .errors import add_handlers
from .front import Front
from .routes import console, fleet, health, infer, kserve, registry
from .services import Services

__all__ = ["create_app"]

log = logging.getLogger(__name__)


def create_app(services: Services) -> Front:
    """The application that answers with these services."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(services.fleet.run())
        following.add_done_callback(_report)
        yield
        following.cancel()
        await services.registrations.stop()

    app = FastAPI(
        title="anyserve API server",
        version=__version__,
        lifespan=lifespan,
        # Their pages load scripts from elsewhere; the document is at /openapi.json.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    add_handlers(app)
    for topic in (fleet, registry, health, infer, kserve, console):
        app.include_router(topic.router(services))
    openapi.complete(app)
    return Front(app, services)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.critical("the fleet is not followed any longer", exc_info=error)
