"""The base of class workers."""

from __future__ import annotations

from ._core import assigned_gpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

__all__ = ["HOOKS", "Worker"]

HOOKS = {"on_start": 0, "on_sleep": 1, "on_wake": 0, "on_stop": 0}
"""What a class may override, and how many arguments each is called with."""


class Worker:
    """A handler with a life of its own: derive a class from it and declare it with ``@app.worker``.

        @app.worker(capabilities=[{"type": "chat", "model": "llama-70b"}], gpus=2, min=0, max=2, idle_timeout="5m")
        class ChatWorker(Worker):
            def on_start(self) -> None:
                self.model = load("llama-70b", devices=self.gpus)

            def handle(self, request: ModelInferRequest, context: Context) -> ModelInferResponse:
                return self.model.answer(request)

    Each worker process makes one instance, without arguments. ``handle`` is required, and has any of the forms that a
    function under ``@app.capability`` may have; it serves all capabilities of the class. The hooks below are called by
    one thread at a time and never while ``handle`` runs. If ``handle`` is async they may be too; then they run on the
    worker's event loop.
    """

    if TYPE_CHECKING:
        # Its form is the class's own choice.
        handle: Callable[..., Any]

    @property
    def gpus(self) -> tuple[int, ...]:
        """The numbers of the GPUs that this worker has, in the agent's order; none if it needs none.

        They are their numbers on the machine. CUDA sees only these (``CUDA_VISIBLE_DEVICES``), and counts them from 0.
        """
        return assigned_gpus()

    def on_start(self) -> Awaitable[None] | None:
        """Called in the worker process before the worker is ready, for as long as ``start_timeout``.

        Whatever it raises means that the worker could not start.
        """
        return None

    def on_sleep(self, level: int) -> Awaitable[None] | None:
        """Called when others need what this worker takes. Overriding it makes the pool one that sleeps.

        A worker that sleeps is woken by :meth:`on_wake` before it gets another request. It keeps what ``asleep`` says
        of its resources, and none of its GPUs. If this raises, the worker is stopped instead.

        Args:
            level: 1 keeps what makes waking fast, such as weights in host memory; 2 gives back all it can.
        """
        return None

    def on_wake(self) -> Awaitable[None] | None:
        """Called when a worker that sleeps is to serve again. If this raises, another worker is started instead."""
        return None

    def on_stop(self) -> Awaitable[None] | None:
        """Called after the last request, before the process ends, for as long as ``stop_timeout``.

        Not called if :meth:`on_start` failed, if a handler ends the process, or if it is killed. What it raises is
        printed and changes nothing.
        """
        return None
