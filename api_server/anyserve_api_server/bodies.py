"""Bodies that are JSON, whatever their content type says: curl says it is a form."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from .errors import ApiError

__all__ = ["described", "parse", "read"]

Model = TypeVar("Model", bound=BaseModel)

MAX_SHOWN = 3
"""Problems that an error tells of."""


async def read(request: Request, model: type[Model]) -> Model:
    """The body.

    Raises:
        ApiError: It is not such a model.
    """
    return parse(model, await request.body())


def parse(model: type[Model], body: bytes) -> Model:
    """What the JSON says.

    Raises:
        ApiError: It is not such a model; the message names the first few places that are wrong.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        shown = [f"{_place(problem['loc'])}: {problem['msg'][:200]}" for problem in problems[:MAX_SHOWN]]
        more = len(problems) - len(shown)
        raise ApiError(400, "; ".join(shown) + (f"; and {more} more" if more else "")) from error


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The body as the OpenAPI document has it."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def _place(location: tuple[str | int, ...]) -> str:
    return ".".join(str(part)[:100] for part in location) or "the body"
