"""What cannot be an object is refused at once, with what is wrong with it."""

from __future__ import annotations

import decimal
from typing import TYPE_CHECKING, Any

import anyserve
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.objects.remote import Remote


def released() -> memoryview:
    """A memoryview that looks at nothing any more."""
    view = memoryview(b"abc")
    view.release()
    return view


class BrokenDLPack:
    """It says that it speaks DLPack."""

    def __dlpack__(self, **options: Any) -> Any:
        raise RuntimeError("the memory is on the moon")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


class Reduced:
    """Pickling it would do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("unpickled",))


NO_DATATYPE = "TypeError: an array of dtype {} has no datatype in KServe v2"

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "complex": (lambda: np.zeros(2, complex), NO_DATATYPE.format("complex128")),
    "longdouble": (lambda: np.zeros(2, np.longdouble), NO_DATATYPE.format("float128")),
    "fields": (lambda: np.zeros(2, [("a", "i4")]), NO_DATATYPE.format("void32")),
    "a date": (lambda: np.array(["2020-01-01"], "M8[D]"), NO_DATATYPE.format(r"datetime64\[D\]")),
    "objects": (lambda: np.array([{}], object), "TypeError: an element of a BYTES tensor is a dict"),
    "None among text": (lambda: np.array(["a", None], object), "TypeError: an element of a BYTES tensor is a NoneType"),
    "None": (lambda: None, NO_DATATYPE.format("object")),
    "a dict": (lambda: {}, NO_DATATYPE.format("object")),
    "a set": (lambda: {1}, NO_DATATYPE.format("object")),
    "a decimal": (lambda: decimal.Decimal("1.5"), NO_DATATYPE.format("object")),
    "an instance": (lambda: Reduced(), NO_DATATYPE.format("object")),
    "a ragged list": (lambda: [[1], [2, 3]], "ValueError: .*inhomogeneous"),
    "ragged texts": (lambda: [["a"], ["b", "c"]], "ValueError: .* differ in length: 1 and 2"),
    "a closed memoryview": (released, "ValueError: operation forbidden on released memoryview"),
    "every other byte": (lambda: memoryview(b"abcdef")[::2], "TypeError: the memoryview is not contiguous"),
    "broken DLPack": (BrokenDLPack, "RuntimeError: the memory is on the moon"),
    "complex DLPack": (lambda: np.zeros(2, complex), NO_DATATYPE.format("complex128")),
}


def create(case: str) -> str:
    """Runs in a worker."""
    return str(anyserve.create(REFUSED[case][0]()))


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_datatype_is_refused(one: Remote, case: str) -> None:
    with pytest.raises(anyserve.errors.InternalError, match=f"^{REFUSED[case][1]}"):
        one.run(create, case)


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a ttl of 0": ({"ttl": 0}, "ValueError: 0 is not a positive number of seconds"),
    "a negative ttl": ({"ttl": -1.5}, "ValueError: -1.5 is not a positive number of seconds"),
    "a ttl that is no number": ({"ttl": "1s"}, "TypeError: "),
    "a key that is no text": ({"key": 5}, "TypeError: "),
    "an option that there is not": ({"pinned": True}, "TypeError: .*'pinned'"),
}


def create_with(options: dict[str, Any]) -> str:
    """Runs in a worker."""
    return str(anyserve.create(b"abc", **options))


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_that_is_wrong_is_refused(one: Remote, case: str) -> None:
    options, message = OPTIONS[case]
    with pytest.raises(anyserve.errors.InternalError, match=f"^{message}"):
        one.run(create_with, options)


def name_by(name: Any) -> None:
    """Runs in a worker."""
    for function in (anyserve.get, anyserve.stat, anyserve.delete):
        with pytest.raises(TypeError, match=r"an object is named by an ObjectRef or by its key \(str\), not by "):
            function(name)


@pytest.mark.parametrize("name", [5, None, [], {"key": "a"}])
def test_an_object_is_named_by_a_reference_or_a_key(one: Remote, name: Any) -> None:
    one.run(name_by, name)


def test_outside_a_worker_there_are_no_objects() -> None:
    with pytest.raises(RuntimeError, match="this process is no worker of an agent; use client"):
        anyserve.create(b"abc")
    with pytest.raises(RuntimeError, match="this process is no worker of an agent"):
        anyserve.call("one")
