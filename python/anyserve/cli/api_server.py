"""``anyserve api-server``: a distribution of its own, which may not be there."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.util import find_spec

from ..errors import AnyserveError

__all__ = ["add_to"]

PACKAGES = ["anyserve_api_server", "fastapi", "httptools", "prometheus_client", "uvicorn", "uvloop"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command; the API server reads its options itself."""
    what = "tell clients which replica of a fleet offers what"
    parser = commands.add_parser("api-server", help=what, add_help=False)
    parser.set_defaults(main=main, take_rest=_take_options, arguments=())


def main(options: argparse.Namespace) -> int:
    """Runs the API server.

    Raises:
        AnyserveError: It is not installed, or could not start.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise AnyserveError(
            f"the API server is not installed ({', '.join(missing)} missing); pip install 'anyserve[api-server]'"
        )
    from anyserve_api_server.cli import main as run

    return run(options.arguments)


def _take_options(options: argparse.Namespace, rest: Sequence[str]) -> bool:
    options.arguments = rest
    return True
