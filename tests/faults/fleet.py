"""An agent of many pools, with its configuration file at hand."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import yaml
from anyserve._core import Admin
from anyserve.cli.agents import admin_of

from tests.faults.apps.pools import FOLDER
from tests.gate import Gate
from tests.metrics import Metrics
from tests.server import ROOT, Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

Pool = dict[str, Any]
"""A pool as the file has it."""

FACTORY = "tests.faults.apps.pools:make"


def functions(name: str, **options: Any) -> Pool:
    """A pool of functions that serves ``{type: NAME}``, ``{type: NAME-again}`` and ``{type: NAME-streamed}``."""
    arguments = {"name": name, **options.pop("args", {})}
    serves = [{"type": name}, {"type": f"{name}-again"}, {"type": f"{name}-streamed"}]
    return {"factory": FACTORY, "args": arguments, "capabilities": serves, "min": 0, **options}


def instances(name: str, kind: str = "unary", **options: Any) -> Pool:
    """A pool of a class that serves ``{type: NAME}``."""
    arguments = {"name": name, "kind": kind, **options.pop("args", {})}
    return {
        "factory": FACTORY,
        "worker": name,
        "args": arguments,
        "capabilities": [{"type": name}],
        "min": 0,
        **options,
    }


class Folder:
    """Where the configuration is, and what steers the workers of tests.faults.apps.pools."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "anyserve.yaml"

    def configure(self, pools: Mapping[str, Pool], **sections: Any) -> None:
        """Writes the configuration file."""
        self.config.write_text(yaml.safe_dump({**sections, "pools": dict(pools)}))

    def set_mood(self, pool: str, mood: str) -> None:
        """How the next workers of the pool start."""
        path = self.path / f"{pool}.mood"
        fresh = path.with_suffix(".fresh")
        fresh.write_text(mood)
        fresh.rename(path)

    def refuse_to_stop(self, pool: str) -> None:
        """From now on workers of the pool, if it is one of a class, never return from on_stop."""
        (self.path / f"{pool}.stopping").touch()

    def starts(self, pool: str) -> list[float]:
        """When a worker of the pool was started, by the monotonic clock."""
        return [float(line.split()[0]) for line in self._lines(f"{pool}.starts")]

    def stops(self, pool: str) -> list[int]:
        """The processes in which on_stop was called."""
        return [int(line) for line in self._lines(f"{pool}.stops")]

    def journal(self, what: str) -> dict[int, list[int]]:
        """For the number of each request, the processes in which its handler did that: begin or end."""
        found: dict[int, list[int]] = {}
        for line in self._lines("journal"):
            word, number, pid = line.split()
            if word == what:
                found.setdefault(int(number), []).append(int(pid))
        return found

    def gate(self, name: str = "gate") -> Gate:
        """A rendezvous with handlers, or with workers of the mood "wait" as ``POOL.gate``."""
        return Gate(self.path / name)

    def _lines(self, name: str) -> list[str]:
        path = self.path / name
        return path.read_text().splitlines() if path.exists() else []


class Fleet(Server):
    """An agent that serves what the configuration file in a folder says."""

    def __init__(self, folder: Folder, *arguments: str) -> None:
        environment = {FOLDER: str(folder.path), "XDG_CACHE_HOME": str(folder.path / "cache")}
        super().__init__(f"--config={folder.config}", *arguments, environment=environment)
        self.folder = folder
        self._commands: list[subprocess.Popen[str]] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for command in self._commands:
            command.kill()
            command.communicate()
        super().__exit__(kind, error, traceback)

    @property
    def admin(self) -> Admin:
        """The agent's control socket."""
        return admin_of(self.port)

    def pool(self, name: str) -> dict[str, Any]:
        """What ``anyserve status`` shows of a pool; of several of that name, the last."""
        pools: list[dict[str, Any]] = self.admin.status()["pools"]
        return [pool for pool in pools if pool["name"] == name][-1]

    def pool_names(self) -> list[str]:
        """The pools, also those that are about to go."""
        return [pool["name"] for pool in self.admin.status()["pools"]]

    def states(self, pool: str) -> list[str]:
        """The states of the pool's workers."""
        return [worker["state"] for worker in self.pool(pool)["workers"]]

    def pids(self, pool: str) -> list[int]:
        """The processes of the pool's workers."""
        return [worker["pid"] for worker in self.pool(pool)["workers"] if worker["pid"]]

    def all_pids(self) -> list[int]:
        """The processes of all workers that have one."""
        pools = self.admin.status()["pools"]
        return [worker["pid"] for pool in pools for worker in pool["workers"] if worker["pid"]]

    def wait_state(self, pool: str, state: str) -> int:
        """Waits until a worker of the pool is in that state; its process."""
        eventually(lambda: state in self.states(pool), f"a worker of {pool} is {state}")
        workers: list[dict[str, Any]] = self.pool(pool)["workers"]
        return next(int(worker["pid"]) for worker in workers if worker["state"] == state)

    def wait_gone(self, pid: int) -> None:
        """Waits until a process is gone for good."""
        eventually(lambda: not psutil.pid_exists(pid), f"the process {pid} is gone")

    def restarts(self, reason: str) -> float:
        """How many workers ended for that reason, as the metrics say."""
        return Metrics(self).value("worker_restarts_total", reason=reason)

    def logs(self, pattern: str) -> str:
        """Waits for a line of the log."""
        match = self.stderr.find(re.compile(pattern))
        assert match is not None, "the agent ended without saying that"
        return match.string

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts ``anyserve ARGUMENTS`` for this agent."""
        name, *others = arguments
        line = [sys.executable, "-m", "anyserve", name, "--port", str(self.port), *others]
        command = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._commands.append(command)
        return command

    def reload(self, *arguments: str) -> str:
        """Runs ``anyserve reload``, which must succeed: what it says."""
        code, said, complained = ended(self.command("reload", *arguments))
        assert code == 0, complained
        return said

    def fail_to_reload(self) -> str:
        """Runs ``anyserve reload``, which must fail: why."""
        code, said, complained = ended(self.command("reload"))
        assert code == 1, said
        assert "the configuration stays as it was" in complained
        return complained


def ended(command: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Waits for a command: its code and what it wrote."""
    said, complained = command.communicate(timeout=60)
    # So that it may be asked for once more.
    command.stdout = command.stderr = None
    return command.returncode, said, complained


def kill(pid: int) -> None:
    """Kills a process, as the kernel does when memory is short."""
    os.kill(pid, signal.SIGKILL)
