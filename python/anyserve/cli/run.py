"""``anyserve run``: serve an application."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from .. import _core
from . import report
from .sizes import byte_size, port, positive_int, seconds

__all__ = ["add_to"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "run",
        help="serve an application",
        description="Serve an application until Ctrl-C or SIGTERM; then finish what is running and stop. "
        "A second Ctrl-C stops at once.",
    )
    parser.add_argument("target", metavar="MODULE:ATTRIBUTE", help="the application, looked up from the current folder")
    parser.add_argument("--factory", action="store_true", help="ATTRIBUTE is a function that each worker calls to make the app")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; 0.0.0.0 for every interface (default: %(default)s)")
    parser.add_argument("--port", type=port, default=8000, help="gRPC port; 0 takes a free one (default: %(default)s)")
    parser.add_argument("--workers", type=positive_int, default=1, metavar="N", help="worker processes (default: %(default)s)")
    parser.add_argument(
        "--max-message-size", type=byte_size, default="64MiB", metavar="SIZE", help="largest request or response (default: %(default)s)"
    )
    parser.add_argument(
        "--max-queue-size", type=positive_int, default=10_000, metavar="N", help="requests that may wait (default: %(default)s)"
    )
    parser.add_argument(
        "--start-timeout", type=seconds, default=600.0, metavar="SECONDS", help="until a worker must be ready (default: %(default)g)"
    )
    parser.add_argument(
        "--drain-timeout", type=seconds, default=30.0, metavar="SECONDS", help="for what is running at the end (default: %(default)g)"
    )
    parser.add_argument(
        "--log-level", choices=["error", "warn", "info", "debug", "trace"], default="info", help="of the agent's log on standard error"
    )
    parser.add_argument("--debug", action="store_true", help="send the tracebacks of handlers to clients")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Serves until a signal says stop."""
    started = time.perf_counter()
    reporter = report.Reporter(options.target)

    def on_ready(host: str, port: int, workers: int, capabilities: list[str]) -> None:
        reporter.ready(host, port, workers, capabilities, time.perf_counter() - started)

    command = [sys.executable, "-u", "-m", "anyserve.worker", options.target]
    if options.factory:
        command.append("--factory")
    # The agent hears the signals itself; Python would turn them into KeyboardInterrupt on top.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    reporter.starting(options.workers)
    _core.run_agent(
        host=options.host,
        port=options.port,
        command=command,
        workers=options.workers,
        max_message_size=options.max_message_size,
        max_queue_size=options.max_queue_size,
        start_timeout=options.start_timeout,
        drain_timeout=options.drain_timeout,
        debug=options.debug,
        log_level=options.log_level,
        on_ready=on_ready,
    )
    reporter.stopped()
    return 0
