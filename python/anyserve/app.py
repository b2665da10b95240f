"""The decorator API: what an application serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from ._core import Capability
from .errors import CapabilityError
from .forms import handler_form
from .kserve import DATATYPES

__all__ = ["AnyServe", "CapabilityValue", "Handler", "TensorSpec"]

CapabilityValue = str | int | float | bool
"""What a capability's key may map to. Values compare by their text: 1, 1.0 and "1" are equal."""

LOWEST_PRIORITY = 9
MOST_AT_ONCE = 1024
"""The most that a concurrency or a batch size may be."""
LONGEST_SECONDS = 1e9
"""The longest time that an option may give: 30 years."""
ASYNC_CONCURRENCY = 32
"""How many requests an async handler runs at once, unless it says."""

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
    kind: str
    is_async: bool
    wants_context: bool
    idempotent: bool
    timeout: float | None
    concurrency: int
    slo: float | None
    priority: int | None
    max_queue_size: int | None
    max_batch_size: int
    max_batch_delay: float
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
        concurrency: int | None = None,
        slo: float | None = None,
        priority: int | None = None,
        max_queue_size: int | None = None,
        max_batch_size: int = 1,
        max_batch_delay: float = 0.0,
        inputs: Iterable[TensorSpec | tuple[str, str, Sequence[int]]] = (),
        outputs: Iterable[TensorSpec | tuple[str, str, Sequence[int]]] = (),
        **pairs: CapabilityValue,
    ) -> Callable[[F], F]:
        """Declares the function below it as the handler of a capability.

        The handler is called as ``handler(request)`` or, if it takes two arguments, ``handler(request, context)``,
        and returns a :class:`ModelInferResponse`. If it raises a :class:`anyserve.errors.RequestError`, the client
        gets that error; anything else it raises reaches the client as INTERNAL, with the exception's type and
        message.

        With ``stream=True`` it has any number of responses: as ``handler(request, context, stream)`` it sends them by
        ``stream.send(response)``; as a generator it yields them. With ``max_batch_size=N`` it takes a list of requests
        (and a list of contexts) and returns a list of responses, or of exceptions for those that failed. It may be
        ``async`` in all these forms; then it runs on the event loop of its worker.

        Every keyword that is not an option is a pair of the capability: ``@app.capability(type="chat",
        model="llama-70b")``.

        Args:
            capability: Pairs too, for keys that are also the name of an option: ``capability={"timeout": "long"}``.
            stream: The handler sends many responses for one request. A generator streams without it too.
            gpus: How many GPUs a worker needs. Recorded; this version does not hand GPUs out.
            idempotent: Running the handler twice for one request does no harm. If a worker dies with the request,
                another worker then runs it once more, instead of the client being told UNAVAILABLE.
            timeout: Seconds that the handler may run. After that its request ends with DEADLINE_EXCEEDED. Alone in its
                worker it is ended with the worker, because nothing else ends a handler that hangs; beside others it is
                told to give up (``context.cancelled``, or a CancelledError in an async handler), and the worker ends
                only if it has not after 5 seconds.
            concurrency: How many requests (or batches) of this capability one worker runs at once: on as many threads,
                or, if the handler is async, on one event loop. Default: 1; 32 for an async handler without batches.
            slo: The target in seconds from a request's arrival to its first response. Requests that are due first go
                first, and those that would have to wait longer are refused at once, with RESOURCE_EXHAUSTED.
            priority: Of requests that do not say: 1 is the highest, 9 the lowest. Default: 5.
            max_queue_size: How many requests of this capability may wait. Default: as many as for all together
                (``--max-queue-size``).
            max_batch_size: The most requests in one call of the handler.
            max_batch_delay: Seconds that a request may wait for others to fill a batch while a worker is free.
            inputs: The tensors that the handler reads, for clients that ask by ModelMetadata. Not enforced.
            outputs: The tensors that it answers with, likewise.

        Raises:
            CapabilityError: The capability is empty, has a key that is not allowed, or is declared already.
            TypeError: The function does not take the arguments that its options ask for.
            ValueError: An option is out of bounds.
        """
        overlap = sorted(set(capability or ()) & set(pairs))
        if overlap:
            raise CapabilityError(f"capability key '{overlap[0]}' is given twice, in capability= and as a keyword")
        declared = Capability({**(capability or {}), **pairs})
        options = _Options(timeout, concurrency, slo, priority, max_queue_size, max_batch_size, max_batch_delay, gpus)
        options.check(str(declared))
        if stream and max_batch_size > 1:
            raise ValueError(f"{declared}: stream=True and max_batch_size={max_batch_size} do not go together")

        def register(function: F) -> F:
            name = getattr(function, "__qualname__", repr(function))
            for earlier in self._handlers:
                if earlier.capability == declared:
                    raise CapabilityError(f"{declared} is served by {earlier.name} already, {name} cannot serve it too")
            form = handler_form(function, name, stream=stream, batch=max_batch_size > 1)
            handler = Handler(
                function=function,
                name=name,
                capability=declared,
                kind=form.kind,
                is_async=form.is_async,
                wants_context=form.wants_context,
                idempotent=idempotent,
                timeout=timeout,
                concurrency=concurrency or (ASYNC_CONCURRENCY if form.is_async and max_batch_size == 1 else 1),
                slo=slo,
                priority=priority,
                max_queue_size=max_queue_size,
                max_batch_size=max_batch_size,
                max_batch_delay=max_batch_delay,
                gpus=gpus,
                inputs=_specs(inputs, name),
                outputs=_specs(outputs, name),
            )
            self._handlers.append(handler)
            return function

        return register


class _Options(NamedTuple):
    """The options that have bounds."""

    timeout: float | None
    concurrency: int | None
    slo: float | None
    priority: int | None
    max_queue_size: int | None
    max_batch_size: int
    max_batch_delay: float
    gpus: int

    def check(self, capability: str) -> None:
        """Raises ValueError for the first one that is out of bounds, TypeError if it is no number."""
        bounds = {
            "concurrency": (1, MOST_AT_ONCE),
            "priority": (1, LOWEST_PRIORITY),
            "max_queue_size": (1, 2**32 - 1),
            "max_batch_size": (1, MOST_AT_ONCE),
            "gpus": (0, MOST_AT_ONCE),
        }
        for name, (lowest, highest) in bounds.items():
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name}={value!r} of {capability} is not a whole number")
            if not lowest <= value <= highest:
                raise ValueError(f"{name}={value} of {capability} is not between {lowest} and {highest}")
        for name in ("timeout", "slo", "max_batch_delay"):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise TypeError(f"{name}={value!r} of {capability} is not a number of seconds")
            positive = value > 0 or (name == "max_batch_delay" and value == 0)
            if not positive or value > LONGEST_SECONDS:
                raise ValueError(f"{name}={value} of {capability} is not a positive number of seconds")
        if self.max_batch_delay and self.max_batch_size == 1:
            raise ValueError(f"max_batch_delay of {capability} needs a max_batch_size above 1")


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
