"""The tree of exceptions."""

from __future__ import annotations

import pytest
from anyserve import errors
from anyserve.errors import AnyserveError, RequestError, StatusCode, from_code

CLASSES = {
    StatusCode.CANCELLED: errors.CancelledError,
    StatusCode.INVALID_ARGUMENT: errors.InvalidArgumentError,
    StatusCode.NOT_FOUND: errors.NotFoundError,
    StatusCode.RESOURCE_EXHAUSTED: errors.ResourceExhaustedError,
    StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
    StatusCode.UNAVAILABLE: errors.UnavailableError,
    StatusCode.FAILED_PRECONDITION: errors.FailedPreconditionError,
    StatusCode.UNIMPLEMENTED: errors.UnimplementedError,
    StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    StatusCode.UNAUTHENTICATED: errors.UnauthenticatedError,
    StatusCode.INTERNAL: errors.InternalError,
}


def test_there_is_one_root() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) == 7 + len(CLASSES)
    for kind in kinds:
        assert issubclass(kind, AnyserveError)
        assert kind.__name__ in errors.__all__


def test_errors_are_what_python_calls_them_too() -> None:
    assert issubclass(errors.CapabilityError, ValueError)
    assert issubclass(errors.DeadlineExceededError, TimeoutError)
    assert issubclass(errors.UnavailableError, ConnectionError)


@pytest.mark.parametrize("code", StatusCode)
def test_every_code_has_its_class(code: StatusCode) -> None:
    error = from_code(code, "the reason")
    assert type(error) is CLASSES.get(code, RequestError)
    assert (error.code, str(error), error.retry_after) == (code, "the reason", None)


@pytest.mark.parametrize("code", CLASSES)
def test_every_class_has_its_code(code: StatusCode) -> None:
    error = CLASSES[code]("the reason", 1.5)
    assert isinstance(error, RequestError)
    assert (error.code, str(error), error.retry_after) == (code, "the reason", 1.5)


@pytest.mark.parametrize("code", [0, 17, -1])
def test_a_code_that_is_none_is_unknown(code: int) -> None:
    error = from_code(code, "the reason")
    assert (type(error), error.code) == (RequestError, StatusCode.UNKNOWN)


def test_a_code_of_one_error_is_not_that_of_another() -> None:
    assert from_code(StatusCode.ABORTED, "").code is StatusCode.ABORTED
    assert from_code(StatusCode.DATA_LOSS, "").code is StatusCode.DATA_LOSS
    assert RequestError("").code is StatusCode.UNKNOWN


@pytest.mark.parametrize("kind", [errors.TargetError, errors.ServeError])
def test_errors_at_the_start_may_have_a_traceback(kind: type[errors.TargetError | errors.ServeError]) -> None:
    assert (str(kind("why")), kind("why").traceback, kind("why", "where").traceback) == ("why", "", "where")
