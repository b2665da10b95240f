"""The Rust core of anyserve. What users need of it is in the modules around it, under public names."""

import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Self, TypeAlias, final

import numpy as np

from .calls import CallStream
from .results import InferResult

__all__ = [
    "Admin",
    "Call",
    "Capability",
    "Client",
    "ClientObjects",
    "Context",
    "EmptyObject",
    "InferTensorContents",
    "ModelInferRequest",
    "ModelInferResponse",
    "ObjectInfo",
    "ObjectRef",
    "Objects",
    "OutputForm",
    "Raw",
    "Registry",
    "ResponseStream",
    "Stream",
    "Tensor",
    "Work",
    "Worker",
    "Writable",
    "__version__",
    "assigned_gpus",
    "call",
    "copied_bytes",
    "decode_generate",
    "decode_infer",
    "die_with_parent",
    "encode_generate",
    "encode_response",
    "run_agent",
]

__version__: Final[str]

_Parameter: TypeAlias = bool | int | float | str
_Data: TypeAlias = Any
"""A numpy array, a (nested) list, tuple or scalar of numbers, bools, str or bytes, or InferTensorContents."""

@final
class Capability:
    """What a worker offers: a non-empty set of key-value pairs.

    Keys are lower-cased, ``-`` counts as ``_``, and they match ``[a-z][a-z0-9_.]{0,63}``; there are at most 32 pairs;
    a value's text has at most 256 bytes. Values compare by their text: 1, 1.0 and "1" are equal.

    Raises:
        CapabilityError: The pairs are not such a set; the message names the key.
    """

    def __new__(cls, pairs: dict[str, _Parameter]) -> Self: ...
    @property
    def pairs(self) -> dict[str, str]:
        """The pairs in canonical form."""
    def matches(self, query: dict[str, _Parameter]) -> bool:
        """True when every pair of the query is in this capability."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Context:
    """What a handler may know beside its request."""

    @property
    def capability(self) -> dict[str, str]:
        """The pairs of the capability that the request is served under."""
    @property
    def cancelled(self) -> bool:
        """True once nobody waits for the answer any longer; cheap enough to ask in a loop."""
    @property
    def gpus(self) -> tuple[int, ...]:
        """The numbers of the GPUs that this worker has; none if it needs none."""
    @property
    def objects(self) -> Objects:
        """The objects of the agent: large data that is passed by reference."""
    @property
    def time_left(self) -> float | None:
        """Seconds until the client stops waiting, 0.0 if it has; None if it did not say."""
    def call(
        self,
        model_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        *,
        capability: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        model_version: str = "",
        request_id: str = "",
        outputs: Sequence[str] = (),
    ) -> InferResult:
        """Has a request served by whoever offers what it asks for, and waits for its outputs: :func:`anyserve.call`."""
    def acall(
        self,
        model_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        *,
        capability: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        model_version: str = "",
        request_id: str = "",
        outputs: Sequence[str] = (),
    ) -> Coroutine[Any, Any, InferResult]:
        """The same without holding up the event loop: :func:`anyserve.acall`."""
    def stream(
        self,
        model_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        *,
        capability: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
        timeout: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        model_version: str = "",
        request_id: str = "",
        outputs: Sequence[str] = (),
    ) -> CallStream:
        """The same for a request that has any number of responses, as they come: :func:`anyserve.stream`."""

@final
class InferTensorContents:
    """The contents of a tensor: assign them to another one, or read them as lists.

    As with the protocol's message, the elements are in the one list that fits the datatype and the others are empty:
    ``bool_contents`` (BOOL), ``int_contents`` (INT8, INT16, INT32), ``int64_contents``, ``uint_contents`` (UINT8,
    UINT16, UINT32), ``uint64_contents``, ``fp32_contents``, ``fp64_contents``, ``bytes_contents`` (BYTES). FP16 and
    BF16 are in none: read them with :meth:`Tensor.as_numpy`.
    """

    def __new__(cls, datatype: str, elements: _Data) -> Self: ...
    @property
    def datatype(self) -> str: ...
    @property
    def bool_contents(self) -> list[bool]: ...
    @property
    def int_contents(self) -> list[int]: ...
    @property
    def int64_contents(self) -> list[int]: ...
    @property
    def uint_contents(self) -> list[int]: ...
    @property
    def uint64_contents(self) -> list[int]: ...
    @property
    def fp32_contents(self) -> list[float]: ...
    @property
    def fp64_contents(self) -> list[float]: ...
    @property
    def bytes_contents(self) -> list[bytes]: ...

@final
class ObjectRef:
    """Where an object is and what it is. It goes wherever a tensor goes, and as text (``str(ref)``) anywhere else."""

    @staticmethod
    def parse(text: str) -> ObjectRef:
        """From its text. Raises ValueError for what is no reference."""
    @property
    def owner(self) -> str:
        """``HOST:PORT``, where the agent that has it gives it to other agents."""
    @property
    def id(self) -> str:
        """32 hexadecimal digits that nobody can guess."""
    @property
    def size(self) -> int:
        """How many bytes it has."""
    @property
    def datatype(self) -> str | None:
        """The name of an array's datatype, such as ``FP32``; None for plain bytes."""
    @property
    def shape(self) -> tuple[int, ...] | None:
        """An array's shape; None for plain bytes."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...

@final
class ObjectInfo:
    """What is known of an object."""

    @property
    def reference(self) -> ObjectRef:
        """What everybody calls it."""
    @property
    def key(self) -> str | None:
        """The key that it goes by, if it has one."""
    @property
    def pinned(self) -> bool:
        """It does not make room for others."""
    @property
    def expires_in(self) -> float | None:
        """Seconds that it is there yet at most; None if it does not expire."""
    @property
    def age(self) -> float:
        """Seconds that it has been there."""
    @property
    def creator(self) -> str:
        """Who made it, in words."""
    @property
    def leases(self) -> int:
        """How many hold it now."""
    @property
    def location(self) -> str:
        """``memory``, ``disk``, or the address of the agent that it was pulled from."""

@final
class EmptyObject:
    """An array in shared memory that is filled in place, and then becomes an object."""

    @property
    def array(self) -> np.ndarray[Any, Any]:
        """The array to fill; read-only once it is sealed."""
    def seal(self) -> ObjectRef:
        """Makes an object of what the array holds, which does not change from now on."""

@final
class Objects:
    """The objects of the agent whose worker this process is; :mod:`anyserve.objects` describes the methods."""

    def __new__(cls) -> Self: ...
    def create(self, data: _Data, key: str | None = None, ttl: float | None = None, pin: bool = False) -> ObjectRef: ...
    def create_empty(
        self,
        shape: int | Sequence[int],
        dtype: Any,
        key: str | None = None,
        ttl: float | None = None,
        pin: bool = False,
    ) -> EmptyObject: ...
    def get(self, name: ObjectRef | str, copy: bool = False, timeout: float | None = None) -> Any: ...
    def lookup(
        self, keys: str | list[str], owner: ObjectRef | str | None = None, timeout: float | None = None
    ) -> Any: ...
    def delete(self, name: ObjectRef | str) -> bool: ...
    def stat(self, name: ObjectRef | str) -> ObjectInfo: ...

@final
class ClientObjects:
    """The objects of the agent that a client is connected to; :mod:`anyserve.client_objects` describes the methods."""

    def create(
        self,
        data: _Data,
        key: str | None = None,
        ttl: float | None = None,
        pin: bool = False,
        timeout: float | None = None,
    ) -> ObjectRef: ...
    def create_async(
        self,
        data: _Data,
        key: str | None = None,
        ttl: float | None = None,
        pin: bool = False,
        timeout: float | None = None,
    ) -> Awaitable[ObjectRef]: ...
    def get(self, name: ObjectRef | str, copy: bool = False, timeout: float | None = None) -> Any: ...
    def get_async(self, name: ObjectRef | str, copy: bool = False, timeout: float | None = None) -> Awaitable[Any]: ...
    def lookup(
        self, keys: str | list[str], owner: ObjectRef | str | None = None, timeout: float | None = None
    ) -> Any: ...
    def lookup_async(
        self, keys: str | list[str], owner: ObjectRef | str | None = None, timeout: float | None = None
    ) -> Awaitable[Any]: ...
    def delete(self, name: ObjectRef | str, timeout: float | None = None) -> bool: ...
    def delete_async(self, name: ObjectRef | str, timeout: float | None = None) -> Awaitable[bool]: ...
    def stat(self, name: ObjectRef | str, timeout: float | None = None) -> ObjectInfo: ...
    def stat_async(self, name: ObjectRef | str, timeout: float | None = None) -> Awaitable[ObjectInfo]: ...

@final
class Writable:
    """Bytes that are written to through the buffer protocol, until they become an object."""

def copied_bytes() -> int:
    """How many bytes of large contents this process has copied in user space."""

@final
class Tensor:
    """An input or output: a name, a datatype of KServe v2, a shape and contents.

    Args:
        name: Its name.
        data: Its elements: a numpy array, a (nested) list or a scalar of numbers, bools, str or bytes, or the
            contents of another tensor, or an :class:`ObjectRef`. An array of another dtype is cast if that keeps its
            kind (float64 to FP32, never to an integer).
        datatype: One of :data:`anyserve.kserve.DATATYPES`; by default what the data says (int: INT64, float: FP64,
            str and bytes: BYTES).
        shape: By default that of the data.
        parameters: bool, int, float or str by name.

    Raises:
        ValueError, TypeError: The data is not of that datatype and shape.
    """

    name: str
    shape: Sequence[int]
    contents: InferTensorContents
    """The contents, for assigning them to another tensor of that datatype: no bytes are copied."""

    def __new__(
        cls,
        name: str,
        data: _Data | None = None,
        *,
        datatype: str | None = None,
        shape: Sequence[int] | None = None,
        parameters: dict[str, _Parameter] | None = None,
    ) -> Self: ...
    @property
    def datatype(self) -> str: ...
    @property
    def parameters(self) -> dict[str, _Parameter]:
        """The tensor's parameters; changes to the dict are kept."""
    @property
    def object_ref(self) -> ObjectRef | None:
        """The object that the contents are; None if they came with the message."""
    @property
    def raw(self) -> memoryview:
        """The contents as they travel, read-only: little-endian, row-major; BYTES elements behind their lengths."""
    def as_numpy(self) -> np.ndarray[Any, Any]:
        """A read-only array that is a view of the contents.

        BYTES gives an object array of bytes, which are copies; BF16, which numpy does not know, its bits as uint16.
        """
    @property
    def bool_contents(self) -> list[bool]: ...
    @property
    def int_contents(self) -> list[int]: ...
    @property
    def int64_contents(self) -> list[int]: ...
    @property
    def uint_contents(self) -> list[int]: ...
    @property
    def uint64_contents(self) -> list[int]: ...
    @property
    def fp32_contents(self) -> list[float]: ...
    @property
    def fp64_contents(self) -> list[float]: ...
    @property
    def bytes_contents(self) -> list[bytes]: ...

