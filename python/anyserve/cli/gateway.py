"""``anyserve gateway``: an agent without workers, which sends each request to a replica that serves it."""

from __future__ import annotations

import argparse

from .fleet import Fleet
from .server_settings import add_settings
from .serving import What, serve
from .settings import Settings

__all__ = ["add_to"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "gateway",
        help="send requests on to the replicas that serve them",
        description="One address for a whole fleet: takes requests and sends each to a replica that serves it, as the "
        "API server or the registry says, until Ctrl-C or SIGTERM. It has no workers of its own.",
    )
    settings = Settings()
    add_settings(parser, settings)
    parser.set_defaults(main=lambda options: main(options, settings))


def main(options: argparse.Namespace, settings: Settings) -> int:
    """Passes requests on until a signal says stop."""
    if not (getattr(options, "api_server", None) or getattr(options, "registry", None)):
        raise argparse.ArgumentTypeError("a gateway needs to know the replicas: --api-server URL or --registry URL")
    return serve(options, settings, _nothing, reload_all=False)


def _nothing() -> What:
    return Fleet((), {}, ()), {}, "gateway"
