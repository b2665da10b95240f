"""Class workers that note what happens to them, served in each of the ways there are."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, Worker

JOURNAL = "ANYSERVE_TEST_JOURNAL"
"""The environment variable that names the file they write to."""


def note(what: str) -> None:
    """Writes a line."""
    with Path(os.environ[JOURNAL]).open("a") as journal:
        journal.write(f"{what}\n")


class Living(Worker):
    """Notes every call. ``fails`` is set by the factory: what the hook of that name raises or returns."""

    fails: dict[str, str]

    def __init__(self) -> None:
        note("made")
        self.calls = 0

    def on_start(self) -> Any:
        return self._hook("on_start")

    def on_sleep(self, level: int) -> Any:
        return self._hook("on_sleep", level)

    def on_wake(self) -> Any:
        return self._hook("on_wake")

    def on_stop(self) -> Any:
        return self._hook("on_stop")

    def handle(self, request: ModelInferRequest, context: Context) -> Any:
        return self._answer(context)

    def _answer(self, context: Context) -> ModelInferResponse:
        self.calls += 1
        note("handle")
        gpus = f"{self.gpus} {context.gpus}"
        parameters: dict[str, bool | int | float | str] = {"calls": str(self.calls), "gpus": gpus}
        return ModelInferResponse(parameters=parameters)

    def _hook(self, hook: str, *arguments: int) -> Any:
        note(" ".join([hook, *map(str, arguments)]))
        match self.fails.get(hook):
            case "exit":
                sys.exit(3)
            case "later":
                return asyncio.sleep(0)
            case str(message):
                raise RuntimeError(message)
        return None


class LivingAsync(Living):
    """The same on an event loop."""

    async def on_start(self) -> None:
        super().on_start()

    async def on_sleep(self, level: int) -> None:
        super().on_sleep(level)

    async def on_wake(self) -> None:
        super().on_wake()

    async def on_stop(self) -> None:
        super().on_stop()

    async def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return self._answer(context)


class AsyncHandleOnly(Living):
    """Hooks that are not async beside a handler that is: they run on the loop's thread too."""

    def _hook(self, hook: str, *arguments: int) -> Any:
        assert threading.current_thread() is threading.main_thread()
        return super()._hook(hook, *arguments)

    async def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
        return self._answer(context)


def make(way: str, fails: dict[str, str] | None = None) -> AnyServe:
    """An application with the one pool ``living``, served in that way."""
    app = AnyServe()
    ways: dict[str, tuple[type[Living], int]] = {
        "one thread": (Living, 1),
        "threads": (Living, 4),
        "loop": (LivingAsync, 4),
        "loop, plain hooks": (AsyncHandleOnly, 1),
    }
    base, concurrency = ways[way]
    worker = type(base.__name__, (base,), {"fails": fails or {}})
    app.worker(capability={"type": "living"}, name="living", concurrency=concurrency)(worker)
    return app