@final
class ModelInferRequest:
    """What a client asks."""

    model_name: str
    model_version: str
    id: str
    requested_outputs: Sequence[str]
    """Names of the outputs that the client wants; none means all."""

    def __new__(
        cls,
        model_name: str = "",
        model_version: str = "",
        id: str = "",
        *,
        parameters: dict[str, _Parameter] | None = None,
    ) -> Self: ...
    @property
    def parameters(self) -> dict[str, _Parameter]:
        """The request's parameters; changes to the dict are kept."""
    @property
    def inputs(self) -> list[Tensor]:
        """The input tensors, in order."""
    def get_input(self, name: str) -> Tensor:
        """The input of that name; KeyError, with the names there are, if there is none."""
    def add_input(
        self,
        name: str,
        datatype: str | None = None,
        shape: Sequence[int] | None = None,
        data: _Data | None = None,
        *,
        parameters: dict[str, _Parameter] | None = None,
    ) -> Tensor:
        """Adds an input and returns it; arguments as for :class:`Tensor`."""

@final
class ModelInferResponse:
    """What a handler answers. An empty model name or id is filled in from the request."""

    model_name: str
    model_version: str
    id: str

    def __new__(
        cls,
        model_name: str = "",
        model_version: str = "",
        id: str = "",
        *,
        parameters: dict[str, _Parameter] | None = None,
    ) -> Self: ...
    @property
    def parameters(self) -> dict[str, _Parameter]:
        """The response's parameters; changes to the dict are kept."""
    @property
    def outputs(self) -> list[Tensor]:
        """The output tensors, in order."""
    def get_output(self, name: str) -> Tensor:
        """The output of that name; KeyError, with the names there are, if there is none."""
    def add_output(
        self,
        name: str,
        datatype: str | None = None,
        shape: Sequence[int] | None = None,
        data: _Data | None = None,
        *,
        parameters: dict[str, _Parameter] | None = None,
    ) -> Tensor:
        """Adds an output and returns it; arguments as for :class:`Tensor`."""

