"""``anyserve objects``: what is in the object store of an agent on this machine, and who holds it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from .agents import add_port, admin_of
from .shown import show_age, show_size
from .sizes import seconds

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["add_to"]

OLD = 60.0


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parsers."""
    parser = commands.add_parser(
        "objects",
        help="list, look at and delete objects of an agent on this machine",
        description="List, look at and delete objects of an agent on this machine.",
    )
    actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="all objects, the oldest first")
    add_port(listing)
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(main=_list)

    stat = actions.add_parser("stat", help="what is known of one object, as JSON")
    add_port(stat)
    stat.add_argument("name", metavar="NAME", help="its id, its reference or its key")
    stat.set_defaults(main=_stat)

    delete = actions.add_parser("delete", help="delete an object; who holds it goes on holding it")
    add_port(delete)
    delete.add_argument("name", metavar="NAME", help="its id, its reference or its key")
    delete.set_defaults(main=_delete)

    leases = actions.add_parser("leases", help="what workers have been holding for long: where memory leaks")
    add_port(leases)
    leases.add_argument(
        "--older-than", type=seconds, default=OLD, metavar="SECONDS", help="for so long (default: %(default)g)"
    )
    leases.add_argument("--json", action="store_true", help="as JSON")
    leases.set_defaults(main=_leases)


def _list(options: argparse.Namespace) -> int:
    found = admin_of(options.port).objects(OLD)
    if options.json:
        print(json.dumps(found))
        return 0
    _print(_used(found), _objects(found["objects"]))
    return 0


def _stat(options: argparse.Namespace) -> int:
    print(json.dumps(admin_of(options.port).stat_object(options.name), indent=2))
    return 0


def _delete(options: argparse.Namespace) -> int:
    print(admin_of(options.port).delete_object(options.name))
    return 0


def _leases(options: argparse.Namespace) -> int:
    leases = admin_of(options.port).objects(options.older_than)["leases"]
    leases.sort(key=lambda lease: (lease["worker"], -lease["age"]))
    if options.json:
        print(json.dumps(leases))
        return 0
    if not leases:
        print(f"no worker has held anything for {options.older_than:g} s")
        return 0
    from rich.table import Table

    table = Table("worker", "size", "held for", "what", box=None, pad_edge=False, header_style="bold")
    for lease in leases:
        what = "never sealed" if lease["unsealed"] else "a view"
        table.add_row(lease["worker"], show_size(lease["size"]), show_age(lease["age"]), what)
    _print(table)
    return 0


def _print(*parts: RenderableType) -> None:
    from rich.console import Console

    console = Console()
    for part in parts:
        console.print(part)


def _used(found: dict[str, Any]) -> str:
    count = len(found["objects"])
    return (
        f"{count} object{'' if count == 1 else 's'}; {show_size(found['used'])} of {show_size(found['size'])} in use, "
        f"{show_size(found['pinned'])} pinned"
    )


def _objects(objects: list[dict[str, Any]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True, min_width=32)
    # Where the terminal is narrow, the words make room for the numbers.
    for name, width in (("size", 8), ("age", 6), ("expires", 7), ("held", 4)):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for name in ("what", "key", "creator", "where"):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for found in objects:
        what = f"{found['datatype']} {found['shape']}" if found["datatype"] else "bytes"
        expires = "" if found["expires_in"] is None else show_age(found["expires_in"])
        key = (found["key"] or "") + (" (pinned)" if found["pinned"] else "")
        table.add_row(
            found["id"],
            show_size(found["size"]),
            show_age(found["age"]),
            expires,
            str(found["leases"] or ""),
            Text(what),
            Text(key),
            Text(found["creator"]),
            Text(found["location"]),
        )
    return table
