"""An agent of many pools, and the ways to look at it and to steer it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import yaml
from anyserve import Client, InferResult
from anyserve._core import Admin

from tests.background import Background
from tests.metrics import Metrics
from tests.pools.steering import Steering
from tests.server import ROOT, Server
from tests.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType

APP = "tests.pools.apps.steered:app"
FACTORY = "tests.pools.apps.steered:make"


def pools(*names: str, **options: Any) -> dict[str, dict[str, Any]]:
    """These pools of tests.pools.apps.steered, all with these options."""
    return {name: {"target": APP, "worker": name, **options} for name in names}


class Fleet:
    """An agent with folders of its own: for its control socket, for what it remembers, and to steer its workers.

    Args:
        folder: Where these are.
        what: The target, or what the configuration file says: as a text, or as what YAML makes of it.
        arguments: Further options of ``anyserve run``.
        environment: Added to that of the test.
    """

    def __init__(
        self, folder: Path, what: str | Mapping[str, Any], *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.runtime = folder / "run"
        self.cache = folder / "cache"
        self.file = folder / "anyserve.yaml"
        self.steering = Steering(folder)
        self.environment = {
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_CACHE_HOME": str(self.cache),
            **self.steering.environment,
            **(environment or {}),
        }
        if isinstance(what, str) and "\n" not in what:
            target = what
        else:
            self.file.write_text(what if isinstance(what, str) else yaml.safe_dump(dict(what), sort_keys=False))
            target = f"--config={self.file}"
        self.server = Server(target, *arguments, environment=self.environment)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.server)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def wait_ready(self) -> Self:
        """Waits until it says so, and connects."""
        self.server.wait_ready()
        self.client = self._stack.enter_context(Client(self.server.address))
        self.background = self._stack.enter_context(Background(self.server.address))
        self.admin = Admin(self.socket)
        # It says so a moment too early (test_an_application_is_ready_once_all_its_pools_are).
        eventually(self._is_complete, "all pools are known and have the workers that they keep")
        return self

    def _is_complete(self) -> bool:
        pools = self.admin.status()["pools"]
        ready = [len([worker for worker in pool["workers"] if worker["state"] == "ready"]) for pool in pools]
        known = all(pool["capabilities"] for pool in pools)
        return bool(pools) and known and all(count >= pool["min"] for count, pool in zip(ready, pools, strict=True))

    @property
    def socket(self) -> Path:
        """Its control socket."""
        return self.runtime / "anyserve" / f"{self.server.port}.sock"

    @property
    def metrics(self) -> Metrics:
        """What it counts."""
        return Metrics(self.server)

    # Requests.

    def ask(self, model: str, **options: Any) -> dict[str, Any]:
        """What a worker of the model says of itself."""
        return said(self.client.infer(model, timeout=options.pop("timeout", 30), **options))

    def asking(self, model: str, parameters: Mapping[str, Any] | None = None, **options: Any) -> Future[InferResult]:
        """Sends the request in the background."""
        return self.background.infer(model, parameters, timeout=options.pop("timeout", 30), **options)

    # Pools.

    def pool(self, name: str) -> dict[str, Any]:
        """What the status says of a pool."""
        [found] = [pool for pool in self.admin.status()["pools"] if pool["name"] == name]
        return dict(found)

    def state(self, name: str) -> str:
        """The state of a pool, in a word."""
        return str(self.pool(name)["state"])

    def workers(self, name: str) -> list[str]:
        """The states of a pool's workers."""
        return [worker["state"] for worker in self.pool(name)["workers"]]

    def pids(self, name: str) -> list[int]:
        """The processes of a pool's workers."""
        return [worker["pid"] for worker in self.pool(name)["workers"]]

    def used(self, resource: str) -> tuple[int, int]:
        """How much of a resource is in use, and how much there is."""
        amount = self.admin.status()["resources"][resource]
        return amount["used"], amount["total"]

    def wait_state(self, name: str, state: str, patience: float = PATIENCE) -> None:
        """Waits until the pool is in that state."""
        eventually(lambda: self.state(name) == state, f"pool {name} is {state}", patience)

    def wait_workers(self, name: str, *states: str) -> None:
        """Waits until the pool has workers in just these states."""
        eventually(lambda: sorted(self.workers(name)) == sorted(states), f"the workers of {name} are {states}")

    def wait_waiting(self, name: str, count: int) -> None:
        """Waits until so many requests wait for the pool."""
        eventually(lambda: self.pool(name)["waiting"] == count, f"{count} requests wait for {name}")

    # Processes.

    def kill(self, pid: int) -> None:
        """Kills a worker."""
        next(worker for worker in self.server.workers() if worker.pid == pid).kill()

    # Commands.

    def refused(self) -> str:
        """Waits for the end of an agent that cannot serve: what it says of that."""
        eventually(lambda: self.server.process.poll() is not None, "the agent has ended", 5)
        assert self.server.wait() == 1
        assert "Traceback" not in self.server.stderr.text
        return self.server.stderr.text

    def command(self, *arguments: str, port: int | None = None) -> subprocess.CompletedProcess[str]:
        """Runs ``anyserve`` as an operator of this agent does."""
        command = [*arguments, "--port", str(port or self.server.port)]
        return run_anyserve(*command, environment=self.environment)


def run_anyserve(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs ``anyserve`` and waits for its end."""
    return subprocess.run(
        [sys.executable, "-m", "anyserve", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def said(result: InferResult) -> dict[str, Any]:
    """What the worker said of itself."""
    return dict(result.response.parameters)
