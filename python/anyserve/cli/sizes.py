"""Option values with a unit or a range."""

from __future__ import annotations

import argparse
import re

__all__ = ["byte_size", "gpu_list", "memory_size", "metrics_port", "port", "positive_int", "seconds", "worker_range"]

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

LARGEST_MESSAGE = 2**31 - 1
"""What a KServe client can send at most."""


def byte_size(text: str) -> int:
    """A number of bytes, such as 1048576, 64MiB or 1g."""
    size = _size(text)
    if not 1024 <= size <= LARGEST_MESSAGE:
        raise argparse.ArgumentTypeError(f"'{text}' is not between 1KiB and {LARGEST_MESSAGE} bytes")
    return size


def memory_size(text: str) -> int:
    """A number of bytes, from 1 MiB on."""
    size = _size(text)
    if not 1 << 20 <= size < 1 << 60:
        raise argparse.ArgumentTypeError(f"'{text}' is not at least 1MiB")
    return size


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([kmg]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size such as 1048576, 64MiB or 1g")
    return int(match[1]) * _UNITS[match[2]]


def positive_int(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 on")
    return int(text)


def port(text: str) -> int:
    """A TCP port; 0 takes a free one."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port from 0 to 65535")
    return int(text)


def metrics_port(text: str) -> int | None:
    """A TCP port, 0 for a free one, or "none"."""
    if text == "none":
        return None
    try:
        return port(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a port from 0 to 65535 nor none") from None


def gpu_list(text: str) -> list[int]:
    """The indices of GPUs, such as 0,1; or "none"."""
    if text == "none":
        return []
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() for word in words) or len(set(words)) < len(words):
        raise argparse.ArgumentTypeError(f"'{text}' is neither a list of GPUs such as 0,1 nor none")
    return [int(word) for word in words]


def seconds(text: str) -> float:
    """A positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number of seconds")
    return value


def worker_range(text: str) -> tuple[int, int | None]:
    """A number of workers, or the least and the most, such as 0-2."""
    match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text) if text.isascii() else None
    if match is None or (match[2] and int(match[2]) < int(match[1])):
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number of workers nor a range such as 0-2")
    return int(match[1]), int(match[2]) if match[2] else None
