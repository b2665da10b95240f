"""What @app.capability takes, and what it refuses with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from anyserve import AnyServe, Capability, Context, ModelInferRequest, ModelInferResponse, TensorSpec
from anyserve.errors import CapabilityError


def handler(request: ModelInferRequest) -> ModelInferResponse:
    return ModelInferResponse()


def test_the_decorator_leaves_the_function_as_it_is() -> None:
    app = AnyServe()
    assert app.capability(type="a")(handler) is handler
    assert app.capability(type="b")(handler) is handler
    assert [str(declared.capability) for declared in app.handlers] == ["{type: a}", "{type: b}"]


def test_what_was_declared_is_kept() -> None:
    app = AnyServe()
    decorate = app.capability(
        capability={"timeout": "long"},
        type="chat",
        gpus=2,
        idempotent=True,
        timeout=1.5,
        inputs=[("x", "FP32", [-1, 3])],
        outputs=[TensorSpec("y", "BYTES", (1,))],
    )
    decorate(handler)
    [declared] = app.handlers
    assert declared.function is handler
    assert declared.capability.pairs == {"timeout": "long", "type": "chat"}
    assert (declared.gpus, declared.idempotent, declared.timeout) == (2, True, 1.5)
    assert declared.inputs == [("x", "FP32", [-1, 3])]
    assert declared.outputs == [("y", "BYTES", [1])]


def test_a_capability_is_its_canonical_pairs() -> None:
    capability = Capability({"Max-Len": 1.0, "b": True})
    assert capability.pairs == {"b": "true", "max_len": "1"}
    assert capability == Capability({"max_len": "1", "B": "true"})
    assert hash(capability) == hash(Capability({"max_len": 1, "b": True}))
    assert capability != Capability({"b": True})
    assert (str(capability), repr(capability)) == ("{b: true, max_len: 1}", "Capability({b: true, max_len: 1})")
    assert capability.matches({"B": "true"})
    assert not capability.matches({"b": "true", "c": 1})


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({}, "at least one"),
        ({"": 1}, "key '' is not allowed"),
        ({"1a": 1}, "key '1a' is not allowed"),
        ({"a b": 1}, "key 'a b' is not allowed"),
        ({"ä": 1}, "key 'ä' is not allowed"),
        ({"k" * 65: 1}, "is not allowed"),
        ({"a-b": 1, "A_B": 2}, "key 'a_b' is there twice"),
        ({"a": "v" * 257}, "key 'a' is 257 bytes"),
        ({"a": float("inf")}, "key 'a' is not a finite number"),
        ({f"k{index}": index for index in range(33)}, "33 capability pairs"),
    ],
)
def test_pairs_that_are_not_allowed_are_refused_with_their_key(pairs: dict[str, Any], message: str) -> None:
    with pytest.raises(CapabilityError, match=message):
        AnyServe().capability(capability=pairs)
    with pytest.raises(ValueError, match=message):
        Capability(pairs)


@pytest.mark.parametrize("value", [None, [1], b"a", object()])
def test_a_value_of_another_type_is_refused_with_its_key(value: Any) -> None:
    with pytest.raises(TypeError, match="capability key 'a'"):
        AnyServe().capability(a=value)


def test_the_same_capability_twice_is_refused_with_both_handlers() -> None:
    app = AnyServe()
    app.capability(type="a", n=1)(handler)
    with pytest.raises(CapabilityError, match=r"\{n: 1, type: a\} is served by handler already, .*other cannot"):

        @app.capability(n=1.0, TYPE="a")
        def other(request: ModelInferRequest) -> ModelInferResponse:
            return ModelInferResponse()


def test_a_key_both_ways_is_refused() -> None:
    with pytest.raises(CapabilityError, match="'type' is given twice"):
        AnyServe().capability(capability={"type": "a"}, type="b")


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_must_be_positive(timeout: float) -> None:
    with pytest.raises(ValueError, match=r"timeout=.* of \{type: a\}"):
        AnyServe().capability(type="a", timeout=timeout)


def test_gpus_cannot_be_negative() -> None:
    with pytest.raises(ValueError, match=r"gpus=-1 of \{type: a\}"):
        AnyServe().capability(type="a", gpus=-1)


def nothing() -> ModelInferResponse:
    return ModelInferResponse()


def three(request: ModelInferRequest, context: Context, more: int) -> ModelInferResponse:
    return ModelInferResponse()


def keyword(request: ModelInferRequest, *, more: int) -> ModelInferResponse:
    return ModelInferResponse()


@pytest.mark.parametrize("function", [nothing, three, keyword])
def test_a_function_that_cannot_be_served_is_refused_by_name(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=f"handler {function.__name__}"):
        AnyServe().capability(type="a")(function)


def with_context(request: ModelInferRequest, context: Context) -> ModelInferResponse:
    return ModelInferResponse()


def with_optional_context(request: ModelInferRequest, context: Context | None = None) -> ModelInferResponse:
    return ModelInferResponse()


def with_option(request: ModelInferRequest, option: int = 1) -> ModelInferResponse:
    return ModelInferResponse()


class Method:
    def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return ModelInferResponse()

    def __call__(self, request: ModelInferRequest) -> ModelInferResponse:
        return ModelInferResponse()


@pytest.mark.parametrize(
    ("function", "wants_context"),
    [
        (handler, False),
        (with_context, True),
        (with_optional_context, True),
        (with_option, False),
        (lambda request: handler(request), False),
        (Method().handle, True),
        (Method(), False),
    ],
)
def test_the_context_is_for_those_who_take_it(function: Callable[..., Any], wants_context: bool) -> None:
    app = AnyServe()
    app.capability(type="a")(function)
    assert app.handlers[0].wants_context is wants_context


@pytest.mark.parametrize("specs", [[("x", "FP8", [1])], [TensorSpec("x", "float32", [1])]])
def test_a_declared_tensor_has_a_known_datatype(specs: Any) -> None:
    with pytest.raises(ValueError, match=r"handler handler: datatype '.*' of 'x' is unknown; known are BOOL"):
        AnyServe().capability(type="a", inputs=specs)(handler)
    with pytest.raises(ValueError, match="handler handler"):
        AnyServe().capability(type="a", outputs=specs)(handler)


@pytest.mark.parametrize("specs", [["x"], [("x", "FP32")], [("x", "FP32", 1)], [("x", "FP32", ["a"])], [1]])
def test_a_declared_tensor_is_a_name_a_datatype_and_a_shape(specs: Any) -> None:
    with pytest.raises(TypeError, match=r"handler handler: .* is not a"):
        AnyServe().capability(type="a", inputs=specs)(handler)
