"""Async handlers, and one that is not, in one worker."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from anyserve import AnyServe, Context, ModelInferRequest, ModelInferResponse, errors

from tests.gate import Gate

app = AnyServe()

label = contextvars.ContextVar("label", default="nobody's")


class Running:
    """How many handlers run at once, and how many did at most."""

    now = most = 0

    def __enter__(self) -> None:
        Running.now += 1
        Running.most = max(Running.most, Running.now)

    def __exit__(self, *_: object) -> None:
        Running.now -= 1


def answer(**outputs: Any) -> ModelInferResponse:
    response = ModelInferResponse()
    response.add_output("pid", data=[os.getpid()])
    response.add_output("thread", data=[threading.get_ident()])
    response.add_output("most", data=[Running.most])
    for name, value in outputs.items():
        response.add_output(name, data=[value])
    return response


async def stay(request: ModelInferRequest) -> None:
    """Stays in the request's gate."""
    gate = Gate(str(request.parameters["gate"]))
    # Notes that it is there.
    gate.stay(lambda: True)
    while not gate.is_open:
        await asyncio.sleep(0.002)


@app.capability(type="usual")
@app.capability(type="five", concurrency=5)
@app.capability(type="usual-again", idempotent=True)
async def gated(request: ModelInferRequest) -> ModelInferResponse:
    with Running():
        label.set(request.id)
        await stay(request)
        return answer(label=label.get(), loop=id(asyncio.get_running_loop()))


@app.capability(type="quick")
async def quick(request: ModelInferRequest) -> ModelInferResponse:
    return answer(label=label.get(), loop=id(asyncio.get_running_loop()))


@app.capability(type="blocking", concurrency=2)
def blocking(request: ModelInferRequest, context: Context) -> ModelInferResponse:
    """Not async."""
    Gate(str(request.parameters["gate"])).stay(lambda: context.cancelled)
    return answer()


@app.capability(type="fail")
async def fail(request: ModelInferRequest) -> Any:
    """Fails in the way that the parameter says, after a moment on the loop."""
    await asyncio.sleep(0)
    match str(request.parameters["how"]):
        case "ValueError":
            raise ValueError("too long")
        case "NotFoundError":
            raise errors.NotFoundError("not here")
        case "timeout":
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        case "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(quick(request))
                group.create_task(wrong())
        case "cancelled":
            raise asyncio.CancelledError
        case "None":
            return None
        case "coroutine":
            return asyncio.sleep
        case "exit":
            sys.exit(3)
        case "exit-in-task":
            await asyncio.create_task(leave())


async def wrong() -> None:
    raise KeyError("a task failed")


async def leave() -> None:
    sys.exit(3)


@app.capability(type="exit-in-thread")
def exit_in_thread(request: ModelInferRequest) -> ModelInferResponse:
    sys.exit(3)


@app.capability(type="tools")
async def tools(request: ModelInferRequest) -> ModelInferResponse:
    """What asyncio has works inside a handler."""
    label.set("the handler's")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(number(index)) for index in range(3)]
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        timed_out = True
    in_thread = await asyncio.to_thread(lambda: (label.get(), threading.get_ident()))
    process = await asyncio.create_subprocess_exec("true")
    started = time.monotonic()
    await asyncio.sleep(0.02)
    return answer(
        sum=sum(task.result() for task in tasks),
        timed_out=timed_out,
        labels=",".join([label.get(), in_thread[0], await asyncio.create_task(own_label())]),
        another_thread=in_thread[1] != threading.get_ident(),
        subprocess=await process.wait(),
        slept=time.monotonic() - started >= 0.019,
    )


async def number(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def own_label() -> str:
    """A task has its own copy of the variables."""
    found = label.get()
    label.set("a task's")
    return found


@app.capability(type="background")
async def background(request: ModelInferRequest) -> ModelInferResponse:
    """Answers, and leaves a task that goes on."""
    tasks.append(asyncio.create_task(stay(request)))
    return answer()


tasks: list[asyncio.Task[None]] = []


@app.capability(type="how-many-ended")
async def how_many_ended(request: ModelInferRequest) -> ModelInferResponse:
    return answer(ended=sum(task.done() for task in tasks))


@app.capability(type="limited", timeout=0.3)
async def limited(request: ModelInferRequest) -> ModelInferResponse:
    """Never ends; what it does about being told to give up is up to the parameter."""
    gate = Gate(str(request.parameters["gate"]))
    gate.stay(lambda: True)
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            Path(f"{request.parameters['gate']}.told").touch()
            if not request.parameters["stubborn"]:
                raise
