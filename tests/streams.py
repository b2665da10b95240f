"""Streams as clients of the protocol have them: requests go out one by one, responses are taken one by one."""

from __future__ import annotations

import queue
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    import psutil

FINAL = "triton_final_response"
EMPTY_FINAL = {"triton_enable_empty_final_response": True}
STATUS = (("triton_grpc_error", "true"),)
"""Metadata that makes an error the end of the call."""


def ask(
    model: str,
    *numbers: int,
    id: str = "",
    outputs: Sequence[str] = (),
    parameters: Mapping[str, bool | int | float | str] | None = None,
) -> Any:
    """A request with the numbers as its input N."""
    request = service_pb2.ModelInferRequest(model_name=model, id=id)
    request.inputs.add(name="N", datatype="INT64", shape=[len(numbers)]).contents.int64_contents.extend(numbers)
    for name in outputs:
        request.outputs.add(name=name)
    for name, value in (parameters or {}).items():
        kind = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}[type(value)]
        setattr(request.parameters[name], kind, value)
    return request


class Servers:
    """The applications of a module, each served once it is asked for. Their workers must live through it all."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._module = module
        self._arguments = arguments
        self._servers: dict[str, tuple[Server, list[psutil.Process]]] = {}
        self._stack = ExitStack()

    def __getitem__(self, app: str) -> Server:
        if app not in self._servers:
            server = self._stack.enter_context(Server(f"{self._module}:{app}", *self._arguments)).wait_ready()
            self._servers[app] = (server, server.workers())
        return self._servers[app][0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack:
            if error is None:
                for server, workers in self._servers.values():
                    assert server.workers() == workers, "a worker did not go on"


class Call:
    """One call of ModelStreamInfer, on a connection of its own."""

    def __init__(self, server: Server, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None) -> None:
        # Without a pool of its own, grpcio shares connections between channels.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(server.address, options)
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self.rpc = stub.ModelStreamInfer(iter(self._requests.get, None), metadata=metadata, timeout=timeout)

    def send(self, *requests: Any) -> Self:
        """Sends requests."""
        for request in requests:
            self._requests.put(request)
        return self

    def half_close(self) -> Self:
        """Sends nothing more."""
        self._requests.put(None)
        return self

    def take(self) -> Any:
        """The next response."""
        return next(self.rpc)

    def numbers(self, count: int) -> list[int]:
        """What the next responses say, which are no errors."""
        return [number(self.take()) for _ in range(count)]

    def rest(self) -> list[Any]:
        """All that comes after a half-close."""
        self.half_close()
        return list(self.rpc)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rpc)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._requests.put(None)
        self.rpc.cancel()
        self._channel.close()


def number(response: Any) -> int:
    """The number that a response says."""
    assert response.error_message == ""
    return int(np.frombuffer(response.infer_response.raw_output_contents[0], np.int32)[0])


def is_final(response: Any) -> bool:
    """Whether a response says that it is its request's last; it must say so or not."""
    assert FINAL in response.infer_response.parameters
    return bool(response.infer_response.parameters[FINAL].bool_param)