@final
class Raw:
    """Read-only bytes that Python sees through the buffer protocol."""

    def __len__(self) -> int: ...
    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Client:
    """A client of one server, or of the replicas of a registry; :class:`anyserve.Client` is made of it."""

    def __new__(cls, endpoint: str, shared_memory: str | os.PathLike[str] | None = None) -> Self:
        """With ``shared_memory``, the agent's socket for that, large tensors are not sent but lie in its memory."""
    def prepare(self, make: Callable[[], ModelInferRequest]) -> ModelInferRequest:
        """Calls a function, and puts the large contents of requests that it makes where the agent sees them."""
    @staticmethod
    def discover(
        registry: str,
        capability: dict[str, _Parameter] | None = None,
        policy: str = "power_of_two",
        hash_on: str | None = None,
        retry_on_failure: bool = False,
    ) -> Client:
        """A client of the replicas of a registry, which is named by its URL."""
    @property
    def objects(self) -> ClientObjects:
        """The objects of the agent; in a fleet, of one of its agents."""
    def objects_async(self) -> Awaitable[ClientObjects]: ...
    @property
    def place(self) -> tuple[str, str | None] | None:
        """``HOST:PORT`` and replica id of where the last request went; None before the first."""
    def resolve(self, timeout: float | None = None) -> tuple[str, str | None]:
        """The same; before the first request, of where it may go."""
    def resolve_async(self, timeout: float | None = None) -> Awaitable[tuple[str, str | None]]: ...
    def infer(
        self,
        request: ModelInferRequest,
        capability: dict[str, _Parameter] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ModelInferResponse: ...
    def infer_async(
        self,
        request: ModelInferRequest,
        capability: dict[str, _Parameter] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Awaitable[ModelInferResponse]: ...
    def stream(
        self,
        request: ModelInferRequest,
        capability: dict[str, _Parameter] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ResponseStream: ...
    def stream_async(
        self,
        request: ModelInferRequest,
        capability: dict[str, _Parameter] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Awaitable[ResponseStream]: ...
    def is_server_ready(self, timeout: float | None = None) -> bool: ...
    def is_model_ready(self, model_name: str, timeout: float | None = None) -> bool: ...
    def status(self, timeout: float | None = None) -> dict[str, Any]:
        """Pools, workers, queues and resources of the agent, as `Admin.status` gives them."""
    def status_async(self, timeout: float | None = None) -> Awaitable[dict[str, Any]]: ...
    def model_metadata(
        self, model_name: str, timeout: float | None = None
    ) -> tuple[list[tuple[str, str, list[int]]], list[tuple[str, str, list[int]]]]: ...

@final
class Registry:
    """The replicas of a fleet: who offers what.

    Args:
        url: ``memory:`` for a registry of this process, ``etcd://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]]...`` for one
            in etcd (options ``?ca=FILE&cert=FILE&key=FILE&prefix=TEXT``), ``http://HOST:PORT[,http://HOST:PORT]...``
            for that of API servers. It is followed from now on; while it cannot be reached, what is known of it stays.

    Raises:
        ValueError: The URL names no registry.
    """

    def __new__(cls, url: str) -> Self: ...
    def put(self, replica: dict[str, Any], lease: float) -> Awaitable[None]:
        """Registers a replica for ``lease`` seconds, renews it, or changes it.

        In memory, it is among the replicas when this returns; elsewhere, as soon as the registry has told of it.

        ``replica`` has ``replica_id``, ``endpoint`` (HOST:PORT), ``capabilities`` (a list of dicts),
        ``incarnation``: an int that is larger for a process that started later, by default the time in microseconds,
        and ``idempotent``: those of its capabilities that do no harm if a request runs twice, by default none.

        Raises:
            ValueError: It is no replica; the message names what is wrong.
            SupersededError: A later incarnation has the id.
            RegistryError: The registry does not answer, or is full.
        """
    def remove(self, replica_id: str, incarnation: int | None = None) -> Awaitable[bool]:
        """Takes a replica out, unless it is of a later incarnation; True if it was there.

        Raises:
            ValueError: It is no id.
            RegistryError: The registry does not answer.
        """
    def route(self, query: dict[str, _Parameter], exclude: Sequence[str] = ...) -> dict[str, str] | None:
        """``endpoint`` and ``replica_id`` of a replica that matches and is not in ``exclude``, each in turn.

        Raises:
            CapabilityError: It is no query.
        """
    def replicas(self, query: dict[str, _Parameter] | None = None) -> list[dict[str, Any]]:
        """The replicas that match, or all, by id.

        Raises:
            CapabilityError: It is no query.
        """
    def snapshot(self) -> tuple[int, list[dict[str, Any]]]:
        """The version of what is known, and all replicas. The version is 0 until the registry has answered once."""
    def changes(self, since: int) -> Awaitable[tuple[int, list[dict[str, Any]]]]:
        """Waits for another version than ``since``: that version, and what has changed, in order.

        Each change is ``{"put": replica}`` or ``{"gone": replica_id}``; if ``since`` is too old, there is one
        ``{"snapshot": [replica, ...]}``.
        """
    def explain_no_match(self, query: dict[str, _Parameter]) -> str:
        """A sentence for a query that no replica matches: the query, and some of what exists."""
    def is_connected(self) -> bool:
        """True while the registry is followed; else what is known is what was known last."""

@final
class ResponseStream:
    """The responses to one request, as they come to a client."""

    def next(self) -> ModelInferResponse | None:
        """Waits for the next response; None after the last."""
    def next_async(self) -> Awaitable[ModelInferResponse | None]: ...
    def close(self) -> None:
        """Cancels what is left of the request."""

@final
class OutputForm:
    """Which outputs the client of a REST request wants as binary data; the others are JSON."""

    def __new__(cls) -> Self:
        """Every output as JSON."""
    def is_binary(self, output: str) -> bool:
        """True if the output of that name is to follow the JSON as binary data."""

def decode_infer(
    body: bytes, header_length: int | None, model_name: str, model_version: str = ""
) -> tuple[ModelInferRequest, OutputForm]:
    """The request that a body of KServe v2 REST stands for, and how its response is to be encoded.

    Args:
        body: JSON, and behind it the contents of the inputs that have the parameter ``binary_data_size``. These are not
            copied: the request holds the body.
        header_length: The value of the header ``Inference-Header-Content-Length``: how many bytes of the body are JSON;
            None if there is none.
        model_name: The model that the path names.
        model_version: Its version, if the path names one.

    Raises:
        ValueError: The body is no such request, or uses shared memory; the message says what is wrong, and where.
    """

def encode_response(response: ModelInferResponse, form: OutputForm | None = None) -> tuple[bytes, int | None]:
    """The body of a KServe v2 REST response, and the value of its header ``Inference-Header-Content-Length``.

    The header is None, and must not be sent, if no output is binary; the content type is ``application/octet-stream``
    if one is, else ``application/json``. Without a form, every output is JSON.

    Raises:
        ValueError: An output has no form in JSON (FP16, BF16, or BYTES that are not UTF-8), or is not well formed.
    """

def decode_generate(
    body: bytes, inputs: list[tuple[str, str, list[int]]], model_name: str, model_version: str = ""
) -> ModelInferRequest:
    """The request that the flat object of Triton's generate extension stands for.

    Args:
        body: A JSON object. A member that is called as an input is that input; where nothing is declared, every member
            is one, by its type in JSON. The members of ``parameters``, and the others, are parameters; ``id`` is the
            id.
        inputs: The declared inputs of the model, each its name, datatype and shape, as :meth:`Client.model_metadata`
            has them.
        model_name: The model that the path names.
        model_version: Its version, if the path names one.

    Raises:
        ValueError: The body is no such object; the message says what is wrong, and where.
    """

def encode_generate(response: ModelInferResponse) -> bytes:
    """A response as the flat JSON object of Triton's generate extension: an output of one element as that element.

    For ``generate_stream``, send each as an event: ``b"data: " + encode_generate(response) + b"\\n\\n"``.

    Raises:
        ValueError: An output has no form in JSON (FP16, BF16, or BYTES that are not UTF-8), or is not well formed.
    """

@final
class Stream:
    """The responses of one request, for a handler declared with ``stream=True``."""

    def send(self, response: ModelInferResponse) -> None:
        """Sends one response. Waits while the client is too far behind.

        Raises:
            CancelledError: (of anyserve.errors) Nobody waits for the stream any longer.
            ResourceExhaustedError: The client has taken nothing for too long (``--stream-stall-timeout``).
            RuntimeError: The stream is closed.
            ValueError: The response is not well formed, or over the limit.
        """
    def close(self) -> None:
        """Ends the stream before the handler returns; nothing can be sent afterwards."""

@final
class Call:
    """A request that a handler makes of other workers; it is cancelled when nobody refers to it."""

    def __new__(
        cls,
        request: ModelInferRequest,
        requests: Sequence[int] | None = None,
        timeout: float | None = None,
        endpoint: str | None = None,
        *,
        stream: bool = False,
        watched: bool = False,
    ) -> Self:
        """Makes the call, in the name of these requests of the agent's, or of those of the handler that runs.

        With ``watched``, :meth:`Worker.drain` says when something has come for it.
        """
    @property
    def id(self) -> int:
        """As :meth:`Worker.drain` names it."""
    def next(self) -> ModelInferResponse | None:
        """Waits for the next response; None after the last."""
    def try_next(self) -> tuple[bool, ModelInferResponse | None]:
        """Whether there is something; and if so, the next response, or None after the last."""
    def cancel(self) -> None:
        """Nobody waits for it any longer; who does gets None."""

def call(
    request: ModelInferRequest,
    requests: Sequence[int] | None = None,
    timeout: float | None = None,
    endpoint: str | None = None,
) -> ModelInferResponse:
    """Makes a call that has one response, and waits for it."""

@final
class Work:
    """What one call of a handler is to answer, in the hands of an event loop."""

    @property
    def ids(self) -> tuple[int, ...]:
        """The agent's numbers for its requests."""
    @property
    def is_async(self) -> bool:
        """True if its handler is a coroutine function or an async generator."""
    @property
    def streams(self) -> bool:
        """True if its handler has any number of responses."""
    @property
    def yields(self) -> bool:
        """True if its handler yields them."""
    @property
    def cancelled(self) -> bool:
        """True once nobody waits for any of its requests."""
    def run(self) -> None:
        """Runs a handler that is not async, and answers."""
    def call(self, stream: object | None = None) -> Any:
        """Calls an async handler; returns its coroutine or its async generator."""
    def answer(self, result: Any) -> None:
        """Answers with what the handler returned."""
    def send(self, response: Any) -> bool:
        """Sends one response of a stream; False if the client has to take more of it first."""
    def finish(self, result: Any) -> None:
        """Ends a stream; ``result`` is what its handler returned."""
    def close(self) -> None:
        """Ends a stream before its handler does."""
    def fail(self, error: BaseException) -> None:
        """Answers with the error that the handler raised; raises it again if it must end the worker."""
    def cancel(self) -> None:
        """The handler was cancelled."""

@final
class Worker:
    """A worker process, connected to the agent that started it."""

    def __new__(cls) -> Self: ...
    def start_failed(self, message: str, traceback: str) -> None:
        """Tells the agent that the application could not be loaded."""
    def declare(self, pools: Sequence[Any]) -> None:
        """Tells the agent what the application declares."""
    def ready(self, handlers: Sequence[Any], sleeps: bool) -> int | None:
        """Tells the agent what the handlers serve, and whether the worker can sleep.

        Returns how many batches run at once; None if the agent said stop meanwhile.
        """
    def serve(self, carry_out: Callable[[int], object]) -> None:
        """Runs handlers that are not async on this thread, until the agent says stop. Threads may share the work.

        ``carry_out(level)`` is called where the agent wants the worker to sleep, or at level 0 to wake.
        """
    def settled(self, error: str | None = None, traceback: str = "") -> None:
        """Tells the agent that its last order was carried out, or why not."""
    def lend_to_loop(self) -> list[int]:
        """From now on an event loop brings in the agent's messages, by `drain`. Returns the socket to watch."""
    def drain(self, most: int) -> tuple[list[Work], list[int], list[int], list[int], int | None, bool]:
        """Brings in what has arrived, without waiting.

        Returns at most `most` batches, the requests that nobody waits for any longer, those whose streams may go on,
        the calls that are watched and for which something came, the level that the agent wants the worker to sleep at
        (0 to wake), and whether to stop.
        """
    def take(self, most: int) -> list[Work]:
        """At most `most` batches that have arrived."""
    @property
    def stall_timeout(self) -> float:
        """Seconds that a stream waits for a client that takes nothing."""

def assigned_gpus() -> tuple[int, ...]:
    """The numbers of the GPUs that the agent gave to this worker (``ANYSERVE_GPUS``), in its order.

    Raises:
        ValueError: The variable is no list of numbers.
    """

@final
class Admin:
    """A connection to the socket by which an agent on this machine is steered.

    What fails raises UnavailableError (no agent answers) or the agent's own answer: NotFoundError (no such pool),
    InvalidArgumentError, FailedPreconditionError.
    """

    def __new__(cls, socket: str | os.PathLike[str]) -> Self: ...
    def status(self) -> dict[str, Any]:
        """Pools, workers, queues and resources, as dicts and lists; times in seconds, sizes in bytes."""
    def scale(self, pool: str, min: int, max: int | None = None) -> str:
        """Keeps at least `min` workers of a pool and at most `max`, or exactly `min`. Returns what was done."""
    def sleep(self, pool: str) -> str:
        """Puts the workers of a pool to sleep; a request wakes them."""
    def wake(self, pool: str) -> str:
        """Wakes the workers of a pool."""
    def pin(self, pool: str, pinned: bool) -> str:
        """Keeps the workers of a pool from being evicted or stopped for being idle, or not any more."""
    def drain(self, pool: str) -> str:
        """Lets a pool finish what it has, and have no workers and no requests until it is scaled."""
    def objects(self, lease_age: float) -> dict[str, Any]:
        """The objects, the leases that are at least so many seconds old, and what is used."""
    def stat_object(self, name: str) -> dict[str, Any]:
        """What is known of an object, by its id, its reference or its key."""
    def delete_object(self, name: str) -> str: ...
    def reload(self, *, all: bool = False) -> str:
        """Lets the agent read its configuration again, and replace what has changed, or all."""

def die_with_parent() -> None:
    """From now on this process is killed when the process that started it dies."""

def run_agent(
    *,
    host: str,
    port: int,
    http_port: int | None,
    fleet: Any,
    reload: Callable[[], Any] | None,
    reload_all: bool,
    admin_folder: str | None,
    memory_folder: str | None,
    model_control: bool,
    max_message_size: int,
    max_queue_size: int,
    max_queue_bytes: int,
    object_store_size: int | None,
    object_port: int,
    object_host: str | None,
    object_checksum: bool,
    allow_client_shm: bool,
    object_spill: str | None,
    object_spill_size: int | None,
    registry: str | None,
    replica_id: str | None,
    advertise: str | None,
    lease: float,
    start_timeout: float,
    drain_timeout: float,
    stream_stall_timeout: float,
    metrics_port: int | None,
    metrics_near: bool,
    debug: bool,
    log_level: str,
    log_format: str,
    early_signals: list[int],
    on_ready: Callable[[str, int, int | None, int | None, int, list[str], list[str]], None],
) -> None:
    """Serves until SIGINT or SIGTERM, then drains; a second signal stops at once.

    ``fleet`` is an :class:`anyserve.cli.fleet.Fleet`, and ``reload()`` gives it anew, at SIGHUP or when an operator
    says so; with ``reload_all`` every pool is replaced then. Calls ``on_ready(host, port, http_port, metrics_port,
    workers, pools, capabilities)`` once every pool has the workers that it must have. With ``metrics_near`` the metrics
    take a free port if theirs is taken. What ``early_signals`` holds once the agent listens to signals itself counts as
    one of them. Raises ServeError when a port, a pool or a worker cannot be had.
    """
