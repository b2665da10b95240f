"""What goes wrong, as clients see it: a status and ``{"error": "..."}``."""

from __future__ import annotations

import math
from collections.abc import Mapping

from anyserve.errors import (
    AnyserveError,
    CancelledError,
    CapabilityError,
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RegistryError,
    RequestError,
    ResourceExhaustedError,
    SupersededError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

__all__ = ["ApiError", "ClientGoneError", "add_handlers", "error_response", "from_anyserve"]


class ApiError(Exception):
    """A request that is refused, with the HTTP status that says so."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class ClientGoneError(Exception):
    """Nobody waits for the answer any longer."""


_STATUSES: dict[type[AnyserveError], int] = {
    InvalidArgumentError: 400,
    CapabilityError: 400,
    UnauthenticatedError: 401,
    PermissionDeniedError: 403,
    NotFoundError: 404,
    FailedPreconditionError: 400,
    SupersededError: 409,
    ResourceExhaustedError: 429,
    CancelledError: 499,
    UnimplementedError: 501,
    RegistryError: 503,
    UnavailableError: 503,
    DeadlineExceededError: 504,
}


def from_anyserve(error: AnyserveError) -> ApiError:
    """What an agent, or the client that asked it, said."""
    status = next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), 500)
    headers = {}
    retry_after = error.retry_after if isinstance(error, RequestError) else None
    if retry_after is not None:
        # HTTP knows whole seconds only; the hint in milliseconds is the one that gRPC clients get.
        headers = {"retry-after": str(max(1, math.ceil(retry_after))), "retry-after-ms": f"{retry_after * 1000:.0f}"}
    elif status == 503:
        headers = {"retry-after": "1"}
    return ApiError(status, str(error), headers)


def error_response(error: ApiError) -> Response:
    """The answer that tells of it."""
    return JSONResponse({"error": str(error)}, error.status, error.headers)


def add_handlers(app: FastAPI) -> None:
    """Gives every error that a route may raise the one shape."""

    @app.exception_handler(ApiError)
    def of_api(request: Request, error: ApiError) -> Response:
        return error_response(error)

    @app.exception_handler(AnyserveError)
    def of_anyserve(request: Request, error: AnyserveError) -> Response:
        return error_response(from_anyserve(error))

    @app.exception_handler(HTTPException)
    def of_http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            message = f"there is no {request.url.path} here; /openapi.json lists what there is"
        elif error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            message = f"{request.method} is not for {request.url.path}; allowed: {allowed}"
        else:
            message = str(error.detail)
        return error_response(ApiError(error.status_code, message, error.headers))

    @app.exception_handler(RequestValidationError)
    def of_validation(request: Request, error: RequestValidationError) -> Response:
        problem = error.errors()[0]
        place = ".".join(str(part)[:100] for part in problem["loc"][1:])
        return error_response(ApiError(400, f"{place}: {problem['msg']}"))

    @app.exception_handler(Exception)
    def of_bug(request: Request, error: Exception) -> Response:
        return error_response(ApiError(500, f"the server failed: {type(error).__name__}; its log says more"))

    @app.exception_handler(ClientDisconnect)
    @app.exception_handler(ClientGoneError)
    def of_gone(request: Request, error: Exception) -> Response:
        # Nobody reads it; it is counted.
        return Response(status_code=499)
