"""``anyserve status``: pools, workers and queues of an agent on this machine."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from .agents import add_port, admin_of
from .shown import show_age, show_size
from .sizes import seconds

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["add_to"]

STYLES = {
    "ready": "green",
    "busy": "green",
    "starting": "yellow",
    "waking": "yellow",
    "draining": "yellow",
    "falling-asleep": "yellow",
    "asleep": "blue",
    "failed": "bold red",
}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    what = "show the pools, workers and queues of an agent on this machine"
    parser = commands.add_parser("status", help=what, description=f"{what[0].upper()}{what[1:]}.")
    add_port(parser)
    parser.add_argument("--watch", action="store_true", help="go on showing, until Ctrl-C")
    parser.add_argument(
        "--every", type=seconds, default=1.0, metavar="SECONDS", help="with --watch (default: %(default)g)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, a line for each look")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Shows the status, once or until Ctrl-C."""
    admin = admin_of(options.port)
    if options.json:
        return _show_json(admin.status, options)
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if not options.watch:
        console.print(_view(admin.status()))
        return 0
    with Live(_view(admin.status()), console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            time.sleep(options.every)
            live.update(_view(admin.status()), refresh=True)


def _show_json(status: Any, options: argparse.Namespace) -> int:
    import json

    while True:
        print(json.dumps(status()), flush=True)
        if not options.watch:
            return 0
        time.sleep(options.every)


def _view(status: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    head = Text.assemble(
        ("anyserve ", "bold"),
        f"{status['version']} at grpc://{status['address']}, up {show_age(status['uptime'])}, ",
        f"agent {show_size(status['resident_memory'])}",
        (", shutting down" if status["draining"] else "", "bold yellow"),
    )
    parts: list[RenderableType] = [head]
    if status["resources"]:
        parts.append(Text("in use: " + ", ".join(_resource(name, of) for name, of in status["resources"].items())))
    parts += [_pools(status["pools"]), *_notes(status["pools"]), _workers(status["pools"])]
    return Group(*parts)


def _pools(pools: list[dict[str, Any]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    # Where the terminal is narrow, what is served makes room for the rest.
    table.add_column("pool", no_wrap=True, min_width=7)
    table.add_column("state", no_wrap=True, min_width=8)
    for name in ("workers", "waiting", "oldest", "running", "ended", "failed", "per s"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    table.add_column("serves", overflow="ellipsis", no_wrap=True)
    for pool in pools:
        bounds = str(pool["min"]) if pool["min"] == pool["max"] else f"{pool['min']}-{pool['max']}"
        shown = pool["capabilities"][:3]
        more = len(pool["capabilities"]) - len(shown)
        serves = ", ".join(shown) + (f" and {more} more" if more else "")
        table.add_row(
            Text(pool["name"] + (" (pinned)" if pool["pinned"] else "")),
            Text(pool["state"], style=STYLES.get(pool["state"], "")),
            f"{len(pool['workers'])} of {bounds}",
            str(pool["waiting"]),
            show_age(pool["oldest_wait"]) if pool["waiting"] else "",
            str(pool["running"]),
            str(pool["ended"]),
            str(pool["failed"]),
            f"{pool['rate']:.1f}",
            Text(serves or "not known yet"),
        )
    return table


def _notes(pools: list[dict[str, Any]]) -> list[RenderableType]:
    """Why the pools are as they are."""
    from rich.text import Text

    notes: list[RenderableType] = []
    for pool in pools:
        if pool["state"] == "failed":
            notes.append(Text(f"{pool['name']}: {pool['reason']}", style="red"))
        if pool["decision"]:
            notes.append(
                Text(f"{pool['name']}: {pool['decision']} ({show_age(pool['decision_age'])} ago)", style="dim")
            )
    return notes


def _workers(pools: list[dict[str, Any]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table("worker", "pool", "state", box=None, pad_edge=False, header_style="bold")
    for name in ("since", "running", "served", "memory", "gpus", "pid"):
        table.add_column(name, justify="right")
    for pool in pools:
        for worker in pool["workers"]:
            table.add_row(
                str(worker["id"]),
                Text(pool["name"]),
                Text(worker["state"], style=STYLES.get(worker["state"], "")),
                show_age(worker["state_age"]),
                str(worker["running"]),
                str(worker["requests"]),
                show_size(worker["resident_memory"]),
                ",".join(map(str, worker["gpus"])),
                str(worker["pid"] or ""),
            )
    return table


def _resource(name: str, amount: dict[str, int]) -> str:
    show = show_size if name == "memory" else str
    return f"{show(amount['used'])} of {show(amount['total'])} {name}"
