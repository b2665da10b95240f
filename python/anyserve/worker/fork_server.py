"""``python -m anyserve.worker.fork_server MODULE...``: imports modules once, and forks workers that have them already.

An agent starts it, with one end of a socket pair as its standard input:

- It says ``ready``, or ``unfit WHY`` if a process that has imported these modules cannot be forked safely, and ends.
- For each worker the agent sends the length of a message as 4 bytes, little-endian, with two descriptors: the worker's
  control channel and its standard error. The message is the number of the worker's arguments, the arguments, and its
  environment as ``KEY=VALUE``, with a zero byte between any two. The answer is ``started PID`` or ``failed WHY``.
- When a worker has ended it says ``ended PID STATUS``, with the status as ``waitpid`` has it.

It runs one thread and never anything of the user's but the imports, so that what it forks is as good as a new process.
It ends when the agent does, and its workers with it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
import time
import warnings

from .. import _core

__all__ = ["main"]

LINGERING_THREADS = 0.2
"""How many seconds a thread that has ended may still be listed."""


def main(modules: list[str]) -> list[str] | None:
    """Forks workers until the agent ends; in a worker, returns its arguments."""
    _core.die_with_parent()
    agent = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    why = _preload(modules)
    _say(agent, f"unfit {why}" if why else "ready")
    if why:
        return None
    # What is there now is never collected, so that its pages stay shared with the workers.
    gc.collect()
    gc.freeze()
    while True:
        readable, _, _ = select.select([agent.fileno(), wake], [], [])
        if wake in readable:
            os.read(wake, 4096)
            _reap(agent)
        if agent.fileno() in readable:
            request = _receive(agent)
            if request is None:
                return None
            arguments, environment, descriptors = request
            try:
                if len(descriptors) < 2:
                    raise OSError("the descriptors did not come through")
                worker = os.fork()
            except OSError as error:
                _close(descriptors)
                _say(agent, f"failed {error}")
                continue
            if worker == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                agent.close()
                os.close(wake)
                os.close(woken)
                _become_worker(environment, descriptors)
                return arguments
            _close(descriptors)
            # Here too: the agent may want to end it before it has come to that itself.
            with contextlib.suppress(OSError):
                os.setpgid(worker, worker)
            _say(agent, f"started {worker}")


def _preload(modules: list[str]) -> str:
    """Imports the modules; returns why the process cannot be forked safely, or nothing."""
    # Every worker needs these.
    importlib.import_module("anyserve.worker.__main__")
    for name in modules:
        try:
            importlib.import_module(name)
        except BaseException as error:
            return f"importing {name} raised {type(error).__name__}: {error}".replace("\n", " ")
    if _threads() > 1:
        # Some libraries, such as OpenBLAS, end their threads at a fork and start them again when they are needed.
        # Whether these do is seen after a fork that does nothing else.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            probe = os.fork()
        if probe == 0:
            os._exit(0)
        os.waitpid(probe, 0)
    # A thread that was joined may be listed for a moment longer.
    deadline = time.monotonic() + LINGERING_THREADS
    while _threads() > 1 and time.monotonic() < deadline:
        time.sleep(0.001)
    others = _threads() - 1
    if others:
        return f"{others} {'thread runs' if others == 1 else 'threads run'} after importing {', '.join(modules)}"
    if _uses_gpu():
        return f"a GPU is in use after importing {', '.join(modules)}"
    return ""


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _uses_gpu() -> bool:
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith("/dev/nvidia"):
                return True
        except OSError:
            # The one that listed them.
            continue
    return False


def _receive(agent: socket.socket) -> tuple[list[str], list[str], list[int]] | None:
    """What the next worker is to be: arguments, environment, and the two descriptors; None at the agent's end."""
    head, descriptors, _, _ = socket.recv_fds(agent, 4, 2)
    if not head:
        return None
    length = struct.unpack("<I", head)[0]
    message = bytearray()
    while len(message) < length:
        part = agent.recv(length - len(message))
        if not part:
            return None
        message += part
    count, *parts = map(os.fsdecode, bytes(message).split(b"\0"))
    return parts[: int(count)], parts[int(count) :], descriptors


def _become_worker(environment: list[str], descriptors: list[int]) -> None:
    os.setpgid(0, 0)
    for target, descriptor in zip((0, 2), descriptors, strict=True):
        os.dup2(descriptor, target)
        os.close(descriptor)
    for entry in environment:
        key, _, value = entry.partition("=")
        os.environ[key] = value
    # Python's own generator seeds itself after a fork; numpy's would be the same in every worker.
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _reap(agent: socket.socket) -> None:
    while True:
        try:
            worker, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if worker == 0:
            return
        _say(agent, f"ended {worker} {status}")


def _say(agent: socket.socket, line: str) -> None:
    # That the agent is gone, the next look at the socket tells too.
    with contextlib.suppress(OSError):
        agent.sendall(os.fsencode(line) + b"\n")


if __name__ == "__main__":
    arguments = main(sys.argv[1:])
    if arguments is not None:
        from . import __main__ as worker

        sys.argv[1:] = arguments
        sys.exit(worker.main(arguments))
