"""What the scripts that measure us beside the peers have in common: their options, and how they end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

__all__ = ["leave_on_signals", "options"]


def options(doc: str | None, cases: Sequence[str]) -> argparse.Namespace:
    """The options, with the first line of ``doc`` for the help; ``cases`` are those that there are."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    parser.add_argument("--peers", type=Path, metavar="DIR", help="the scripts that install and start Triton")
    parser.add_argument(
        "--peers-install", type=Path, metavar="DIR", default=cache / "anyserve-peers", help="(default: %(default)s)"
    )
    parser.add_argument("--floor", type=Path, metavar="BINARY", help="the bare tonic server: anyserve-bench-floor")
    parser.add_argument("--only", nargs="+", choices=cases, default=list(cases), metavar="CASE", help="of: %(choices)s")
    parser.add_argument("--runs", type=int, default=None, metavar="N", help="rounds (default: 5, or 2 with --quick)")
    parser.add_argument("--quick", action="store_true", help="short runs: to try it out, not to report from")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the tables here too")
    given = parser.parse_args()
    if given.runs is None:
        given.runs = 2 if given.quick else 5
    if given.runs < 1:
        parser.error("--runs must be 1 or more")
    return given


def leave_on_signals() -> None:
    """Makes SIGTERM and SIGHUP an exception, so that every server is stopped on the way out."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
