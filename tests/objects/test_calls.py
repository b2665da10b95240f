"""Handlers that have other workers answer something: ``anyserve.call`` is a request like a client's."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyserve
import numpy as np
import pytest
from anyserve import ModelInferRequest, ModelInferResponse, errors
from anyserve.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RequestError,
    ResourceExhaustedError,
    UnavailableError,
    UnimplementedError,
)

from tests.background import Background
from tests.gate import Gate
from tests.objects import doing
from tests.objects.doing import MIB
from tests.objects.remote import CONTEXT, PATIENCE, Remote, parameters_of, result_of

if TYPE_CHECKING:
    from anyserve import Client

    from tests.conftest import Serve
    from tests.objects.remote import Remote as Worker


def add(left: int, right: int) -> int:
    """Runs in the worker that is called."""
    return left + right


def call_add(left: int, right: int) -> int:
    """Runs in the worker that calls."""
    return int(Remote(anyserve.call, "two").run(add, left, right))


def test_a_handler_calls_another(one: Worker) -> None:
    assert one.run(call_add, 1, 2) == 3


def call_in_turn(depth: int) -> int:
    """One calls two, two calls three, three calls nobody."""
    names = ["two", "three"]
    return int(Remote(anyserve.call, names[-depth]).run(call_in_turn, depth - 1)) + 1 if depth else 0


def test_who_is_called_may_call(one: Worker) -> None:
    assert one.run(call_in_turn, 2) == 2


def call_with_context(left: int, right: int) -> list[Any]:
    """The same by the context that the handler was given."""
    context = CONTEXT.get()
    ref = context.objects.create(b"abc")
    result = context.call("two", parameters=parameters_of(add, left, right))
    return [bytes(context.objects.get(ref)).decode(), str(result.response.parameters["result"])]


def test_the_context_has_the_same(one: Worker) -> None:
    assert one.run(call_with_context, 1, 2) == ["abc", "3"]


def call_many(count: int) -> int:
    """One after the other."""
    two = Remote(anyserve.call, "two")
    return sum(two.run(add, number, 1) for number in range(count))


def test_calls_do_not_wear_out(one: Worker) -> None:
    assert one.run(call_many, 500) == sum(range(1, 501))


def meet(gate: str) -> int:
    """Stays until the test opens the gate."""
    Gate(gate).stay()
    return threading.get_ident()


def call_between(gate: str, number: int) -> list[int]:
    """Runs on several threads at once: calls before and after they have met."""
    before = call_add(number, 1)
    thread = meet(gate)
    ref = doing.create(number, 20_000)
    result = Remote(anyserve.call, "two").infer(look, inputs={"a": doing.named(ref)})
    return [before, result_of(result), thread]


def look(request: ModelInferRequest) -> int:
    """The first byte of the input."""
    return int(request.get_input("a").as_numpy()[0])


def test_handlers_on_threads_call_at_once(shared: Client, gate: Gate) -> None:
    threads = Remote(shared.infer, "threads")
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(threads.run, call_between, gate.parameters["gate"], number) for number in range(4)]
        gate.wait_entered(4)
        gate.open()
        found = [answer.result(PATIENCE) for answer in answers]
    assert [result[:2] for result in found] == [[number + 1, number] for number in range(4)]
    assert len({result[2] for result in found}) == 4


def call_from_own_threads(count: int) -> list[int]:
    """Threads that are no handlers."""
    with ThreadPoolExecutor(count) as pool:
        return sorted(pool.map(lambda number: call_add(number, 1), range(4 * count)))


def test_any_thread_of_a_worker_may_call(one: Worker) -> None:
    assert one.run(call_from_own_threads, 6) == list(range(1, 25))


def raise_error(kind: str, message: str, retry_after: float | None) -> None:
    """Runs in the worker that is called."""
    known: Any = getattr(errors, kind, None)
    raise known(message, retry_after) if known else ValueError(message)


def describe_error(kind: str, retry_after: float | None = None) -> list[Any]:
    """Runs in the worker that calls: the class, message and hint of what it was answered."""
    try:
        Remote(anyserve.call, "two").run(raise_error, kind, "no bananas", retry_after)
    except RequestError as error:
        return [type(error).__name__, str(error), error.retry_after, error.code.name]
    raise AssertionError("no error")


KINDS = [
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    FailedPreconditionError,
    UnavailableError,
    PermissionDeniedError,
    UnimplementedError,
    InternalError,
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_the_handler_has_its_class(one: Worker, kind: type[RequestError]) -> None:
    assert one.run(describe_error, kind.__name__) == [kind.__name__, "no bananas", None, kind.code.name]


def test_an_error_keeps_the_hint_when_to_try_again(one: Worker) -> None:
    assert one.run(describe_error, "UnavailableError", 1.5)[2] == 1.5


def test_any_other_error_of_the_handler_is_internal(one: Worker) -> None:
    assert one.run(describe_error, "a ValueError")[:2] == ["InternalError", "ValueError: no bananas"]


def pass_error_on(kind: str) -> None:
    """Runs in the worker that calls, and catches nothing."""
    Remote(anyserve.call, "two").run(raise_error, kind, "no bananas", None)


def test_an_error_that_nobody_catches_is_the_callers_answer(one: Worker) -> None:
    with pytest.raises(PermissionDeniedError, match=r"^no bananas$"):
        one.run(pass_error_on, "PermissionDeniedError")


def call_nobody(model: str, capability: dict[str, str] | None) -> None:
    """Runs in a worker."""
    anyserve.call(model, capability=capability)


def test_nobody_offers_it(shared: Client, one: Worker) -> None:
    for model, capability in (("nobody", None), ("", {"type": "nobody"})):
        with pytest.raises(NotFoundError) as expected:
            shared.infer(model, capability=capability)
        with pytest.raises(NotFoundError) as found:
            one.run(call_nobody, model, capability)
        assert str(found.value) == str(expected.value)


def call_stream() -> None:
    """Runs in a worker."""
    anyserve.call("stream", parameters={"count": 1})


def test_what_streams_cannot_be_called(one: Worker) -> None:
    with pytest.raises(UnimplementedError, match=r"\{model: stream, type: remote\} streams its responses"):
        one.run(call_stream)


def call_gate(gate: str, timeout: float | None) -> str:
    """Runs in a worker: waits no longer than that."""
    try:
        Remote(anyserve.call, "two").infer(stay, gate, timeout=timeout)
    except DeadlineExceededError as error:
        return str(error)
    raise AssertionError("no error")


def stay(gate: str) -> None:
    """Runs in the worker that is called, until the test opens the gate or nobody waits any longer."""
    context = CONTEXT.get()
    Gate(gate).stay(lambda: context.cancelled)


def test_a_call_out_of_time_ends_and_cancels_the_request(one: Worker, gate: Gate) -> None:
    assert one.run(call_gate, gate.parameters["gate"], 1.0)
    gate.wait_entered()
    gate.wait_cancelled()
    assert one.run(call_add, 1, 2) == 3


def call_itself() -> str:
    """Asks for the one worker that it is, which cannot answer."""
    try:
        Remote(anyserve.call, "one").run(add, 1, 2, timeout=1)
    except FailedPreconditionError as error:
        return str(error)
    raise AssertionError("no error")


def test_a_worker_that_calls_itself_is_told_so(one: Worker) -> None:
    assert "can never run: it is for pool 'one', which runs 1 at once" in one.run(call_itself)
    assert one.run(call_add, 1, 2) == 3


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_that_is_none_is_refused(one: Worker, timeout: float) -> None:
    with pytest.raises(InternalError, match=r"^ValueError: .* is not a positive number of seconds"):
        one.run(call_gate, "", timeout)


def echo(request: ModelInferRequest) -> ModelInferResponse:
    """Gives its inputs back, and two more outputs that nobody may want."""
    response = ModelInferResponse(parameters={"wanted": ",".join(request.requested_outputs)})
    for tensor in request.inputs:
        response.add_output(tensor.name, data=tensor.as_numpy())
    response.add_output("number", data=[len(request.inputs)])
    response.add_output("text", data=["a", "b"])
    return response


def call_echo(size: int, outputs: list[str]) -> list[Any]:
    """Sends contents of that size, with small ones before and behind them."""
    large = np.random.default_rng(1).integers(0, 256, size, np.uint8)
    inputs: dict[str, Any] = {"first": [1, 2], "large": large, "words": ["a", "é"], "last": large[:10]}
    result = Remote(anyserve.call, "two").infer(echo, inputs=inputs, outputs=outputs)
    wrong = [name for name in inputs if name in result and not same(result[name], inputs[name])]
    return [sorted(result), wrong, str(result.response.parameters["wanted"])]


def same(found: Any, expected: Any) -> bool:
    """Whether a tensor came back."""
    texts = isinstance(expected[0], str)
    return bool(np.array_equal(np.asarray(found).ravel(), [text.encode() for text in expected] if texts else expected))


ALL = ["first", "large", "last", "number", "text", "words"]


@pytest.mark.parametrize("size", [1, 8192, 8193, 300_000, 20 * MIB])
def test_contents_of_any_size_go_there_and_back(one: Worker, size: int) -> None:
    found, wrong, wanted = one.run(call_echo, size, [])
    assert (found, wrong, wanted) == (ALL, [], "")


def count_bytes(request: ModelInferRequest) -> int:
    """How large the input is."""
    return len(request.get_input("a").raw)


def call_to_count(size: int) -> Any:
    """Sends contents of that size."""
    return result_of(Remote(anyserve.call, "two").infer(count_bytes, inputs={"a": np.zeros(size, np.uint8)}))


def test_contents_may_be_larger_than_any_message(one: Worker) -> None:
    assert one.run(call_to_count, 100 * MIB) == 100 * MIB


def test_only_the_outputs_that_were_asked_for_come(shared: Client, one: Worker) -> None:
    found, wrong, wanted = one.run(call_echo, 20_000, ["large", "number"])
    result = Remote(shared.infer, "two").infer(echo, inputs={"large": [1]}, outputs=["large", "number"])
    assert result.response.parameters["wanted"] == wanted == "large,number"
    assert (found, wrong) == (sorted(result), [])


def test_a_caller_that_dies_takes_its_call_with_it(serve: Serve, gate: Gate) -> None:
    server = serve("tests.objects.apps.remote:app")
    with Background(server.address) as background, anyserve.Client(server.address) as client:
        one = Remote(client.infer, "one")
        pid = one.run(doing.pid)
        lost = background.infer("one", parameters_of(call_gate, gate.parameters["gate"], None), timeout=PATIENCE)
        gate.wait_entered()
        next(worker for worker in server.workers() if worker.pid == pid).kill()
        with pytest.raises(UnavailableError, match="SIGKILL"):
            lost.result(PATIENCE)
        gate.wait_cancelled()
        assert one.run(call_add, 1, 2) == 3


def call_one_that_dies() -> str:
    """Calls a worker that dies."""
    try:
        Remote(anyserve.call, "two").run(die)
    except UnavailableError as error:
        return str(error)
    raise AssertionError("no error")


def die() -> None:
    """Runs in the worker that is called."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_unavailable_to_its_caller(serve: Serve) -> None:
    server = serve("tests.objects.apps.remote:app")
    with anyserve.Client(server.address) as client:
        one = Remote(client.infer, "one")
        message = "the worker that ran the request is gone: the worker was killed by SIGKILL"
        assert message in one.run(call_one_that_dies)
        assert one.run(call_add, 1, 2) == 3
