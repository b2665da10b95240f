"""The ``anyserve`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import AnyserveError
from . import api_server, config, gateway, infer, objects, operate, run, status

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="anyserve", description="Serve Python handlers over KServe v2 gRPC.")
    parser.add_argument("--version", action="version", version=f"anyserve {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    run.add_to(commands)
    gateway.add_to(commands)
    infer.add_to(commands)
    status.add_to(commands)
    operate.add_to(commands)
    objects.add_to(commands)
    config.add_to(commands)
    api_server.add_to(commands)
    options, rest = parser.parse_known_args(arguments)
    try:
        if rest and not ("take_rest" in options and options.take_rest(options, rest)):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        code: int = options.main(options)
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    except AnyserveError as error:
        traceback = getattr(error, "traceback", "")
        if traceback:
            print(traceback, file=sys.stderr, end="")
        # A list of problems has a line for each, which begins with its place.
        print(error if hasattr(error, "problems") else f"anyserve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code
