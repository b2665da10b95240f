"""Measures the object system beside memcpy, Ray, Triton and iperf3, and prints the table in markdown.

usage: python benches/objects_bench.py [--peers DIR] [--floor BINARY] [--only CASE...] [--quick] [--output FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

# As a script it has its own folder on the path; the modules beside it go by the names that mypy knows them by.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benches import commandline, h2load, peers, report, servers
from benches.objects import ray_peer, table
from benches.objects.cases import copies, create, get, grpc_echo, pull, relay, shm, small
from benches.objects.notes import Notes
from benches.objects.setup import Setup
from benches.objects.table import Line
from benches.processes import BenchError
from benches.rounds import say

GRPC = "grpc"
SMALL = "small"
CASES: dict[str, Callable[[Setup], list[Line]]] = {
    "create": create.measure,
    "get": get.measure,
    SMALL: small.measure,
    "relay": relay.measure,
    "shm": shm.measure,
    GRPC: grpc_echo.measure,
    "pull": pull.measure,
    "copies": copies.measure,
}
BESIDE_TRITON = {"relay", "shm", GRPC}


def main() -> int:
    """Runs everything; returns the exit code."""
    options = commandline.options(__doc__, list(CASES))
    commandline.leave_on_signals()
    notes = Notes()
    notes.lines.append(f"Machine: {report.machine()}")
    try:
        lines = measure(options, notes)
    except BenchError as error:
        say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    text = page(options, lines, notes)
    if options.output:
        options.output.write_text(text + "\n")
    print(text)
    return 1 if notes.failed else 0


def measure(options: argparse.Namespace, notes: Notes) -> list[Line]:
    """All cases that were asked for; of one that fails there is a note, and the others go on."""
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="anyserve-bench-") as name, contextlib.ExitStack() as stack:
        setup = start(options, notes, Path(name), stack)
        for case, measure_case in CASES.items():
            if case in options.only:
                try:
                    lines += measure_case(setup)
                except BenchError as error:
                    notes.not_measured(case, "none of it", error)
    return lines


def start(options: argparse.Namespace, notes: Notes, folder: Path, stack: contextlib.ExitStack) -> Setup:
    """The peers, as far as the cases need them."""
    triton = floor = ray = None
    only = set(options.only)
    if GRPC in only:
        h2load.require()
        notes.add(f"Load from {h2load.version()}")
    if scripts := _scripts(options, notes):
        if BESIDE_TRITON & only:
            peers.install(scripts, options.peers_install, folder)
            triton = stack.enter_context(peers.triton(scripts, options.peers_install, folder))
            notes.add(f"Beside {peers.version(triton)}")
        if SMALL in only:
            ray = ray_peer.install(options.peers_install, folder)
            notes.add(f"Beside Ray {ray_peer.VERSION}")
    if options.floor and GRPC in only:
        floor = stack.enter_context(servers.floor(options.floor, folder))
    return Setup(folder, options.runs, options.quick, triton, floor, ray, notes)


def _scripts(options: argparse.Namespace, notes: Notes) -> Path | None:
    """The folder of the peers' scripts; without it, a note."""
    scripts: Path | None = options.peers
    if scripts and scripts.is_dir():
        return scripts
    missing = f"there is no folder {scripts}" if scripts else "no --peers was given"
    notes.add(f"Triton and Ray were not measured: {missing}")
    return None


def page(options: argparse.Namespace, lines: list[Line], notes: Notes) -> str:
    """The results in markdown."""
    rounds = "1 round" if options.runs == 1 else f"{options.runs} rounds"
    quick = " Short runs (--quick): not to be reported." if options.quick else ""
    legend = (
        f"Medians of {rounds} (min..max), the sides in turn within each round.{quick} "
        "The floor is a copy from one warm numpy array to another, or a bare tonic server."
    )
    notes_text = "\n".join(f"- {line}" for line in [*notes.lines, f"Command: `{report.command()}`"])
    return "\n\n".join([table.table(lines), legend, notes_text])


if __name__ == "__main__":
    sys.exit(main())
