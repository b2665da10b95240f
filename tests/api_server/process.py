"""A real API server as a subprocess, and what tests ask of it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import httpx

from tests.server import ROOT, Collected
from tests.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from types import TracebackType

READY = re.compile(r"^ready: http://(?P<host>\S+):(?P<port>\d+)/ with the registry (?P<registry>\S+)$")

Capability = dict[str, Any]


class ApiServer:
    """An API server on a free port; killed when the ``with`` ends.

    Args:
        arguments: Further options. Replicas that have not registered again are missing at once, unless they say else.
        port: The port of an earlier one, to come back in its place.
    """

    def __init__(self, *arguments: str, port: int = 0) -> None:
        command = [sys.executable, "-m", "anyserve", "api-server", "--port", str(port), "--settle-time", "0.001"]
        self.process = subprocess.Popen(
            [*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout = Collected(self.process.stdout)
        self.stderr = Collected(self.process.stderr)
        match = self.stdout.find(READY)
        assert match is not None, f"not ready: {self.stderr.text}"
        self.host, self.port, self.registry = match["host"], int(match["port"]), match["registry"]
        self.url = f"http://{self.host}:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.http.close()
        self.kill()
        self.stdout.finish()
        self.stderr.finish()
        print(self.stdout.text, self.stderr.text, sep="\n")

    def kill(self) -> None:
        """As kill -9 does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Stops it as an operator does: its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def put(self, replica_id: str, *capabilities: Capability, **more: Any) -> httpx.Response:
        """Registers a replica, for an hour unless ``lease_seconds`` says else."""
        body = {"lease_seconds": 3600, "endpoint": "127.0.0.1:9", "capabilities": list(capabilities), **more}
        return self.http.put(f"/replicas/{replica_id}", json=body)

    def route(self, **query: Any) -> httpx.Response:
        """Asks who offers something."""
        return self.http.get("/route", params=query)

    def ids(self, **query: Any) -> list[str]:
        """The replicas that offer something."""
        found = self.http.get("/replicas", params=query)
        assert found.status_code == 200, found.text
        return [replica["replica_id"] for replica in found.json()["replicas"]]

    def wait_ids(self, *expected: str, **query: Any) -> None:
        """Waits until these replicas offer something, and no others."""
        eventually(lambda: self.ids(**query) == sorted(expected), f"{expected} offer {query}")

    def metric(self, name: str, **labels: str) -> float:
        """One sample of its metrics; 0 if it is not there."""
        wanted = name + ("{" + ",".join(f'{key}="{labels[key]}"' for key in sorted(labels)) + "}" if labels else "")
        for line in self.http.get("/metrics").text.splitlines():
            series, _, value = line.rpartition(" ")
            if series == wanted:
                return float(value)
        return 0.0

    @contextmanager
    def register(self, replica_id: str, *capabilities: Capability, **more: Any) -> Iterator[Events]:
        """Registers a replica for as long as the block."""
        body = {"replica_id": replica_id, "endpoint": "127.0.0.1:9", "capabilities": list(capabilities), **more}
        with self.events("POST", "/register", json=body) as events:
            yield events

    @contextmanager
    def events(self, method: str, path: str, **more: Any) -> Iterator[Events]:
        """A stream of events."""
        with httpx.Client(base_url=self.url, timeout=PATIENCE) as client, client.stream(method, path, **more) as answer:
            if answer.status_code != 200:
                answer.read()
            assert answer.status_code == 200, answer.text
            yield Events(answer)


class Events:
    """The events of an answer, as they come; comments are counted."""

    def __init__(self, answer: httpx.Response) -> None:
        assert answer.headers["content-type"].startswith("text/event-stream")
        self._lines = answer.iter_lines()
        self.comments = 0

    def next(self) -> tuple[str, Any]:
        """The next event: its name, and its data. StopIteration at the end."""
        name, data = "message", None
        for line in self._lines:
            if line.startswith(":"):
                self.comments += 1
            elif line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
            elif not line and data is not None:
                return name, data
        raise StopIteration

    def ended(self) -> bool:
        """Whether nothing more comes."""
        try:
            event = self.next()
        except StopIteration:
            return True
        raise AssertionError(f"there is more: {event}")
