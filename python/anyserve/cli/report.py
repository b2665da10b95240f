"""What ``anyserve run`` prints: with rich on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .. import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from .fleet import Pool

__all__ = ["Reporter"]

MOST_SHOWN = 20
"""Of more capabilities, only so many are shown."""


class Reporter:
    """Tells what is served, where and by how many workers."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._console: Console | None = None
        if sys.stdout.isatty():
            # Only here: it costs a tenth of the agent's memory.
            from rich.console import Console

            self._console = Console(highlight=False)

    def starting(self, pools: Sequence[Pool]) -> None:
        """The first workers are being started."""
        what = _count(len(pools), "pool")
        if not pools:
            return self._say(f"anyserve {__version__}: starting the {self._target}", style="dim")
        if len(pools) == 1 and pools[0].options.min:
            what = _count(pools[0].options.min, "worker")
        self._say(f"anyserve {__version__}: starting {what} of {self._target}", style="dim")

    def ready(
        self,
        host: str,
        port: int,
        http: int | None,
        metrics: int | None,
        workers: int,
        pools: list[str],
        capabilities: list[str],
        took: float,
    ) -> None:
        """Every pool has the workers that it must have."""
        if len(capabilities) > MOST_SHOWN:
            capabilities = [*capabilities[:MOST_SHOWN], f"{len(capabilities) - MOST_SHOWN} more"]
        if not pools:
            capabilities = ["whatever a replica serves"]
        where = f"http://127.0.0.1:{metrics}/metrics"
        host = f"[{host}]" if ":" in host else host
        address, rest = f"{host}:{port}", f"http://{host}:{http}/v2"
        if self._console is None:
            served = ", ".join(capabilities)
            by = f"by {_count(workers, 'worker')} " if pools else ""
            self._say(f"ready: {served} at grpc://{address} {by}after {took:.2f} s")
            if http is not None:
                self._say(f"REST: {rest}")
            if metrics is not None:
                self._say(f"metrics: {where}")
            return
        from rich.panel import Panel
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        table.add_row("serving", "\n".join(capabilities))
        table.add_row("at", f"grpc://{address}")
        if http is not None:
            table.add_row("REST", rest)
        if metrics is not None:
            table.add_row("metrics", where)
        if pools:
            table.add_row("by", f"{_count(workers, 'worker')} of {self._target}")
        if len(pools) > 1:
            table.add_row("in", f"{_count(len(pools), 'pool')}: see `anyserve status --port {port}`")
        table.add_row("ready after", f"{took:.2f} s")
        self._console.print(Panel(table, title="[bold green]ready", expand=False, subtitle="Ctrl-C stops"))

    def stopped(self) -> None:
        """Everything has ended."""
        self._say("stopped", style="dim")

    def _say(self, line: str, style: str | None = None) -> None:
        if self._console is None:
            print(line, flush=True)
        else:
            self._console.print(line, style=style, markup=False)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
