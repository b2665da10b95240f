"""Where the agent and those who steer it find each other, and where it keeps what it remembers."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["admin_folder", "admin_socket", "memory_folder", "shared_memory_socket"]


def admin_folder() -> Path:
    """The folder of this user's control sockets: in ``$XDG_RUNTIME_DIR``, or in the folder for temporary files."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime, "anyserve") if runtime else Path(tempfile.gettempdir(), f"anyserve-{os.getuid()}")


def admin_socket(port: int) -> Path:
    """The control socket of the agent whose gRPC port that is."""
    return admin_folder() / f"{port}.sock"


def shared_memory_socket(port: int) -> Path:
    """The socket by which clients share memory with the agent whose gRPC port that is."""
    return admin_folder() / f"{port}.shm.sock"


def memory_folder() -> Path:
    """Where is kept what factories' workers said they serve: in ``$XDG_CACHE_HOME``, or in ``~/.cache``."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return Path(cache or Path.home() / ".cache", "anyserve", "pools")
