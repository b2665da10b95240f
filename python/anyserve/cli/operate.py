"""``anyserve scale``, ``sleep``, ``wake``, ``pin``, ``drain`` and ``reload``: steer an agent on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from .._core import Admin
from .agents import add_port, admin_of
from .sizes import worker_range

__all__ = ["add_to"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the commands' parsers."""
    scale = _add(commands, "scale", "keep that many workers of a pool")
    scale.add_argument("pool", metavar="POOL")
    scale.add_argument(
        "workers",
        type=worker_range,
        metavar="N",
        help="so many workers, or MIN-MAX; with 0 none is kept, and a request starts one",
    )
    _runs(scale, lambda admin, options: admin.scale(options.pool, *options.workers))

    sleep = _add(commands, "sleep", "put the workers of a pool to sleep; a request wakes them")
    sleep.add_argument("pool", metavar="POOL")
    _runs(sleep, lambda admin, options: admin.sleep(options.pool))

    wake = _add(commands, "wake", "wake the workers of a pool")
    wake.add_argument("pool", metavar="POOL")
    _runs(wake, lambda admin, options: admin.wake(options.pool))

    pin = _add(commands, "pin", "keep the workers of a pool from being evicted or stopped for being idle")
    pin.add_argument("pool", metavar="POOL")
    pin.add_argument("--off", action="store_true", help="not any more")
    _runs(pin, lambda admin, options: admin.pin(options.pool, not options.off))

    drain = _add(commands, "drain", "let a pool finish what it has and stop its workers; `scale` opens it again")
    drain.add_argument("pool", metavar="POOL")
    _runs(drain, lambda admin, options: admin.drain(options.pool))

    reload = _add(commands, "reload", "read the configuration again, and replace what has changed")
    reload.add_argument("--all", action="store_true", help="replace every pool: its code may have changed")
    _runs(reload, lambda admin, options: admin.reload(all=options.all))


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, what: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    add_port(parser)
    return parser


def _runs(parser: argparse.ArgumentParser, operation: Callable[[Admin, argparse.Namespace], str]) -> None:
    def main(options: argparse.Namespace) -> int:
        print(operation(admin_of(options.port), options))
        return 0

    parser.set_defaults(main=main)
