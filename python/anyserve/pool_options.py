"""What the options of a pool may be; code and configuration files have the same rules."""

from __future__ import annotations

from .pool import MOST_WORKERS, PoolOptions
from .units import LONGEST_SECONDS, parse_duration, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["check_option", "check_options", "is_pool_name", "nearest"]

LONGEST_NAME = 64
LEAST_HEARTBEAT_TIMEOUT = 2.0
"""A heartbeat comes every second."""
LARGEST_AMOUNT = 2**63 - 1

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def is_pool_name(name: object) -> bool:
    """True for what matches ``[A-Za-z0-9][A-Za-z0-9_.-]{0,63}``."""
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME:
        return False
    return name[0] in _LETTERS and set(name) <= _LETTERS | set("_.-")


def check_option(option: str, value: Any) -> Any:
    """The value of an option of PoolOptions, or ``memory``, as it is kept: seconds and bytes of texts with units.

    Raises:
        TypeError, ValueError: What is wrong with it, and what would be right.
    """
    return _CHECKS[option](value)


def check_options(pool: str, given: Mapping[str, Any]) -> PoolOptions:
    """The options of a pool, checked; None stands for what is not said. ``memory`` is one of the resources.

    Raises:
        TypeError, ValueError: What is wrong with one of them, or with two together; it names the pool and the option.
    """
    checked: dict[str, Any] = {}
    for option, value in given.items():
        if value is None:
            continue
        try:
            checked[option] = check_option(option, value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"pool '{pool}': {option}: {error}") from None
    memory = checked.pop("memory", None)
    if memory is not None:
        resources = checked.setdefault("resources", {})
        if "memory" in resources:
            raise ValueError(f"pool '{pool}': memory is given twice, in memory= and in resources=")
        resources["memory"] = memory
    options = PoolOptions(**checked)
    _check_together(pool, options)
    return options


def _check_together(pool: str, options: PoolOptions) -> None:
    if options.min is not None and options.max is not None and options.min > options.max:
        raise ValueError(f"pool '{pool}': min={options.min} is above max={options.max}; lower min or raise max")
    resources = options.resources or {}
    for name, amount in (options.asleep or {}).items():
        awake = resources.get(name)
        if awake is None:
            has = f"it takes {', '.join(resources)}" if resources else "it takes nothing"
            raise ValueError(f"pool '{pool}': asleep: a worker cannot keep '{name}', which it does not take; {has}")
        if amount > awake:
            raise ValueError(
                f"pool '{pool}': asleep: {amount} of '{name}' is more than the {awake} that it takes awake"
            )


def nearest(name: str, known: list[str]) -> str:
    """``; did you mean 'x'?``, or which there are if none is near."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; there are {', '.join(known)}"


def _count(lowest: int, highest: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{value!r} is not a whole number")
        if not lowest <= value <= highest:
            raise ValueError(f"{value} is not between {lowest} and {highest}")
        return value

    return check


def _idle_timeout(value: Any) -> float:
    if value == "never":
        return 0.0
    try:
        return parse_duration(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error}, nor 'never'") from None


def _residence(value: Any) -> float:
    zero = isinstance(value, int | float) and not isinstance(value, bool) and value == 0
    return 0.0 if zero else parse_duration(value)


def _heartbeat_timeout(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds < LEAST_HEARTBEAT_TIMEOUT:
        raise ValueError(f"{value!r} is under {LEAST_HEARTBEAT_TIMEOUT:g} s; a heartbeat comes every second")
    return seconds


def _size(value: Any) -> int:
    size = parse_size(value)
    if size > LARGEST_AMOUNT:
        raise ValueError(f"{value!r} is over {LARGEST_AMOUNT} bytes")
    return size


def _amounts(value: Any) -> dict[str, int]:
    if not hasattr(value, "items"):
        raise TypeError(f"{value!r} is not a mapping of names to amounts, such as {{'slots': 1}}")
    return {_resource_name(name): _amount(name, amount) for name, amount in value.items()}


def _resource_name(name: Any) -> str:
    if not is_pool_name(name):
        raise ValueError(f"{name!r} is not the name of a resource: up to 64 letters, digits and _.-")
    if name == "gpus":
        raise ValueError("GPUs are handed out by number: say gpus=N; a worker that sleeps keeps none")
    return str(name)


def _amount(name: str, amount: Any) -> int:
    try:
        return _size(amount) if name == "memory" else _count(0, LARGEST_AMOUNT)(amount)
    except (TypeError, ValueError) as error:
        raise type(error)(f"'{name}': {error}") from None


def _cost(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a number")
    if not 0 <= value <= LONGEST_SECONDS:
        raise ValueError(f"{value!r} is not between 0 and {LONGEST_SECONDS:g}")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _modules(value: Any) -> list[str]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r} is not a list of modules, such as ['numpy']")
    for name in value:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"{name!r} is not the name of a module")
    return list(value)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "min": _count(0, MOST_WORKERS),
    "max": _count(1, MOST_WORKERS),
    "gpus": _count(0, MOST_WORKERS),
    "memory": _size,
    "resources": _amounts,
    "asleep": _amounts,
    "idle_timeout": _idle_timeout,
    "start_timeout": parse_duration,
    "stop_timeout": parse_duration,
    "min_residence": _residence,
    "heartbeat_timeout": _heartbeat_timeout,
    "eviction_cost": _cost,
    "pinned": _flag,
    "max_rss": _size,
    "max_requests": _count(0, 2**63 - 1),
    "preload": _modules,
    "slo": parse_duration,
}
