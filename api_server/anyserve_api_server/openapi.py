"""The OpenAPI document, as complete as the server is."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

__all__ = ["complete"]

DESCRIPTION = """
Who offers what in a fleet of anyserve replicas.

A *capability* is a set of keys and values, such as `{type: chat, model: llama-70b}`; a query matches a capability when
every pair of it is in there. Every error is `{"error": "..."}`.
"""

TAGS = [
    {"name": "discovery", "description": "Who offers what."},
    {"name": "registration", "description": "Replicas come, stay and go."},
    {"name": "inference", "description": "Requests for whoever offers a capability, as JSON."},
    {"name": "kserve", "description": "The KServe v2 REST API, for the whole fleet."},
    {"name": "health", "description": "How the server is."},
    {"name": "console", "description": "What the page at `/` is made of."},
]


def complete(app: FastAPI) -> None:
    """Says what the framework does not know, and not what it gets wrong: bad input is answered with 400, never 422."""
    app.description = DESCRIPTION.strip()
    app.openapi_tags = TAGS
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        schemas = document.get("components", {}).get("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
