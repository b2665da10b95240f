"""A handler and what is declared with it."""

from __future__ import annotations

from .kserve import DATATYPES
from .record import NamedTuple
from .units import LONGEST_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Self, TypeAlias

    from ._core import Capability
    from .forms import Form

    Specs: TypeAlias = Iterable["TensorSpec | tuple[str, str, Sequence[int]]"]

__all__ = ["Handler", "HandlerOptions", "TensorSpec"]

LOWEST_PRIORITY = 9
MOST_AT_ONCE = 1024
"""The most that a concurrency or a batch size may be."""
ASYNC_CONCURRENCY = 32
"""How many requests an async handler runs at once, unless it says."""

_WHOLE_NUMBERS = {
    "concurrency": (1, MOST_AT_ONCE),
    "priority": (1, LOWEST_PRIORITY),
    "max_queue_size": (1, 2**32 - 1),
    "max_batch_size": (1, MOST_AT_ONCE),
    "gpus": (0, MOST_AT_ONCE),
}
_SECONDS = ("timeout", "slo", "max_batch_delay")


class TensorSpec(NamedTuple):
    """A declared input or output; a plain ``(name, datatype, shape)`` tuple will do as well."""

    name: str
    datatype: str
    """One of :data:`anyserve.kserve.DATATYPES`."""
    shape: Sequence[int]
    """-1 stands for a dimension of any size."""


class HandlerOptions(NamedTuple):
    """How a handler is called; as :meth:`anyserve.AnyServe.capability` describes it."""

    stream: bool = False
    gpus: int = 0
    idempotent: bool = False
    timeout: float | None = None
    concurrency: int | None = None
    slo: float | None = None
    priority: int | None = None
    max_queue_size: int | None = None
    max_batch_size: int = 1
    max_batch_delay: float = 0.0
    inputs: Specs = ()
    outputs: Specs = ()

    def check(self, of: str) -> Self:
        """Raises ValueError for the first one that is out of bounds, TypeError if it is no number."""
        for name, (lowest, highest) in _WHOLE_NUMBERS.items():
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name}={value!r} of {of} is not a whole number")
            if not lowest <= value <= highest:
                raise ValueError(f"{name}={value} of {of} is not between {lowest} and {highest}")
        for name in _SECONDS:
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise TypeError(f"{name}={value!r} of {of} is not a number of seconds")
            positive = value > 0 or (name == "max_batch_delay" and value == 0)
            if not positive or value > LONGEST_SECONDS:
                raise ValueError(f"{name}={value} of {of} is not a positive number of seconds")
        if self.max_batch_delay and self.max_batch_size == 1:
            raise ValueError(f"max_batch_delay of {of} needs a max_batch_size above 1")
        if self.stream and self.max_batch_size > 1:
            raise ValueError(f"{of}: stream=True and max_batch_size={self.max_batch_size} do not go together")
        return self


class Handler(NamedTuple):
    """A handler and all that was declared with it."""

    function: Callable[..., Any]
    """For a class's handler, the method that is not bound to an instance yet."""
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

    @staticmethod
    def make(
        function: Callable[..., Any], name: str, capability: Capability, form: Form, options: HandlerOptions
    ) -> Handler:
        """Puts together what was said and what follows from it.

        Raises:
            TypeError, ValueError: A declared input or output is no such thing.
        """
        many = form.is_async and options.max_batch_size == 1
        return Handler(
            function=function,
            name=name,
            capability=capability,
            kind=form.kind,
            is_async=form.is_async,
            wants_context=form.wants_context,
            idempotent=options.idempotent,
            timeout=options.timeout,
            concurrency=options.concurrency or (ASYNC_CONCURRENCY if many else 1),
            slo=options.slo,
            priority=options.priority,
            max_queue_size=options.max_queue_size,
            max_batch_size=options.max_batch_size,
            max_batch_delay=options.max_batch_delay,
            gpus=options.gpus,
            inputs=_specs(options.inputs, name),
            outputs=_specs(options.outputs, name),
        )


def _specs(specs: Specs, name: str) -> list[TensorSpec]:
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
