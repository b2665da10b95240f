"""Measures anyserve beside Triton and a bare tonic server, and prints the tables in markdown.

usage: python benches/bench.py [--peers DIR] [--floor BINARY] [--only CASE...] [--quick] [--output FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

# As a script it has its own folder on the path; the modules beside it go by the names that mypy knows them by.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches import commandline, h2load, peers, report, servers, startup
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
    options = commandline.options(__doc__, [START, *CASES])
    commandline.leave_on_signals()
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
