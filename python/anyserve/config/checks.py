"""What no value shows alone: whether the options of a pool fit each other, and the pools the budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from .amounts import size_text
from .place import At
from .sections import Record

__all__ = ["check"]

_MOST_NAMED = 20
"""How many counters a message compares with and names."""


class _Amount(NamedTuple):
    """How much of a resource each worker of a pool takes."""

    name: str
    value: int
    at: At
    pool: str
    least: int
    """How many workers there are at least, as far as the file says."""


def check(budget: Record | None, pools: Sequence[Record]) -> None:
    """Tells what does not fit.

    Args:
        budget: Of the machine; None if it could not be read.
        pools: Each with the defaults merged in. What is wrong in itself is missing, and not judged here.
    """
    for pool in pools:
        _check_workers(pool)
        _check_asleep(pool)
    if budget is None:
        return
    _check_together([pool for pool in pools if _fits(pool, budget)], budget)


def _check_workers(pool: Record) -> None:
    lowest, highest = pool.values.get("min"), pool.values.get("max")
    if lowest is not None and highest is not None and lowest > highest:
        line = pool.places["max"].value.line
        pool.places["min"].refuse(f"min is {lowest}, more than max, which is {highest} in line {line}")


def _check_asleep(pool: Record) -> None:
    if "asleep" not in pool.values:
        return
    awake = {amount.name: amount for amount in _amounts(pool)}
    asleep: Record = pool.values["asleep"]
    for name, kept in asleep.values.items():
        # What the file does not say, the application may.
        if name in awake and kept > awake[name].value:
            taken = f"the {_much(name, awake[name].value)} that it takes awake (line {awake[name].at.value.line})"
            asleep.places[name].refuse(f"pool '{_name(pool)}' keeps {_much(name, kept)} asleep, more than {taken}")


def _fits(pool: Record, budget: Record) -> bool:
    fits = True
    for name, value, at, owner, _ in _amounts(pool):
        if name not in budget.places and name not in ("gpus", "memory"):
            fits = False
            at.refuse(f"the budget does not name '{name}'{_named(name, budget)}")
        offer = _offer(name, budget)
        if offer is not None and value > offer:
            fits = False
            takes = f"pool '{owner}' takes {_much(name, value)} for each worker"
            at.refuse(f"{takes}; the budget has {_offered(name, budget)}")
    return fits


def _check_together(pools: Sequence[Record], budget: Record) -> None:
    """Min workers must all be there at once, and leave room for one worker of each other pool."""
    by_name: dict[str, list[_Amount]] = {}
    for pool in pools:
        for amount in _amounts(pool):
            by_name.setdefault(amount.name, []).append(amount)
    for name, amounts in by_name.items():
        offer = _offer(name, budget)
        if offer is not None:
            _check_sum(name, amounts, offer, budget)


def _check_sum(name: str, amounts: Sequence[_Amount], offer: int, budget: Record) -> None:
    kept = [amount for amount in amounts if amount.least and amount.value]
    total = sum(amount.least * amount.value for amount in kept)
    shares = ", ".join(f"{each.pool} {each.least} x {_plain(name, each.value)}" for each in kept)
    if total > offer:
        takes = f"the pools' min workers together take {_much(name, total)} ({shares})"
        budget.places[name].refuse(f"{takes}; the budget has {_offered(name, budget)}")
        return
    for amount in amounts:
        if not amount.least and amount.value > offer - total:
            takes = f"pool '{amount.pool}' takes {_much(name, amount.value)} for each worker"
            leave = f"the other pools' min workers ({shares}) leave {_plain(name, offer - total)}"
            amount.at.refuse(f"{takes}; {leave} of {_plain(name, offer)}")


def _amounts(pool: Record) -> Iterator[_Amount]:
    resources: Record = pool.values.get("resources", Record(pool.at))
    own = [(name, pool.values[name], pool.places[name]) for name in ("gpus", "memory") if name in pool.values]
    for name, value, at in own + [(name, value, resources.places[name]) for name, value in resources.values.items()]:
        yield _Amount(name, value, at, _name(pool), pool.values.get("min", 0))


def _offer(name: str, budget: Record) -> int | None:
    """How much there is, None if the file does not say."""
    offer = budget.values.get(name)
    if isinstance(offer, list):
        return len(offer)
    return offer if isinstance(offer, int) else None


def _offered(name: str, budget: Record) -> str:
    offer = budget.values[name]
    if isinstance(offer, list):
        return f"{len(offer)}: {offer}" if offer else "none"
    return _plain(name, offer)


def _plain(name: str, value: int) -> str:
    return size_text(value) if name == "memory" else str(value)


def _much(name: str, value: int) -> str:
    if name == "gpus":
        return f"{value} GPU{'' if value == 1 else 's'}"
    return f"{size_text(value)} of memory" if name == "memory" else f"{value} of '{name}'"


def _named(name: str, budget: Record) -> str:
    counters = [known for known in budget.places if known not in ("gpus", "memory")][:_MOST_NAMED]
    close = get_close_matches(name, counters, 1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; it names {', '.join(counters)}" if counters else f"; write how much there is: `{name}: 1` in budget"


def _name(pool: Record) -> str:
    return pool.at.path.removeprefix("pools.")
