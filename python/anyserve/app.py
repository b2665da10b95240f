"""The decorator API: what an application serves."""

from __future__ import annotations

from ._core import Capability
from .errors import CapabilityError
from .forms import handler_form
from .handlers import Handler, HandlerOptions, TensorSpec
from .pool import DEFAULT_POOL, DeclaredPool, PoolOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, TypeVar, Unpack

    from .worker_class import Worker
    from .worker_options import WorkerOptions

    F = TypeVar("F", bound=Callable[..., Any])
    W = TypeVar("W", bound=type[Worker])

__all__ = ["AnyServe", "CapabilityValue", "Handler", "TensorSpec"]

CapabilityValue = str | int | float | bool
"""What a capability's key may map to. Values compare by their text: 1, 1.0 and "1" are equal."""


class AnyServe:
    """An application: a set of capabilities, each with the handler that serves it.

    Its functions are one pool of workers, and each of its classes is another.
    """

    def __init__(self) -> None:
        self._handlers: list[Handler] = []
        self._class_pools: list[DeclaredPool] = []

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """The functions that were declared, in order."""
        return tuple(self._handlers)

    @property
    def pools(self) -> tuple[DeclaredPool, ...]:
        """The pool ``default`` of the functions, if there are any, and those of the classes, in order."""
        if not self._handlers:
            return tuple(self._class_pools)
        options = PoolOptions(gpus=max(handler.gpus for handler in self._handlers) or None)
        return (DeclaredPool(DEFAULT_POOL, self.handlers, None, options), *self._class_pools)

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
            gpus: How many GPUs a worker needs; all functions share a worker, which has as many as the most of them.
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
        options = HandlerOptions(
            stream=stream,
            gpus=gpus,
            idempotent=idempotent,
            timeout=timeout,
            concurrency=concurrency,
            slo=slo,
            priority=priority,
            max_queue_size=max_queue_size,
            max_batch_size=max_batch_size,
            max_batch_delay=max_batch_delay,
            inputs=inputs,
            outputs=outputs,
        ).check(str(declared))

        def register(function: F) -> F:
            name = getattr(function, "__qualname__", repr(function))
            self._check_new(declared, name)
            form = handler_form(function, name, stream=stream, batch=max_batch_size > 1)
            self._handlers.append(Handler.make(function, name, declared, form, options))
            return function

        return register

    def worker(
        self,
        *,
        capability: Mapping[str, CapabilityValue] | None = None,
        capabilities: Iterable[Mapping[str, CapabilityValue]] | None = None,
        name: str | None = None,
        **options: Unpack[WorkerOptions],
    ) -> Callable[[W], W]:
        """Declares the class below it, which derives from :class:`anyserve.Worker`, as a pool of workers of its own.

        Each worker process makes one instance, whose ``handle`` serves all of the capabilities. Times are numbers of
        seconds or texts such as ``"500ms"``, ``"30s"`` and ``"5m"``; sizes are bytes or texts such as ``"16GiB"``. A
        configuration file may say otherwise than the code.

        Args:
            capability: The pairs of the one capability that the class serves.
            capabilities: Those of several, instead.
            name: The pool's name, of up to 64 letters, digits and ``_.-``. Default: that of the class.
            min: How many workers are kept, whatever comes. Default: 0.
            max: How many there are at most. Default: 1, or ``min`` if that is more.
            gpus: How many GPUs each worker takes. Default: 0.
            memory: How much of the machine's memory each worker takes.
            resources: What else each worker takes, by name: ``{"licences": 1}``.
            asleep: What a worker keeps of these while it sleeps. Default: its memory.
            idle_timeout: How long a worker may be idle before it sleeps, if it can, or stops; ``"never"`` is for ever.
                Default: 5 minutes.
            start_timeout: How long a worker may take until it is ready. Default: 10 minutes (``--start-timeout``).
            stop_timeout: How long it may take to stop once it has no request; then it is killed. Default: 5 seconds.
            min_residence: How long a worker is kept once it is ready, whoever wants its place. Default: 1 second.
            heartbeat_timeout: How long a worker may be without a sign of life before it is killed; at least 2 seconds.
                Default: 30 seconds.
            eviction_cost: How much worse it is to evict a worker of this pool than one of another. Default: 1.
            pinned: Its workers are neither evicted nor stopped for being idle. Default: no.
            max_rss: The resident memory at which a worker is killed; 0 is no limit, the default.
            max_requests: How many requests a worker serves before another takes its place; 0 is no limit, the default.
            preload: Modules that a fork server imports once, so that workers start faster.
            stream, idempotent, timeout, concurrency, slo, priority, max_queue_size, max_batch_size, max_batch_delay,
                inputs, outputs: Of ``handle``, as for :meth:`capability`.

        Raises:
            CapabilityError: There is no capability, or one that is not allowed, or one that is declared already.
            TypeError: The class, one of its methods or an option is not what it must be.
            ValueError: An option is out of bounds, or two do not go together, or the pool's name is taken.
        """

        def register(worker: W) -> W:
            from .class_pool import class_pool

            pool = class_pool(worker, name, capability, capabilities, options)
            if any(pool.name == other.name for other in self._class_pools):
                raise ValueError(f"there is a pool '{pool.name}' already; say name= to give this one another name")
            for handler in pool.handlers:
                self._check_new(handler.capability, f"pool '{pool.name}'")
            self._class_pools.append(pool)
            return worker

        return register

    def _check_new(self, capability: Capability, name: str) -> None:
        served = [(handler.capability, handler.name) for handler in self._handlers]
        served += [
            (handler.capability, f"pool '{pool.name}'") for pool in self._class_pools for handler in pool.handlers
        ]
        for other, by in served:
            if other == capability:
                raise CapabilityError(f"{capability} is served by {by} already, {name} cannot serve it too")
