"""Bodies of requests and answers: KServe's JSON with or without binary tensors, and the short form.

KServe's is in ``anyserve.rest``, the same that agents speak. The short form has the meaning that inputs have for
``anyserve.Client.infer``, and outputs in its result.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from anyserve import ModelInferRequest, ModelInferResponse, ObjectRef
from anyserve.requests import make_request
from anyserve.rest import decode_infer, encode_response
from anyserve.results import InferResult
from starlette.requests import Request

from .bodies import parse
from .errors import ApiError
from .models import ShortRequest

__all__ = ["HEADER_LENGTH", "Answer", "Call", "read_call", "read_kserve"]

HEADER_LENGTH: Final = "inference-header-content-length"

LARGE: Final = 1 << 18
"""Bytes, or elements, from which on reading and writing is left to another thread."""

T = TypeVar("T")

# In a string the quotes of such a text would be escaped, and parameters hold no objects: the first one is the body's.
_SHORT = re.compile(rb'"inputs"\s*:\s*\{')
_KSERVE = re.compile(rb'"inputs"\s*:\s*\[')


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, and the headers that it needs."""

    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Call:
    """A request, and how its answers are written."""

    request: ModelInferRequest
    write: Callable[[ModelInferResponse], Answer]

    async def answer(self, response: ModelInferResponse) -> Answer:
        """The answer for a response.

        Raises:
            ApiError: An output cannot be written like that.
        """
        if sum(math.prod(output.shape) for output in response.outputs) < LARGE:
            return self.write(response)
        return await asyncio.to_thread(self.write, response)


async def read_call(request: Request, *, binary: bool) -> Call:
    """A request in KServe's form or in short. Its answers are JSON alone unless they may be ``binary``.

    Raises:
        ApiError: It is neither.
    """
    body = await request.body()
    short, kserve = _SHORT.search(body), _KSERVE.search(body)
    if short is None or (kserve and kserve.start() < short.start()) or HEADER_LENGTH in request.headers:
        return await _kserve_call(request, body, "", "", binary)
    return await _apart(len(body), lambda: _short_call(body))


async def read_kserve(request: Request, model: str, version: str) -> Call:
    """A request in KServe's form for that model.

    Raises:
        ApiError: It is not well formed.
    """
    return await _kserve_call(request, await request.body(), model, version, binary=True)


async def _kserve_call(request: Request, body: bytes, model: str, version: str, binary: bool) -> Call:
    length = request.headers.get(HEADER_LENGTH)
    if length is not None and not (length.isascii() and length.isdigit() and len(length) < 20):
        raise ApiError(400, f"'{HEADER_LENGTH}: {length[:100]}' is not a number of bytes")
    header_length = None if length is None else int(length)
    try:
        decoded, form = await _apart(len(body), lambda: decode_infer(body, header_length, model, version))
    except ValueError as error:
        raise ApiError(400, str(error)) from error

    def write(response: ModelInferResponse) -> Answer:
        try:
            body, header_length = encode_response(response, form if binary else None)
        except ValueError as error:
            raise ApiError(400, str(error)) from error
        if header_length is None:
            return Answer(body, {"content-type": "application/json"})
        return Answer(body, {"content-type": "application/octet-stream", HEADER_LENGTH: str(header_length)})

    return Call(decoded, write)


async def _apart(size: int, work: Callable[[], T]) -> T:
    """Does the work on another thread if it takes long: others wait for this one."""
    return work() if size < LARGE else await asyncio.to_thread(work)


def _short_call(body: bytes) -> Call:
    try:
        short = parse(ShortRequest, body)
        request = make_request("", "", short.id, short.inputs, short.parameters, ())
    except (ValueError, TypeError, OverflowError) as error:
        raise ApiError(400, str(error)) from error
    return Call(request, _encode_short)


def _encode_short(response: ModelInferResponse) -> Answer:
    result = InferResult(response)
    outputs = {name: _plain(name, result[name]) for name in result}
    body = json.dumps({"id": response.id, "outputs": outputs}, separators=(",", ":"))
    return Answer(body.encode(), {"content-type": "application/json"})


def _plain(name: str, value: Any) -> Any:
    """A tensor as lists: text for BYTES, and an object's reference as its text."""
    if isinstance(value, ObjectRef):
        return {"object": str(value)}
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            message = f"output '{name}' is not UTF-8; ask for binary data, by POST /v2/models/NAME/infer"
            raise ApiError(400, message) from error
    if isinstance(value, list):
        return [_plain(name, element) for element in value]
    return value.tolist() if hasattr(value, "tolist") else value
