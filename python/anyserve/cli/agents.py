"""The agent that a command is about."""

from __future__ import annotations

import argparse
import os
import socket as sockets
import stat
from pathlib import Path

from .._core import Admin
from ..errors import UnavailableError
from .folders import admin_folder, admin_socket
from .sizes import port

__all__ = ["add_port", "admin_of"]


def add_port(parser: argparse.ArgumentParser) -> None:
    """Adds the option that says which agent."""
    parser.add_argument("--port", type=port, default=8000, help="gRPC port of the agent (default: %(default)s)")


def admin_of(number: int) -> Admin:
    """The control socket of the agent with that gRPC port, which runs on this machine and as this user.

    Raises:
        UnavailableError: There is none.
    """
    socket = admin_socket(number)
    if not _answers(socket):
        found = [path.stem for path in admin_folder().glob("*.sock") if path.stem.isdigit() and _answers(path)]
        others = sorted(found, key=int)
        there = f"; there is one for --port {', '.join(others)}" if others else ""
        raise UnavailableError(f"no agent of this user has the port {number} on this machine{there}")
    return Admin(socket)


def _answers(socket: Path) -> bool:
    """Whether an agent of this user has it open: one that was killed leaves the file."""
    try:
        folder = socket.parent.lstat()
    except OSError:
        return False
    # Agents use no other: somebody else may have made it in the folder for temporary files.
    if not stat.S_ISDIR(folder.st_mode) or folder.st_uid != os.getuid() or folder.st_mode & 0o077:
        return False
    with sockets.socket(sockets.AF_UNIX) as probe:
        try:
            probe.connect(str(socket))
        except OSError:
            return False
    return True
