"""How long one small request takes by anyserve's blocking client, and by tritonclient's, at the same agent.

usage: python benches/client_bench.py [--rounds N] [--requests N] [--discovery]

The two take turns within each round, in one process, so that both meet the same machine. What is measured is what a
user writes: building the request, sending it, and reading the output. The agent serves examples/basic.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from anyserve import Client

ROOT = Path(__file__).parents[1]
SIZE = 16
"""Bytes each way."""


@contextmanager
def started(ready: str, *command: str) -> Iterator[re.Match[str]]:
    """A process of ours, once it has printed a line with the pattern."""
    process = subprocess.Popen(
        [sys.executable, "-m", "anyserve", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        match = next(filter(None, (re.search(ready, line) for line in process.stdout)), None)
        if match is None:
            raise SystemExit(f"{' '.join(command)} did not start")
        yield match
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def ours(client: Client) -> Callable[[], None]:
    """One request by anyserve's client."""
    data = np.zeros(SIZE, np.uint8)

    def call() -> None:
        assert len(client.infer("echo", {"x": data})["output_x"]) == SIZE

    return call


def theirs(client: triton.InferenceServerClient) -> Callable[[], None]:
    """The same by tritonclient."""
    data = np.zeros(SIZE, np.uint8)

    def call() -> None:
        tensor = triton.InferInput("x", [SIZE], "UINT8")
        tensor.set_data_from_numpy(data)
        assert len(client.infer("echo", [tensor]).as_numpy("output_x")) == SIZE

    return call


def median(call: Callable[[], None], requests: int) -> float:
    """Of so many requests one after the other, in microseconds."""
    took = []
    for _ in range(requests):
        begin = time.perf_counter()
        call()
        took.append(time.perf_counter() - begin)
    return statistics.median(took) * 1e6


def measure(calls: dict[str, Callable[[], None]], rounds: int, requests: int) -> None:
    """Prints the medians of the rounds, and their ratios to the last."""
    for call in calls.values():
        median(call, 200)
    medians: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            medians[name].append(median(call, requests))
    reference = statistics.median(medians[next(reversed(calls))])
    for name, each in medians.items():
        middle = statistics.median(each)
        spread = f"{min(each):.0f}..{max(each):.0f}"
        print(f"| {name} | {middle:.0f} | {spread} | {middle / reference:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--discovery", action="store_true", help="also by a client that discovers")
    options = parser.parse_args()
    with ExitStack() as stack:
        command = ["run", "examples.basic.app:app", "--port", "0", "--metrics-port", "0"]
        api = ""
        if options.discovery:
            api = stack.enter_context(started(r"http://\S+:\d+", "api-server", "--port", "0"))[0]
            command += ["--api-server", api]
        address = stack.enter_context(started(r"grpc://(\S+)", *command))[1]
        calls = {"anyserve.Client": ours(stack.enter_context(Client(address)))}
        if options.discovery:
            calls["anyserve.Client(api_server=...)"] = ours(stack.enter_context(Client(api_server=api)))
        calls["tritonclient.grpc"] = theirs(triton.InferenceServerClient(address))
        print(f"| {SIZE}-byte echo, one at a time | p50, µs | min..max of {options.rounds} rounds | / tritonclient |")
        print("| --- | ---: | ---: | ---: |")
        measure(calls, options.rounds, options.requests)


if __name__ == "__main__":
    main()
