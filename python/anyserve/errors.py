"""Every exception that anyserve raises.

    AnyserveError
    ├── CapabilityError (ValueError)      a capability or a query that is not allowed
    ├── TargetError                       the application could not be loaded
    ├── ServeError                        the agent could not start
    └── RequestError                      a request ended with an error; has a `code`
        ├── CancelledError                nobody waits for the answer any longer
        ├── InvalidArgumentError          the request is malformed
        ├── NotFoundError                 no capability matches
        ├── ResourceExhaustedError        too much at once, or too large; may have a `retry_after`
        ├── DeadlineExceededError         the time is up
        ├── UnavailableError              no server, or the worker died
        ├── UnimplementedError            the server does not know the call
        ├── PermissionDeniedError         not allowed
        ├── UnauthenticatedError          not known
        └── InternalError                 the handler raised

A client raises the RequestErrors; a handler may raise them too, to answer its request with that code. Any other
exception of a handler answers with INTERNAL.
"""

from __future__ import annotations

import enum

__all__ = [
    "AnyserveError",
    "CancelledError",
    "CapabilityError",
    "DeadlineExceededError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "PermissionDeniedError",
    "RequestError",
    "ResourceExhaustedError",
    "ServeError",
    "StatusCode",
    "TargetError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "from_code",
]


class StatusCode(enum.IntEnum):
    """The gRPC status codes (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md)."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class AnyserveError(Exception):
    """The root of all exceptions of anyserve."""


class CapabilityError(AnyserveError, ValueError):
    """A capability or a query that is not allowed; the message names the key."""


class TargetError(AnyserveError):
    """The application could not be loaded. ``traceback`` is the user's own, or empty."""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class ServeError(AnyserveError):
    """The agent could not start. ``traceback`` is that of the user's application, or empty."""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class RequestError(AnyserveError):
    """A request ended with an error."""

    code: StatusCode = StatusCode.UNKNOWN
    """The gRPC status code."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds after which trying again makes sense, if the server said so."""


class CancelledError(RequestError):
    """Nobody waits for the answer any longer: the client is gone, or its deadline has passed."""

    code = StatusCode.CANCELLED


class InvalidArgumentError(RequestError):
    """The request is malformed."""

    code = StatusCode.INVALID_ARGUMENT


class NotFoundError(RequestError):
    """No capability matches."""

    code = StatusCode.NOT_FOUND


class ResourceExhaustedError(RequestError):
    """Too much at once, or too large."""

    code = StatusCode.RESOURCE_EXHAUSTED


class DeadlineExceededError(RequestError, TimeoutError):
    """The time is up."""

    code = StatusCode.DEADLINE_EXCEEDED


class UnavailableError(RequestError, ConnectionError):
    """No server answers, or the worker died with the request."""

    code = StatusCode.UNAVAILABLE


class UnimplementedError(RequestError):
    """The server does not know the call."""

    code = StatusCode.UNIMPLEMENTED


class PermissionDeniedError(RequestError):
    """Not allowed."""

    code = StatusCode.PERMISSION_DENIED


class UnauthenticatedError(RequestError):
    """Not known."""

    code = StatusCode.UNAUTHENTICATED


class InternalError(RequestError):
    """The handler raised, or returned what is no response."""

    code = StatusCode.INTERNAL


def from_code(code: int, message: str, retry_after: float | None = None) -> RequestError:
    """The exception for a gRPC status; a code without a class of its own gives a RequestError."""
    for kind in RequestError.__subclasses__():
        if kind.code == code:
            return kind(message, retry_after)
    error = RequestError(message, retry_after)
    known = code in StatusCode.__members__.values()
    error.code = StatusCode(code) if known else StatusCode.UNKNOWN
    return error
