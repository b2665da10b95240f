"""What ``@app.worker`` makes of a class: a pool."""

from __future__ import annotations

from types import FunctionType, MethodType

from . import signature
from ._core import Capability
from .errors import CapabilityError
from .forms import handler_form
from .handlers import Handler, HandlerOptions
from .pool import DEFAULT_POOL, DeclaredPool, PoolOptions
from .pool_options import check_options, is_pool_name, nearest
from .units import parse_duration
from .worker_class import HOOKS, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .forms import Form

__all__ = ["class_pool"]

_HANDLER_OPTIONS = [name for name in HandlerOptions._fields if name != "gpus"]
# The target time is the capabilities' own here; as an option of the pool it is for those who cannot change them.
_POOL_OPTIONS = ["memory", *(name for name in PoolOptions._fields if name != "slo")]


def class_pool(
    worker: Any,
    name: str | None,
    capability: Mapping[str, Any] | None,
    capabilities: Any,
    options: Mapping[str, Any],
) -> DeclaredPool:
    """The pool of a class; the arguments are those of :meth:`anyserve.AnyServe.worker`.

    Raises:
        CapabilityError, TypeError, ValueError: What is wrong, with the pool, and what would be right.
    """
    if not isinstance(worker, type) or not issubclass(worker, Worker) or worker is Worker:
        shown = getattr(worker, "__qualname__", repr(worker))
        raise TypeError(f"@app.worker is for classes derived from anyserve.Worker, which {shown} is not")
    pool = worker.__name__ if name is None else name
    if not is_pool_name(pool) or pool == DEFAULT_POOL:
        taken = "; that is the pool of the application's functions" if pool == DEFAULT_POOL else ""
        raise ValueError(f"{pool!r} cannot be the name of a pool{taken}; say name= with up to 64 letters, digits, _.-")
    declared = _capabilities(pool, capability, capabilities)
    pool_options, handler_options = _split(pool, options)
    form = _form(pool, worker, handler_options)
    _check_class(pool, worker, form)
    if pool_options.asleep is not None and worker.on_sleep is Worker.on_sleep:
        raise ValueError(
            f"pool '{pool}': asleep: its workers never sleep; {worker.__name__} needs an on_sleep for that"
        )
    handle = worker.handle
    handlers = [Handler.make(handle, handle.__qualname__, one, form, handler_options) for one in declared]
    return DeclaredPool(pool, tuple(handlers), worker, pool_options)


def _capabilities(pool: str, capability: Mapping[str, Any] | None, capabilities: Any) -> list[Capability]:
    if (capability is None) == (capabilities is None):
        both = "not both" if capability is not None else 'such as capabilities=[{"type": "chat"}]'
        raise CapabilityError(f"pool '{pool}': say capability= or capabilities=, {both}")
    given: Any = [capability] if capabilities is None else capabilities
    if hasattr(given, "items") or isinstance(given, str) or not hasattr(given, "__iter__"):
        raise TypeError(f"pool '{pool}': capabilities={given!r} is not a list of mappings; for one, say capability=")
    declared: list[Capability] = []
    for pairs in given:
        if not hasattr(pairs, "items"):
            raise TypeError(f"pool '{pool}': the capability {pairs!r} is not a mapping such as {{'type': 'chat'}}")
        try:
            found = Capability(dict(pairs))
        except (CapabilityError, TypeError) as error:
            raise type(error)(f"pool '{pool}': {error}") from None
        if found in declared:
            raise CapabilityError(f"pool '{pool}': {found} is declared twice")
        declared.append(found)
    if not declared:
        raise CapabilityError(f"pool '{pool}': capabilities= is empty; it needs at least one")
    return declared


def _split(pool: str, options: Mapping[str, Any]) -> tuple[PoolOptions, HandlerOptions]:
    """The options of the pool and those of its handler."""
    known = [*_POOL_OPTIONS, *_HANDLER_OPTIONS]
    for option in options:
        if option not in known:
            raise TypeError(f"pool '{pool}': there is no option '{option}'{nearest(option, known)}")
    given = {option: options[option] for option in _POOL_OPTIONS if option in options}
    pool_options = check_options(pool, given)
    chosen = {option: options[option] for option in _HANDLER_OPTIONS if option in options}
    for option in ("timeout", "slo", "max_batch_delay"):
        if isinstance(chosen.get(option), str):
            try:
                chosen[option] = parse_duration(chosen[option])
            except ValueError as error:
                raise ValueError(f"pool '{pool}': {option}: {error}") from None
    handler_options = HandlerOptions(gpus=pool_options.gpus or 0, **chosen)
    return pool_options, handler_options.check(f"pool '{pool}'")


def _form(pool: str, worker: type[Worker], options: HandlerOptions) -> Form:
    found = _method(worker, "handle")
    if found is None:
        raise TypeError(f"pool '{pool}': {worker.__name__} has no method handle(self, request, context)")
    if not isinstance(found, FunctionType):
        kind = type(found).__name__
        raise TypeError(f"pool '{pool}': {worker.__name__}.handle is a {kind}; it must be a method of the instance")
    # Bound to anything: what is asked for is what is left of the arguments.
    bound = MethodType(found, worker)
    try:
        return handler_form(bound, found.__qualname__, stream=options.stream, batch=options.max_batch_size > 1)
    except TypeError as error:
        raise TypeError(f"pool '{pool}': {error}") from None
    except ValueError:
        # There is no `self` to bind.
        shown = f"{found.__qualname__}{signature.text(found)}"
        raise TypeError(f"pool '{pool}': {shown} must be handle(self, request, context)") from None


def _check_class(pool: str, worker: type[Worker], form: Form) -> None:
    """Sees that an instance can be made without arguments, and that the hooks can be called."""
    missing = sorted(getattr(worker, "__abstractmethods__", ()))
    if missing:
        raise TypeError(f"pool '{pool}': {worker.__name__} is abstract; it does not define {', '.join(missing)}")
    made_by = _method(worker, "__init__")
    if isinstance(made_by, FunctionType) and not signature.read(made_by).takes(1):
        shown = signature.text(made_by)
        hint = "give the arguments defaults, or load what it needs in on_start"
        raise TypeError(f"pool '{pool}': {worker.__name__}.__init__{shown} cannot be called without arguments; {hint}")
    for hook, arguments in HOOKS.items():
        _check_hook(pool, worker, hook, arguments, form)


def _check_hook(pool: str, worker: type[Worker], hook: str, arguments: int, form: Form) -> None:
    found = _method(worker, hook)
    if not isinstance(found, FunctionType):
        kind = type(found).__name__
        raise TypeError(f"pool '{pool}': {worker.__name__}.{hook} is a {kind}; it must be a method of the instance")
    if not signature.read(found).takes(1 + arguments):
        right = f"{hook}(self, level)" if arguments else f"{hook}(self)"
        raise TypeError(f"pool '{pool}': {found.__qualname__}{signature.text(found)} must be {right}")
    if signature.yields(found):
        raise TypeError(f"pool '{pool}': {found.__qualname__} is a generator; nothing would run it")
    if signature.is_async(found) and not form.is_async:
        raise TypeError(
            f"pool '{pool}': {found.__qualname__} is async and handle is not; there is no event loop to run it"
        )


def _method(worker: type[Worker], name: str) -> Any:
    """What stands in the class, before it is bound to anything."""
    for base in worker.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None
