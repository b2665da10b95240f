"""``anyserve api-server``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from anyserve.cli.sizes import byte_size, port, positive_int, seconds

from .settings import Settings

__all__ = ["main"]

LEVELS = ["error", "warning", "info", "debug"]


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit code.

    Raises:
        ServeError: The server could not start.
    """
    options = _parser().parse_args(arguments)
    # Here, so that --help does not wait for the framework.
    from .server import serve

    serve(Settings(**vars(options)))
    return 0


def _parser() -> argparse.ArgumentParser:
    default = Settings()
    parser = argparse.ArgumentParser(
        prog="anyserve api-server",
        description="Tell clients which replica offers what, pass on requests that come over HTTP, and show the fleet "
        "on a page; until Ctrl-C or SIGTERM.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default=default.host, help="address to listen on; 0.0.0.0 for all")
    parser.add_argument("--port", type=port, default=default.port, help="HTTP port; 0 takes a free one")
    parser.add_argument(
        "--registry",
        default=default.registry,
        metavar="URL",
        help="where the registrations are: memory:, or etcd://HOST:PORT[,HOST:PORT], which several API servers share",
    )
    parser.add_argument("--log-level", choices=LEVELS, default=default.log_level, help="of what goes to stderr")
    _add_limits(parser.add_argument_group("limits"), default)
    return parser


def _add_limits(limits: argparse._ArgumentGroup, default: Settings) -> None:
    def count(flag: str, value: int, help: str) -> None:
        limits.add_argument(flag, type=positive_int, default=value, metavar="N", help=help)

    def duration(flag: str, value: float, help: str) -> None:
        limits.add_argument(flag, type=seconds, default=value, metavar="SECONDS", help=help)

    count("--max-replicas", default.max_replicas, "replicas that may be registered")
    count("--max-watchers", default.max_watchers, "readers of /watch")
    count("--max-connections", default.max_connections, "connections")
    limits.add_argument(
        "--max-message-size",
        type=byte_size,
        default=default.max_message_size,
        metavar="SIZE",
        help="largest request that is passed on, in bytes or such as 64MiB",
    )
    duration("--header-timeout", default.header_timeout, "until the head of a request must have come")
    duration("--stall-timeout", default.stall_timeout, "until a client is cut that neither sends nor takes")
    duration(
        "--settle-time",
        default.settle_time,
        "after a start with memory:, what is missing may still be registering again",
    )
    duration("--drain-timeout", default.drain_timeout, "for what still runs at the end")
