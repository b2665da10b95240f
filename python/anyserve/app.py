"""The decorator API: what an application serves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from ._core import Capability
from .errors import CapabilityError
from .kserve import DATATYPES

__all__ = ["AnyServe", "CapabilityValue", "Handler", "TensorSpec"]

CapabilityValue = str | int | float | bool
"""What a capability's key may map to. Values compare by their text: 1, 1.0 and "1" are equal."""

F = TypeVar("F", bound=Callable[..., Any])


class TensorSpec(NamedTuple):
    """A declared input or output; a plain ``(name, datatype, shape)`` tuple will do as well."""

    name: str
    datatype: str
    """One of :data:`anyserve.kserve.DATATYPES`."""
    shape: Sequence[int]
    """-1 stands for a dimension of any size."""


class Handler(NamedTuple):
    """A handler and all that was declared with it."""

    function: Callable[..., Any]
    name: str
    capability: Capability
    wants_context: bool
    idempotent: bool
    timeout: float | None
    gpus: int
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class AnyServe:
    """An application: a set of capabilities, each with the handler that serves it."""

    def __init__(self) -> None:
        self._handlers: list[Handler] = []

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """What was declared, in order."""
        return tuple(self._handlers)

    def capability(
        self,
        *,
        capability: Mapping[str, CapabilityValue] | None = None,
        stream: bool = False,
        gpus: int = 0,
        idempotent: bool = False,
        timeout: float | None = None,
        inputs: Iterable[TensorSpec | tuple[str, str, Sequence[int]]] = (),
        outputs: Iterable[TensorSpec | tuple[str, str, Sequence[int]]] = (),
        **pairs: CapabilityValue,
    ) -> Callable[[F], F]:
        """Declares the function below it as the handler of a capability.

        The handler is called as ``handler(request)`` or, if it takes two arguments, ``handler(request, context)``,
        and returns a :class:`ModelInferResponse`. If it raises a :class:`anyserve.errors.RequestError`, the client
        gets that error; anything else it raises reaches the client as INTERNAL, with the exception's type and
        message.

        Every keyword that is not an option is a pair of the capability: ``@app.capability(type="chat",
        model="llama-70b")``.

        Args:
            capability: Pairs too, for keys that are also the name of an option: ``capability={"timeout": "long"}``.
            stream: The handler sends many responses for one request. Not available in this version.
            gpus: How many GPUs a worker needs. Recorded; this version does not hand GPUs out.
            idempotent: Running the handler twice for one request does no harm. If a worker dies with the request,
                another worker then runs it once more, instead of the client being told UNAVAILABLE.
            timeout: Seconds that the handler may run. After that its request ends with DEADLINE_EXCEEDED, and its
                worker is killed and replaced, because nothing else ends a handler that hangs.
            inputs: The tensors that the handler reads, for clients that ask by ModelMetadata. Not enforced.
            outputs: The tensors that it answers with, likewise.

        Raises:
            CapabilityError: The capability is empty, has a key that is not allowed, or is declared already.
            TypeError: The function takes neither one nor two arguments, or is a kind of function that is not served.
        """
        overlap = sorted(set(capability or ()) & set(pairs))
        if overlap:
            raise CapabilityError(f"capability key '{overlap[0]}' is given twice, in capability= and as a keyword")
        declared = Capability({**(capability or {}), **pairs})
        if stream:
            raise CapabilityError(f"{declared}: stream=True is not available in this version of anyserve")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout={timeout} of {declared} is not a positive number of seconds")
        if gpus < 0:
            raise ValueError(f"gpus={gpus} of {declared} is negative")

        def register(function: F) -> F:
            name = getattr(function, "__qualname__", repr(function))
            for earlier in self._handlers:
                if earlier.capability == declared:
                    raise CapabilityError(f"{declared} is served by {earlier.name} already, {name} cannot serve it too")
            handler = Handler(
                function=function,
                name=name,
                capability=declared,
                wants_context=_wants_context(function, name),
                idempotent=idempotent,
                timeout=timeout,
                gpus=gpus,
                inputs=_specs(inputs, name),
                outputs=_specs(outputs, name),
            )
            self._handlers.append(handler)
            return function

        return register


def _wants_context(function: Callable[..., Any], name: str) -> bool:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"handler {name} is async; this version of anyserve serves plain functions")
    if inspect.isgeneratorfunction(function):
        raise TypeError(f"handler {name} is a generator; this version of anyserve serves plain functions")
    signature = inspect.signature(function)
    for arguments in (1, 2):
        try:
            signature.bind(*range(arguments))
        except TypeError:
            continue
        parameters = list(signature.parameters.values())
        # A second parameter that has a default is the handler's own business, unless it is the context by name.
        takes_two = len(parameters) > 1 and parameters[1].name == "context"
        return arguments == 2 or takes_two
    raise TypeError(f"handler {name}{signature} must take (request) or (request, context)")


def _specs(specs: Iterable[TensorSpec | tuple[str, str, Sequence[int]]], name: str) -> list[TensorSpec]:
    checked = []
    for given in specs:
        try:
            spec = TensorSpec(*given)
            shape = [int(dimension) for dimension in spec.shape]
        except (TypeError, ValueError):
            raise TypeError(f"handler {name}: {given!r} is not a (name, datatype, shape)") from None
        if spec.datatype not in DATATYPES:
            known = ", ".join(DATATYPES)
            raise ValueError(
                f"handler {name}: datatype '{spec.datatype}' of '{spec.name}' is unknown; known are {known}"
            )
        checked.append(TensorSpec(spec.name, spec.datatype, shape))
    return checked
