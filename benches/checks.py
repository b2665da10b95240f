"""Questions with a real client before anything is measured: h2load would not see a gRPC error or a wrong answer."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator

import numpy as np
import tritonclient.grpc as kserve

from benches.processes import BenchError
from benches.servers import Server

__all__ = ["check_echo", "check_stream"]

TIMEOUT_SECONDS = 60.0


def check_echo(server: Server, shape: list[int], model: str = "echo") -> None:
    """Asks for an echo of random bytes."""
    what = f"an echo of {shape} from {model}"
    sent = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    tensor = kserve.InferInput("IN", shape, "UINT8")
    tensor.set_data_from_numpy(sent)
    with _asking(server, what) as client:
        answer = client.infer(model, [tensor], client_timeout=TIMEOUT_SECONDS).as_numpy("OUT")
    if answer is None or answer.dtype != sent.dtype or not np.array_equal(answer, sent):
        raise BenchError(f"{server.name} answers {what} wrongly")


def check_stream(server: Server, count: int) -> None:
    """Asks for a stream: exactly ``count`` responses, the numbers from 0 on, in order."""
    what = f"a stream of {count}"
    tensor = kserve.InferInput("N", [1], "INT32")
    tensor.set_data_from_numpy(np.array([count], np.int32))
    came: queue.SimpleQueue[tuple[kserve.InferResult, Exception | None]] = queue.SimpleQueue()
    with _asking(server, what) as client:
        client.start_stream(lambda result, error: came.put((result, error)), stream_timeout=TIMEOUT_SECONDS)
        client.async_stream_infer("stream", [tensor])
        # Returns when the server has ended the stream too, so nothing can come later.
        client.stop_stream()
        numbers = [_number(server, *came.get()) for _ in range(came.qsize())]
    if numbers != list(range(count)):
        raise BenchError(f"{server.name} answers {what} with {len(numbers)} responses, or not with 0, 1, 2 ...")


def _number(server: Server, result: kserve.InferResult, error: Exception | None) -> int:
    if error is not None:
        raise error
    answer = result.as_numpy("OUT")
    if answer is None or answer.dtype != np.int32 or answer.shape != (1,):
        raise BenchError(f"{server.name} streams something else than one INT32: {answer!r}")
    return int(answer[0])


@contextlib.contextmanager
def _asking(server: Server, what: str) -> Iterator[kserve.InferenceServerClient]:
    with contextlib.closing(kserve.InferenceServerClient(f"127.0.0.1:{server.port}")) as client:
        try:
            yield client
        except kserve.InferenceServerException as error:
            raise BenchError(f"{server.name} refuses {what}: {error}") from error
