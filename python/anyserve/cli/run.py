"""``anyserve run``: serve an application."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import Any

from .. import _core
from . import report
from .sizes import byte_size, memory_size, metrics_port, port, positive_int, seconds

__all__ = ["add_to"]

METRICS_PORT = 8002
# What stands for that one, or any if it is taken.
USUAL_METRICS_PORT = -1


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command's parser."""
    parser = commands.add_parser(
        "run",
        help="serve an application",
        description="Serve an application until Ctrl-C or SIGTERM; then finish what is running and stop. "
        "A second Ctrl-C stops at once.",
    )
    default = "(default: %(default)s)"
    parser.add_argument("target", metavar="MODULE:ATTRIBUTE", help="the application, from the current folder")
    parser.add_argument("--factory", action="store_true", help="ATTRIBUTE makes the app; each worker calls it once")
    parser.add_argument("--host", default="127.0.0.1", help=f"address to listen on; 0.0.0.0 for all {default}")
    parser.add_argument("--port", type=port, default=8000, help=f"gRPC port; 0 takes a free one {default}")
    parser.add_argument(
        "--metrics-port",
        type=metrics_port,
        default=USUAL_METRICS_PORT,
        metavar="PORT",
        help="Prometheus metrics on 127.0.0.1; 0 takes a free port, none serves none "
        f"(default: {METRICS_PORT}, or a free port if that is taken)",
    )
    parser.add_argument("--workers", type=positive_int, default=1, metavar="N", help=f"worker processes {default}")

    limits = parser.add_argument_group("limits")
    size: dict[str, Any] = {"type": byte_size, "metavar": "SIZE"}
    duration: dict[str, Any] = {"type": seconds, "metavar": "SECONDS"}
    limits.add_argument("--max-message-size", default="64MiB", help=f"largest request or response {default}", **size)
    limits.add_argument(
        "--max-queue-size", type=positive_int, default=10_000, metavar="N", help=f"requests that may wait {default}"
    )
    limits.add_argument(
        "--max-queue-bytes",
        type=memory_size,
        default="1GiB",
        metavar="SIZE",
        help=f"what the tensors of requests under way may hold together {default}",
    )
    limits.add_argument("--start-timeout", default=600, help=f"until a worker must be ready {default}", **duration)
    limits.add_argument("--drain-timeout", default=30, help=f"for what still runs at the end {default}", **duration)

    limits.add_argument(
        "--stream-stall-timeout",
        default=60,
        help=f"until a stream fails whose client takes nothing {default}",
        **duration,
    )

    levels = ["error", "warn", "info", "debug", "trace"]
    parser.add_argument("--log-level", choices=levels, default="info", help=f"of the agent, to stderr {default}")
    parser.add_argument("--log-format", choices=["text", "json"], default="text", help=f"of the log lines {default}")
    parser.add_argument("--debug", action="store_true", help="send the tracebacks of handlers to clients")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Serves until a signal says stop."""
    started = time.perf_counter()
    reporter = report.Reporter(options.target)

    def on_ready(host: str, port: int, metrics: int | None, workers: int, capabilities: list[str]) -> None:
        reporter.ready(host, port, metrics, workers, capabilities, time.perf_counter() - started)

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
        max_queue_bytes=options.max_queue_bytes,
        start_timeout=options.start_timeout,
        drain_timeout=options.drain_timeout,
        stream_stall_timeout=options.stream_stall_timeout,
        metrics_port=METRICS_PORT if options.metrics_port == USUAL_METRICS_PORT else options.metrics_port,
        metrics_near=options.metrics_port == USUAL_METRICS_PORT,
        debug=options.debug,
        log_level=options.log_level,
        log_format=options.log_format,
        on_ready=on_ready,
    )
    reporter.stopped()
    return 0
