"""What routes say of their errors in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from ..models import Error

__all__ = ["EVENTS", "errors"]

EVENTS: dict[str, Any] = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
"""The content of an answer that is a stream of events."""

_MEANINGS = {
    400: "The request is malformed; the error says where.",
    403: "The request comes from a page of another site.",
    404: "Nothing matches.",
    405: "The path has no such method; the header `allow` names those it has.",
    408: "The rest of the request did not come in time.",
    409: "A later incarnation has the id.",
    411: "The length of the body is missing.",
    413: "The body is over the limit.",
    415: "The content type is not one that is read here.",
    429: "Too much at once; the header `retry-after` says when to try again.",
    499: "The client is gone.",
    500: "The handler failed.",
    501: "The replica does not know the call.",
    503: "Not now: the registry, or the replica, does not answer.",
    504: "The time is up.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route may answer with."""
    return {status: {"model": Error, "description": _MEANINGS[status]} for status in statuses}
