"""Measures anyserve beside Triton and a bare tonic server, and prints the tables in markdown.

usage: python benches/bench.py [--peers DIR] [--floor BINARY] [--quick] [--output FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

# As a script it has its own folder on the path; the modules beside it go by the names that mypy knows them by.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches import h2load, report, servers, startup
from benches.h2load import Case, Figures
from benches.processes import BenchError
from benches.report import Row, Target
from benches.servers import Server

MANY = Case("a) 16 B echo, 8 connections x 8 streams", size=16, connections=8, streams=8, latencies=False)
ONE = Case("b) 16 B echo, 1 x 1", size=16, connections=1, streams=1, latencies=True)
LARGE = Case("c) 1 MiB echo, 1 x 1", size=1 << 20, connections=1, streams=1, latencies=True)
CASES = (MANY, ONE, LARGE)
SERVERS = ("ours", "Triton", "floor")
# Before memory is read: what a process does just after it said that it is ready is over by then.
SETTLE_SECONDS = 1.0

Runs = dict[tuple[Case, str], list[Figures]]
Memory = dict[str, tuple[float, float | None]]


def main() -> int:
    """Runs everything; returns the exit code."""
    options = _options()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        text = _measure(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.output:
        options.output.write_text(text + "\n")
    print(text)
    return 0


def _options() -> argparse.Namespace:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peers", type=Path, metavar="DIR", help="the scripts that install and start Triton")
    parser.add_argument(
        "--peers-install", type=Path, metavar="DIR", default=cache / "anyserve-peers", help="(default: %(default)s)"
    )
    parser.add_argument("--floor", type=Path, metavar="BINARY", help="the bare tonic server: anyserve-bench-floor")
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


def _measure(options: argparse.Namespace) -> str:
    notes = [f"Machine: {report.machine()}"]
    with tempfile.TemporaryDirectory(prefix="anyserve-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        scripts = _peers(options, notes, folder)
        h2load.require()
        _say("starting anyserve")
        starts = startup.measure(options.runs, folder)
        started = [stack.enter_context(servers.anyserve(folder)).server]
        if scripts:
            started.append(stack.enter_context(servers.triton(scripts, options.peers_install, folder)))
            notes.append(f"Peers: {servers.triton_version(started[-1])}; load from {h2load.version()}")
        if options.floor:
            started.append(stack.enter_context(servers.floor(options.floor, folder)))
        time.sleep(SETTLE_SECONDS)
        before = _memory(started)
        for server in started:
            for case in CASES:
                servers.check_echo(server, case.size)
        runs = _rounds(started, options.runs, 0.5 if options.quick else 4.0, folder)
        time.sleep(SETTLE_SECONDS)
        after = _memory(started)
    rows = [*_load_rows(runs), *_memory_rows(before, after)]
    rows.append(Row("e) `anyserve run` to ready, ms", report.milliseconds, starts[startup.TOTAL]))
    return _page(rows, starts, notes, options)


def _peers(options: argparse.Namespace, notes: list[str], folder: Path) -> Path | None:
    """The folder of the peers' scripts, with the peers installed; without it, a note."""
    scripts: Path | None = options.peers
    if scripts and scripts.is_dir():
        servers.install_peers(scripts, options.peers_install, folder)
        return scripts
    missing = f"there is no folder {scripts}" if scripts else "no --peers was given"
    notes.append(f"Triton was not measured: {missing}")
    _say(notes[-1])
    return None


def _rounds(started: list[Server], rounds: int, seconds: float, folder: Path) -> Runs:
    """Every case against every server, server after server within each round, so that all see the same machine."""
    bodies = {case: folder / f"echo-{case.size}.body" for case in CASES}
    for case, body in bodies.items():
        h2load.write_body(body, case.size)
    counts = {
        (case, server.name): h2load.requests_for(case, server.port, bodies[case], seconds)
        for case in CASES
        for server in started
    }
    runs: Runs = {key: [] for key in counts}
    for number in range(1, rounds + 1):
        for case in CASES:
            for server in started:
                _say(f"round {number} of {rounds}: {case.name}: {server.name}")
                figures = h2load.load(case, server.port, bodies[case], counts[case, server.name])
                runs[case, server.name].append(figures)
    return runs


def _memory(started: list[Server]) -> Memory:
    return {server.name: server.memory() for server in started}


def _load_rows(runs: Runs) -> list[Row]:
    def row(
        case: Case, what: str, show: Callable[[float], str], pick: Callable[[Figures], float], target: Target | None
    ) -> Row:
        ours, triton, floor = ([pick(figures) for figures in runs.get((case, name), [])] for name in SERVERS)
        return Row(f"{case.name}: {what}", show, ours, triton, floor, target)

    most = Target(">= 2.0 x Triton", 2.0, at_least=True)
    return [
        row(MANY, "requests/s", report.whole, lambda figures: figures.rate, most),
        row(ONE, "p50, µs", report.whole, lambda figures: figures.p50, Target("<= 0.6 x Triton", 0.6)),
        row(ONE, "p99, µs", report.whole, lambda figures: figures.p99, None),
        row(LARGE, "p50, µs", report.whole, lambda figures: figures.p50, Target("<= 0.5 x Triton", 0.5)),
        row(LARGE, "p99, µs", report.whole, lambda figures: figures.p99, None),
    ]


def _memory_rows(before: Memory, after: Memory) -> list[Row]:
    def row(what: str, memory: Memory, part: int, target: Target | None) -> Row:
        parts = [memory[name][part] if name in memory else None for name in SERVERS]
        ours, triton, floor = ([] if value is None else [value] for value in parts)
        return Row(f"d) resident memory of the {what}, MiB", report.mebibytes, ours, triton, floor, target)

    small = Target("<= 60 MiB", 60 << 20, of_triton=False)
    return [
        row("agent, idle after start", before, 0, small),
        row("worker, idle after start", before, 1, small),
        row("agent, after the load", after, 0, None),
        row("worker, after the load", after, 1, None),
    ]


def _page(rows: list[Row], starts: dict[str, list[float]], notes: list[str], options: argparse.Namespace) -> str:
    rounds = "1 round" if options.runs == 1 else f"{options.runs} rounds"
    quick = " Short runs (--quick): not to be reported." if options.quick else ""
    legend = (
        f"Medians of {rounds} (min..max), the servers in turn within each round.{quick} "
        "Memory: Triton's server stands beside our agent, the stub of its echo model beside our worker."
    )
    where = "Where the time until ready goes:"
    lines = "\n".join(f"- {note}" for note in [*notes, f"Command: `{report.command()}`"])
    return "\n\n".join([report.results(rows), legend, where, report.steps(starts), lines])


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
