"""Pools that behave as the test says: how a worker starts and stops is in files, what a handler does is in the request.

The environment variable FOLDER names a folder. ``NAME.mood`` in it says how a worker of the pool NAME starts,
``NAME.stopping`` how it stops, and ``journal`` gets a line for each handler that begins and that ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from anyserve import AnyServe, ModelInferRequest, ModelInferResponse, Worker

from tests.gate import Gate

FOLDER = "ANYSERVE_TEST_FOLDER"
POOL = "ANYSERVE_TEST_POOL"


def act(pool: str) -> None:
    """Starts as the mood of the pool says."""
    folder = Path(os.environ[FOLDER])
    with (folder / f"{pool}.starts").open("a") as starts:
        starts.write(f"{time.monotonic()} {os.getpid()}\n")
    path = folder / f"{pool}.mood"
    mood, _, detail = path.read_text().partition(" ") if path.exists() else ("", "", "")
    match mood:
        case "hang":
            time.sleep(3600)
        case "crash":
            print("looking for the weights", file=sys.stderr, flush=True)
            raise RuntimeError("no weights here")
        case "exit":
            print("the licence has run out", file=sys.stderr, flush=True)
            os._exit(int(detail))
        case "kill":
            print("about to be killed", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        case "garbage":
            print("babbling", file=sys.stderr, flush=True)
            for descriptor in control_sockets():
                os.write(descriptor, b"\xff" * 4096)
            time.sleep(3600)
        case "loud":
            for number in range(20_000):
                print(f"noise {number} {'x' * 80}", file=sys.stderr)
            sys.stderr.flush()
            os._exit(7)
        case "slow":
            time.sleep(float(detail))
        case "wait":
            Gate(folder / f"{pool}.gate").stay()
        case "alone":
            # Only one of them can start, as where each needs the same port.
            try:
                (folder / f"{pool}.taken").touch(exist_ok=False)
            except FileExistsError:
                print("the port is taken", file=sys.stderr, flush=True)
                os._exit(9)


def control_sockets() -> list[int]:
    """The descriptors of this process that are sockets."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                found.append(int(name))
        except OSError:
            # That of the listing itself.
            continue
    return found


def note(what: str, request: ModelInferRequest) -> None:
    """Writes a line, if the request has a number; lines of many processes do not mix."""
    if "number" in request.parameters:
        line = f"{what} {request.parameters['number']} {os.getpid()}\n"
        descriptor = os.open(Path(os.environ[FOLDER], "journal"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)


def answer() -> ModelInferResponse:
    """Says which process it was, and which version of its pool."""
    response = ModelInferResponse(parameters={"version": os.environ.get("ANYSERVE_TEST_VERSION", "")})
    response.add_output("pid", data=[os.getpid()])
    return response


def unary(request: ModelInferRequest) -> ModelInferResponse:
    """Does what the request says, and answers."""
    note("begin", request)
    match request.parameters.get("do"):
        case "sleep":
            time.sleep(float(str(request.parameters["seconds"])))
        case "gate":
            Gate(str(request.parameters["gate"])).stay()
        case "hold":
            # Holds the GIL, as extension code may.
            Gate(str(request.parameters["gate"])).stay(lambda: True)
            ctypes.PyDLL(None).sleep(int(str(request.parameters["seconds"])))
        case "allocate":
            held = bytearray(int(str(request.parameters["bytes"])))
            held[::4096] = b"\x01" * len(held[::4096])
            Gate(str(request.parameters["gate"])).stay()
        case "garbage":
            Gate(str(request.parameters["gate"])).stay(lambda: True)
            for descriptor in control_sockets():
                os.write(descriptor, b"\xff" * 4096)
            time.sleep(3600)
        case "hang up":
            Gate(str(request.parameters["gate"])).stay(lambda: True)
            for descriptor in control_sockets():
                with socket.socket(fileno=os.dup(descriptor)) as control:
                    control.shutdown(socket.SHUT_WR)
            time.sleep(3600)
        case "exit":
            os._exit(3)
    note("end", request)
    return answer()


def streamed(request: ModelInferRequest) -> Iterator[ModelInferResponse]:
    """Streams a few responses."""
    note("begin", request)
    for _ in range(3):
        time.sleep(float(str(request.parameters.get("seconds", "0"))) / 3)
        yield answer()
    note("end", request)


class Hooked(Worker):
    """A class worker whose hooks do as the files say."""

    pool: str

    def on_start(self) -> None:
        act(self.pool)

    def on_stop(self) -> None:
        folder = Path(os.environ[FOLDER])
        with (folder / f"{self.pool}.stops").open("a") as stops:
            stops.write(f"{os.getpid()}\n")
        if (folder / f"{self.pool}.stopping").exists():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(3600)


class Unary(Hooked):
    def handle(self, request: ModelInferRequest) -> ModelInferResponse:
        return unary(request)


class Sleeper(Unary):
    def on_sleep(self, level: int) -> None:
        pass


class Streamed(Hooked):
    def handle(self, request: ModelInferRequest) -> Iterator[ModelInferResponse]:
        return streamed(request)


KINDS: dict[str, type[Hooked]] = {"unary": Unary, "again": Unary, "sleeper": Sleeper, "streamed": Streamed}


def make(
    name: str,
    kind: str = "functions",
    concurrency: int = 1,
    timeout: float | None = None,
    serves: dict[str, str] | None = None,
) -> AnyServe:
    """An application of one pool, ``NAME``, of functions or of a class.

    Functions serve ``{type: NAME}``, ``{type: NAME-again}``, which is idempotent, and ``{type: NAME-streamed}``; a
    class serves ``{type: NAME}``, or what it is told to serve.
    """
    app = AnyServe()
    if kind == "functions":
        act(name)
        app.capability(type=name, concurrency=concurrency, timeout=timeout)(unary)
        app.capability(type=f"{name}-again", idempotent=True, concurrency=concurrency, timeout=timeout)(unary)
        app.capability(type=f"{name}-streamed", concurrency=concurrency)(streamed)
        return app
    worker = type(kind, (KINDS[kind],), {"pool": name})
    declare = app.worker(
        capability=serves or {"type": name},
        name=name,
        idempotent=kind == "again",
        stream=kind == "streamed",
        concurrency=concurrency,
        timeout=timeout,
    )
    declare(worker)
    return app


def made() -> AnyServe:
    """The application of the pool that the environment names, if it does."""
    return make(os.environ[POOL], os.environ.get("ANYSERVE_TEST_KIND", "functions"))


app = made() if POOL in os.environ else AnyServe()
"""For pools with a ``target``: what they serve is known by an import."""
