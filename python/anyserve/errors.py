"""Every exception that anyserve raises.

    AnyserveError
    ├── CapabilityError (ValueError)      a capability or a query that is not allowed
    ├── TargetError                       the application could not be loaded
    ├── ServeError                        the agent could not start
    ├── RegistryError (ConnectionError)   the registry of replicas does not answer, or refuses
    ├── SupersededError                   a replica that started later has the same id
    └── RequestError                      a request ended with an error; has a `code`
        ├── CancelledError                nobody waits for the answer any longer
        ├── InvalidArgumentError          the request is malformed
        ├── NotFoundError                 no capability matches
        ├── ResourceExhaustedError        too much at once, or too large; may have a `retry_after`
        ├── DeadlineExceededError         the time is up
        ├── FailedPreconditionError       the server is not in a state for it
        ├── UnavailableError              no server, or the worker died
        ├── UnimplementedError            the server does not know the call
        ├── PermissionDeniedError         not allowed
        ├── UnauthenticatedError          not known
        └── InternalError                 the handler raised

A client raises the RequestErrors; a handler may raise them too, to answer its request with that code. Any other
exception of a handler answers with INTERNAL.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .status import StatusCode

__all__ = [
    "AnyserveError",
    "CancelledError",
    "CapabilityError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "PermissionDeniedError",
    "RegistryError",
    "RequestError",
    "ResourceExhaustedError",
    "ServeError",
    "StatusCode",
    "SupersededError",
    "TargetError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "from_code",
]


class _Code:
    """The ``code`` of a class of errors, looked up when it is asked for.

    A worker starts as fast as its imports are, and few ask: ``enum`` can wait.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> StatusCode:
        from .status import StatusCode

        return StatusCode[self._name]


def _code(name: str) -> Any:
    return _Code(name)


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


class RegistryError(AnyserveError, ConnectionError):
    """The registry of replicas does not answer, or refuses."""


class SupersededError(AnyserveError):
    """A replica that started later has the same id. ``by`` says where it is."""

    def __init__(self, message: str, by: str = "") -> None:
        super().__init__(message)
        self.by = by


class RequestError(AnyserveError):
    """A request ended with an error."""

    code: StatusCode = _code("UNKNOWN")
    """The gRPC status code."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds after which trying again makes sense, if the server said so."""


class CancelledError(RequestError):
    """Nobody waits for the answer any longer: the client is gone, or its deadline has passed."""

    code = _code("CANCELLED")


class InvalidArgumentError(RequestError):
    """The request is malformed."""

    code = _code("INVALID_ARGUMENT")


class NotFoundError(RequestError):
    """No capability matches."""

    code = _code("NOT_FOUND")


class ResourceExhaustedError(RequestError):
    """Too much at once, or too large."""

    code = _code("RESOURCE_EXHAUSTED")


class DeadlineExceededError(RequestError, TimeoutError):
    """The time is up."""

    code = _code("DEADLINE_EXCEEDED")


class UnavailableError(RequestError, ConnectionError):
    """No server answers, or the worker died with the request."""

    code = _code("UNAVAILABLE")


class FailedPreconditionError(RequestError):
    """The server is not in a state for it."""

    code = _code("FAILED_PRECONDITION")


class UnimplementedError(RequestError):
    """The server does not know the call."""

    code = _code("UNIMPLEMENTED")


class PermissionDeniedError(RequestError):
    """Not allowed."""

    code = _code("PERMISSION_DENIED")


class UnauthenticatedError(RequestError):
    """Not known."""

    code = _code("UNAUTHENTICATED")


class InternalError(RequestError):
    """The handler raised, or returned what is no response."""

    code = _code("INTERNAL")


def from_code(code: int, message: str, retry_after: float | None = None) -> RequestError:
    """The exception for a gRPC status; a code without a class of its own gives a RequestError."""
    from .status import StatusCode

    for kind in RequestError.__subclasses__():
        if kind.code == code:
            return kind(message, retry_after)
    error = RequestError(message, retry_after)
    known = code in StatusCode.__members__.values()
    error.code = StatusCode(code) if known else StatusCode.UNKNOWN
    return error


def __getattr__(name: str) -> object:
    if name != "StatusCode":
        raise AttributeError(f"module 'anyserve.errors' has no attribute '{name}'")
    from .status import StatusCode

    return StatusCode
