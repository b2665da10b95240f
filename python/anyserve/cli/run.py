"""``anyserve run``: serve an application, or the pools of a configuration file."""

from __future__ import annotations

import argparse
from pathlib import Path

from .fleet import of_config, of_target
from .server_settings import add_settings
from .serving import What, serve
from .settings import Settings
from .sizes import gpu_list, positive_int

__all__ = ["add_to"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "run",
        help="serve an application, or the pools of a configuration file",
        description="Serve an application, or the pools of a configuration file, until Ctrl-C or SIGTERM; then finish "
        "what is running and stop. A second Ctrl-C stops at once. Options go before what the file says.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("target", nargs="?", metavar="MODULE:ATTRIBUTE", help="the application, from the current folder")
    what.add_argument("--config", type=Path, metavar="FILE", help="the pools, such as anyserve.yaml")
    parser.add_argument("--factory", action="store_true", help="ATTRIBUTE makes the app; each worker calls it once")
    parser.add_argument(
        "--workers",
        type=positive_int,
        metavar="N",
        help="workers for the application's functions (default: 1)",
    )
    parser.add_argument(
        "--gpus", type=gpu_list, metavar="LIST", help="GPUs to hand out: 0,1 or none (default: those that are found)"
    )
    settings = Settings()
    add_settings(parser, settings)
    parser.set_defaults(main=lambda options: main(options, settings))


def main(options: argparse.Namespace, settings: Settings) -> int:
    """Serves until a signal says stop."""
    # The code of a single application may have changed; a file says itself what has.
    return serve(options, settings, lambda: _what(options), reload_all=options.config is None)


def _what(options: argparse.Namespace) -> What:
    """What to serve, the settings that come with it, and its name."""
    if options.config is None:
        workers = options.workers or 1
        fleet = of_target(options.target, factory=options.factory, workers=workers, gpus=options.gpus)
        return fleet, {}, options.target
    for flag in ("factory", "workers"):
        if getattr(options, flag):
            raise argparse.ArgumentTypeError(f"--{flag} does not go with --config: the file says it for each pool")
    from ..config import load_config

    config = load_config(options.config)
    fleet = of_config(config)
    return fleet if options.gpus is None else fleet._replace(gpus=options.gpus), config.server, str(options.config)
