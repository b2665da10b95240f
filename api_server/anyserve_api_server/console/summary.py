"""What of the replicas' answers goes to the page, and what follows from them."""

from __future__ import annotations

from typing import Any

from ..fleet import Replica

__all__ = ["Rates", "capabilities_of", "cut", "totals_of"]

MAX_CAPABILITIES = 500
MAX_POOLS = 50
MAX_WORKERS = 100
MAX_NAMED = 5
"""How much of each is sent; of the rest only the number."""

Look = dict[str, Any]
"""One replica at one time: what it registered, and its ``status``, or the ``error`` why there is none."""


class Rates:
    """Turns what replicas have counted so far into what happens in each second, from one look to the next."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int, str], tuple[float, dict[str, float]]] = {}

    def update(self, looks: list[Look], now: float) -> None:
        """Adds ``per_second``, ``failed_per_second`` and ``latency`` (mean seconds to a first response, None if there
        was none) to each pool.
        """
        seen = {}
        for look in looks:
            for pool in look.get("status", {}).get("pools", []):
                key = (look["replica_id"], look["incarnation"], pool["name"])
                counts = {name: float(pool[name]) for name in ("ended", "failed", "answered", "first_response")}
                before = self._last.get(key, (now, counts))
                pool.update(_per_second(before, (now, counts)))
                seen[key] = (now, counts)
        self._last = seen


def _per_second(
    before: tuple[float, dict[str, float]], after: tuple[float, dict[str, float]]
) -> dict[str, float | None]:
    seconds = after[0] - before[0]
    # What counts less than before has started anew.
    grown = {name: max(0.0, after[1][name] - before[1][name]) for name in after[1]}
    if seconds <= 0:
        return {"per_second": 0.0, "failed_per_second": 0.0, "latency": None}
    return {
        "per_second": grown["ended"] / seconds,
        "failed_per_second": grown["failed"] / seconds,
        "latency": grown["first_response"] / grown["answered"] if grown["answered"] else None,
        "answered_now": grown["answered"],
    }


def totals_of(looks: list[Look], replicas: int) -> dict[str, Any]:
    """The fleet in numbers, of which ``point`` goes to the charts."""
    pools = [pool for look in looks for pool in look.get("status", {}).get("pools", [])]
    workers = [worker["state"] for pool in pools for worker in pool["workers"]]
    answered = sum(pool.get("answered_now", 0.0) for pool in pools)
    waited = sum(pool["latency"] * pool["answered_now"] for pool in pools if pool["latency"] is not None)
    return {
        "replicas": replicas,
        "answering": sum("status" in look for look in looks),
        "pools": len(pools),
        "workers": len(workers),
        "ready": sum(state in ("ready", "busy") for state in workers),
        "point": {
            "per_second": sum(pool["per_second"] for pool in pools),
            "failed_per_second": sum(pool["failed_per_second"] for pool in pools),
            "waiting": sum(pool["waiting"] for pool in pools),
            "running": sum(pool["running"] for pool in pools),
            "latency": waited / answered if answered else None,
        },
    }


def cut(look: Look) -> Look:
    """No more of a replica than a page can show."""
    status = look.get("status")
    if status is None:
        return look
    pools = []
    for pool in status["pools"][:MAX_POOLS]:
        workers = pool["workers"][:MAX_WORKERS]
        named = pool["capabilities"][:MAX_NAMED]
        more = {"more_workers": len(pool["workers"]) - len(workers), "serves": len(pool["capabilities"])}
        pools.append({**pool, "workers": workers, "capabilities": named, **more})
    return {**look, "status": {**status, "pools": pools, "more_pools": len(status["pools"]) - len(pools)}}


def capabilities_of(replicas: list[Replica]) -> dict[str, Any]:
    """Each capability of the fleet, and who offers it."""
    offers: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for replica in replicas:
        for pairs in replica["capabilities"]:
            offers.setdefault(tuple(sorted(pairs.items())), []).append(replica["replica_id"])
    shown = sorted(offers.items())[:MAX_CAPABILITIES]
    return {
        "capabilities": [
            {"pairs": dict(pairs), "replicas": ids[:MAX_NAMED], "count": len(ids)} for pairs, ids in shown
        ],
        "more": len(offers) - len(shown),
    }
