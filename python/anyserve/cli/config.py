"""``anyserve config``: check a configuration file, and print the schema of such files."""

from __future__ import annotations

import argparse
import sys

__all__ = ["add_to"]

USUAL_FILE = "anyserve.yaml"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "config", help="check a configuration file", description="Check configuration files and describe them."
    )
    actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    check = actions.add_parser(
        "check",
        help="tell all that is wrong with a file",
        description="Read a configuration file as `anyserve run --config` does and tell all that is wrong with it. "
        "The exit code is 1 if something is.",
    )
    check.add_argument("file", nargs="?", default=USUAL_FILE, metavar="FILE", help="(default: %(default)s)")
    check.set_defaults(main=check_file)
    schema = actions.add_parser(
        "schema",
        help="print the JSON schema for editors",
        description="Print the JSON schema by which editors complete and explain configuration files.",
    )
    schema.set_defaults(main=print_schema)


def check_file(options: argparse.Namespace) -> int:
    """Checks a file."""
    # Only here: other commands do without YAML.
    from ..config import ConfigError, load_config

    try:
        config = load_config(options.file)
        # Importing the targets belongs here: what they lack is a problem in line `pool.line` of `config.path`.
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    count = len(config.pools)
    print(f"{config.path}: {count} pool{'' if count == 1 else 's'}, no problem found")
    return 0


def print_schema(_options: argparse.Namespace) -> int:
    """Prints the schema."""
    from ..config import schema_text

    print(schema_text())
    return 0
