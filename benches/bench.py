"""Measures anyserve beside Triton and a bare tonic server, and prints the tables in markdown.

usage: python benches/bench.py [--peers DIR] [--floor BINARY] [--only CASE...] [--quick] [--output FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

# As a script it has its own folder on the path; the modules beside it go by the names that mypy knows them by.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches import h2load, peers, report, servers, startup
from benches.cases import asyncio_echo, batched, echo, stream
from benches.processes import BenchError
from benches.report import Row
from benches.rounds import Setup, say

START = "start"
CASES: dict[str, Callable[[Setup], list[Row]]] = {
    "echo": echo.measure,
    "stream": stream.measure_rate,
    "first": stream.measure_first,
    "batched": batched.measure,
    "asyncio": asyncio_echo.measure,
}


def main() -> int:
    """Runs everything; returns the exit code."""
    options = _options()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    bench = Bench(options)
    try:
        bench.measure()
    except BenchError as error:
        say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    text = bench.page()
    if options.output:
        options.output.write_text(text + "\n")
    print(text)
    return 1 if bench.failed else 0


def _options() -> argparse.Namespace:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peers", type=Path, metavar="DIR", help="the scripts that install and start Triton")
    parser.add_argument(
        "--peers-install", type=Path, metavar="DIR", default=cache / "anyserve-peers", help="(default: %(default)s)"
    )
    parser.add_argument("--floor", type=Path, metavar="BINARY", help="the bare tonic server: anyserve-bench-floor")
    parser.add_argument(
        "--only", nargs="+", choices=[START, *CASES], default=[START, *CASES], metavar="CASE", help="of: %(choices)s"
    )
    parser.add_argument("--runs", type=int, default=None, metavar="N", help="rounds (default: 5, or 2 with --quick)")
    parser.add_argument("--quick", action="store_true", help="short runs: to try it out, not to report from")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the tables here too")
    options = parser.parse_args()
    if options.runs is None:
        options.runs = 2 if options.quick else 5
    if options.runs < 1:
        parser.error("--runs must be 1 or more")
    return options


def _leave(number: int, _: FrameType | None) -> None:
    # As an exception, so that every server is stopped on the way out.
    sys.exit(128 + number)


class Bench:
    """One run of the benchmark: what was asked for, and what has come of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.failed = False
        self._options = options
        self._rows: list[Row] = []
        self._steps: dict[str, list[float]] = {}
        self._notes = [f"Machine: {report.machine()}"]

    def measure(self) -> None:
        """Runs the cases; one that fails leaves a note, and the others go on."""
        h2load.require()
        with tempfile.TemporaryDirectory(prefix="anyserve-bench-") as name, contextlib.ExitStack() as stack:
            folder = Path(name)
            scripts = self._peers(folder)
            if START in self._options.only:
                # Before the others are up, so that it has the machine for itself.
                self._try(START, functools.partial(self._start, folder))
            setup = self._setup(folder, scripts, stack)
            for case, measure in CASES.items():
                if case in self._options.only:
                    say(f"case {case}")
                    self._try(case, functools.partial(measure, setup))

    def _peers(self, folder: Path) -> Path | None:
        """The folder of the peers' scripts, with the peers installed; without it, a note."""
        scripts: Path | None = self._options.peers
        if scripts and scripts.is_dir():
            peers.install(scripts, self._options.peers_install, folder)
            return scripts
        missing = f"there is no folder {scripts}" if scripts else "no --peers was given"
        self._note(f"Triton was not measured: {missing}")
        return None

    def _setup(self, folder: Path, scripts: Path | None, stack: contextlib.ExitStack) -> Setup:
        triton = floor = None
        if scripts:
            triton = stack.enter_context(peers.triton(scripts, self._options.peers_install, folder))
            self._notes.append(f"Peers: {peers.version(triton)}; load from {h2load.version()}")
        if self._options.floor:
            floor = stack.enter_context(servers.floor(self._options.floor, folder))
        return Setup(folder, self._options.runs, self._options.quick, triton, floor)

    def _start(self, folder: Path) -> list[Row]:
        self._steps = startup.measure(self._options.runs, folder)
        return [Row("e) `anyserve run` to ready, ms", report.milliseconds, self._steps[startup.TOTAL])]

    def _try(self, case: str, measure: Callable[[], list[Row]]) -> None:
        try:
            self._rows += measure()
        except BenchError as error:
            self.failed = True
            say(f"case {case} failed: {error}")
            lines = str(error).splitlines()
            # What lies between is the end of a log.
            self._notes.append(f"**Case {case} failed**: {' '.join(lines[:1] + lines[1:][-1:])}")

    def _note(self, note: str) -> None:
        say(note)
        self._notes.append(note)

    def page(self) -> str:
        """The results in markdown."""
        rounds = "1 round" if self._options.runs == 1 else f"{self._options.runs} rounds"
        quick = " Short runs (--quick): not to be reported." if self._options.quick else ""
        legend = (
            f"Medians of {rounds} (min..max), the servers in turn within each round.{quick} "
            "Memory: Triton's server stands beside our agent, the stub of its echo model beside our worker. "
            "The ratio of the asyncio echo is to our plain echo."
        )
        # By the letter that each begins with: they were not measured in that order.
        rows = sorted(self._rows, key=lambda row: row.name[0])
        blocks = [report.results(rows), legend]
        if self._steps:
            blocks += ["Where the time until ready goes:", report.steps(self._steps)]
        notes = [*self._notes, f"Command: `{report.command()}`"]
        return "\n\n".join([*blocks, "\n".join(f"- {note}" for note in notes)])


if __name__ == "__main__":
    sys.exit(main())
