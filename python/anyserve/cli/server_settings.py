"""The settings of an agent, as options of the commands that run one."""

from __future__ import annotations

import argparse
from typing import Any

from .settings import Settings
from .sizes import byte_size, memory_size, metrics_port, port, positive_int, seconds

__all__ = ["METRICS_PORT", "USUAL_METRICS_PORT", "add_settings", "checked"]

METRICS_PORT = 8002
USUAL_METRICS_PORT = -1
"""Stands for that one, or any if it is taken."""

LONGEST_LEASE = 3600.0

LEVELS = ["error", "warn", "info", "debug", "trace"]


def add_settings(parser: argparse.ArgumentParser, settings: Settings) -> None:
    """Adds all of them."""
    settings.add(parser, "--host", "127.0.0.1", "address to listen on; 0.0.0.0 for all")
    settings.add(parser, "--port", 8000, "gRPC port; 0 takes a free one", type=port)
    settings.add(
        parser,
        "--http-port",
        None,
        "port for the REST API of KServe v2; 0 takes a free one",
        shown="it is not served",
        type=port,
        metavar="PORT",
    )
    settings.add(
        parser,
        "--metrics-port",
        USUAL_METRICS_PORT,
        "Prometheus metrics on 127.0.0.1; 0 takes a free port, none serves none",
        shown=f"{METRICS_PORT}, or a free port if that is taken",
        type=metrics_port,
        metavar="PORT",
    )
    limits = parser.add_argument_group("limits")
    size: dict[str, Any] = {"type": byte_size, "metavar": "SIZE"}
    duration: dict[str, Any] = {"type": seconds, "metavar": "SECONDS"}
    settings.add(limits, "--max-message-size", 64 << 20, "largest request or response", shown="64MiB", **size)
    settings.add(limits, "--max-queue-size", 10_000, "requests that may wait", type=positive_int, metavar="N")
    settings.add(
        limits,
        "--max-queue-bytes",
        1 << 30,
        "what the tensors of requests under way may hold together",
        shown="1GiB",
        type=memory_size,
        metavar="SIZE",
    )
    settings.add(
        limits,
        "--object-store-size",
        None,
        "what the object store has for large tensors",
        shown="a quarter of the machine's memory",
        type=memory_size,
        metavar="SIZE",
    )
    _add_object_settings(parser, settings)
    _add_fleet_settings(parser, settings)
    settings.add(limits, "--start-timeout", 600.0, "until a worker must be ready", shown="600", **duration)
    settings.add(limits, "--drain-timeout", 30.0, "for what still runs at the end", shown="30", **duration)
    settings.add(
        limits,
        "--stream-stall-timeout",
        60.0,
        "until a stream fails that nobody reads",
        shown="60",
        **duration,
    )
    settings.add(parser, "--log-level", "info", "of the agent, to stderr", choices=LEVELS)
    settings.add(parser, "--log-format", "text", "of the log lines", choices=["text", "json"])
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="send the tracebacks of handlers to clients"
    )
    parser.add_argument(
        "--no-model-control",
        action="store_true",
        help="refuse clients that load or unload by KServe's calls",
    )


def _add_object_settings(parser: argparse.ArgumentParser, settings: Settings) -> None:
    objects = parser.add_argument_group("objects")
    settings.add(
        objects,
        "--object-port",
        0,
        "where other agents get this one's objects",
        shown="a free port",
        type=port,
        metavar="PORT",
    )
    settings.add(
        objects,
        "--object-host",
        None,
        "the name or address by which other agents reach that port",
        shown="that of --host, or the machine's name",
        metavar="HOST",
    )
    settings.add(
        objects,
        "--object-checksum",
        False,
        "check what comes from other agents against a checksum beyond TCP's",
        shown="off",
        action="store_true",
    )
    settings.add(
        objects,
        "--allow-client-shm",
        False,
        "let clients pass tensors in shared memory that they register (KServe's system shared memory)",
        shown="off",
        action="store_true",
    )
    settings.add(
        objects,
        "--object-spill",
        None,
        "folder for a file that objects go to when they have to leave memory; it has no name there",
        shown="they are lost",
        metavar="DIR",
    )
    settings.add(
        objects,
        "--object-spill-size",
        None,
        "what that file takes at most",
        shown="10GiB",
        type=memory_size,
        metavar="SIZE",
    )


def _add_fleet_settings(parser: argparse.ArgumentParser, settings: Settings) -> None:
    fleet = parser.add_argument_group("fleet")
    settings.add(
        fleet,
        "--api-server",
        None,
        "API server where the agent registers and finds the others; several with commas between them",
        shown="it is alone",
        metavar="URL",
    )
    settings.add(
        fleet,
        "--registry",
        None,
        "the same without an API server, such as etcd://HOST:2379",
        shown="it is alone",
        metavar="URL",
    )
    settings.add(
        fleet, "--replica-id", None, "what it is called there", shown="the machine's name and the port", metavar="ID"
    )
    settings.add(
        fleet,
        "--advertise",
        None,
        "where others reach it",
        shown="where it listens; the machine's name if that is 0.0.0.0",
        metavar="HOST[:PORT]",
    )
    settings.add(
        fleet,
        "--lease",
        15.0,
        "until it is taken for gone that says nothing any more",
        shown="15",
        type=seconds,
        metavar="SECONDS",
    )


def checked(values: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The settings that go together, with one place where the registry is; raises ArgumentTypeError for others."""
    if values["object_spill"] is None and values["object_spill_size"] is not None:
        raise argparse.ArgumentTypeError("--object-spill-size (object_spill_size) goes with --object-spill")
    if not 1 <= values["lease"] <= LONGEST_LEASE:
        raise argparse.ArgumentTypeError(f"--lease (lease) {values['lease']:g} is not from 1 to 3600 seconds")
    left = {name: value for name, value in values.items() if name != "api_server"}
    return {**left, "registry": _registry(values["api_server"], values["registry"], options)}


def _registry(api_server: str | None, registry: str | None, options: argparse.Namespace) -> str | None:
    """The URL of the registry, of which there is one; what was typed goes before the file."""
    if api_server and registry:
        typed = {"api_server", "registry"} & set(vars(options))
        if len(typed) != 1:
            raise argparse.ArgumentTypeError("--api-server (api_server) and --registry (registry) do not go together")
        return api_server if "api_server" in typed else registry
    if api_server and not api_server.startswith("http://"):
        raise argparse.ArgumentTypeError(f"'{api_server}' is not http://HOST:PORT of an API server (--api-server)")
    return api_server or registry
