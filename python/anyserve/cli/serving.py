"""Runs an agent, for the commands that do."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from .. import _core
from ..errors import ServeError
from . import report
from .fleet import Fleet
from .folders import admin_folder, memory_folder
from .server_settings import METRICS_PORT, USUAL_METRICS_PORT, checked
from .settings import Settings

__all__ = ["What", "serve"]

What: TypeAlias = tuple[Fleet, dict[str, Any], str]
"""What is served, the settings that come with it, and its name."""


def serve(options: argparse.Namespace, settings: Settings, what: Callable[[], What], *, reload_all: bool) -> int:
    """Runs an agent until a signal says stop; ``what`` says what it serves, at the start and whenever it is reloaded.

    With ``reload_all``, a reload replaces every pool: code may have changed where the configuration has not.
    """
    started = time.perf_counter()
    fleet, server, name = what()
    values = checked(settings.values(options, server), options)
    debug = bool(getattr(options, "debug", server.get("debug", False)))
    reporter = report.Reporter(name)

    def on_ready(
        host: str,
        port: int,
        http: int | None,
        metrics: int | None,
        workers: int,
        pools: list[str],
        capabilities: list[str],
    ) -> None:
        took = time.perf_counter() - started
        reporter.ready(host, port, http, metrics, workers, pools, capabilities, took)

    # The agent hears the signals itself; those that come before it listens are kept for it here.
    early_signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: early_signals.append(number))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    reporter.starting(fleet.pools)
    near = values["metrics_port"] == USUAL_METRICS_PORT
    _core.run_agent(
        **{**values, "metrics_port": METRICS_PORT if near else values["metrics_port"]},
        fleet=fleet,
        reload=lambda: _again(what, server),
        reload_all=reload_all,
        admin_folder=str(admin_folder()),
        memory_folder=str(memory_folder()),
        model_control=not options.no_model_control,
        metrics_near=near,
        debug=debug,
        early_signals=early_signals,
        on_ready=on_ready,
    )
    # It has ended: another signal changes nothing.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    reporter.stopped()
    return 0


def _again(what: Callable[[], What], server: dict[str, Any]) -> Fleet:
    """What to serve from now on."""
    fleet, changed, _ = what()
    if changed != server:
        names = sorted(name for name in {*server, *changed} if server.get(name) != changed.get(name))
        raise ServeError(f"settings of the server have changed ({', '.join(names)}); that takes a restart of the agent")
    return fleet
