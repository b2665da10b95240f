"""What a request asks for: headers first, then parameters, then its model's name."""

from __future__ import annotations

from anyserve._core import ModelInferRequest
from starlette.requests import Request

from .errors import ApiError
from .forward import Forwarder
from .lookup import Query

__all__ = ["take_query"]

HEADER = b"x-cap-"
PARAMETER = "cap."


def take_query(http: Request, request: ModelInferRequest, forwarder: Forwarder) -> Query:
    """The capability that is asked for, which is taken out of the request's parameters.

    Raises:
        ApiError: There is none, or it is not well formed.
    """
    of_headers = _of_headers(http)
    of_parameters: Query = {}
    for name in [name for name in request.parameters if name.startswith(PARAMETER)]:
        of_parameters[name.removeprefix(PARAMETER)] = request.parameters.pop(name)
    if query := of_headers or of_parameters:
        return query
    if request.model_name:
        return forwarder.of_model(request.model_name, request.model_version)
    raise ApiError(400, "say what is wanted, such as by the header 'x-cap-type: chat'")


def _of_headers(http: Request) -> Query:
    query: Query = {}
    for name, value in http.headers.raw:
        if not name.startswith(HEADER):
            continue
        key = name.removeprefix(HEADER).decode("ascii")
        if key in query:
            raise ApiError(400, f"the header 'x-cap-{key}' is there twice")
        try:
            query[key] = value.decode()
        except UnicodeDecodeError as error:
            raise ApiError(400, f"the header 'x-cap-{key}' is not UTF-8") from error
    return query
