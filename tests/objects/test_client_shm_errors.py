"""System shared memory that is refused, or goes away while it is in use."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from tests.metrics import Metrics
from tests.objects.regions import APP, SIZE, Region, Regions, inline, noise, source, target
from tests.server import Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.gate import Gate

Refused = tuple[str, str]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(APP, "--allow-client-shm") as server:
        yield server.wait_ready()


@pytest.fixture
def regions(server: Server) -> Iterator[Regions]:
    with Regions(server) as regions:
        yield regions


def refused(call: Callable[..., object], *arguments: Any, **options: Any) -> Refused:
    """The status and the message of a call that does not go well."""
    with pytest.raises(InferenceServerException) as failure:
        call(*arguments, **options)
    return failure.value.status().removeprefix("StatusCode."), failure.value.message()


def test_nothing_of_it_goes_without_the_flag(basic: Server) -> None:
    with InferenceServerClient(basic.address) as triton:
        region = Region()
        for call in (
            lambda: triton.register_system_shared_memory(region.name, region.key, SIZE),
            lambda: triton.unregister_system_shared_memory(region.name),
            triton.unregister_system_shared_memory,
            triton.get_system_shared_memory_status,
            lambda: triton.infer("echo", [source(region, SIZE)]),
            lambda: triton.infer("echo", [inline(noise(1))], outputs=[target(region, SIZE)]),
        ):
            status, message = refused(call)
            assert (status, "--allow-client-shm" in message) == ("PERMISSION_DENIED", True)
        assert "system_shared_memory" not in triton.get_server_metadata().extensions
        region.close()


def test_memory_of_gpus_is_not_shared(regions: Regions) -> None:
    for call in (
        lambda: regions.triton.register_cuda_shared_memory("gpu", b"aGFuZGxl", 0, 1),
        regions.triton.unregister_cuda_shared_memory,
        regions.triton.get_cuda_shared_memory_status,
    ):
        status, message = refused(call)
        assert (status, "GPU" in message) == ("UNIMPLEMENTED", True)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("", "not the name of"),
        ("/", "not the name of"),
        ("..", "not the name of"),
        ("/../etc/passwd", "not the name of"),
        ("a/b", "not the name of"),
        ("k" * 300, "not the name of"),
        ("/anyserve-test-there-is-none", "cannot be opened"),
    ],
)
def test_keys_of_nothing(regions: Regions, key: str, wrong: str) -> None:
    status, message = refused(lambda: regions.triton.register_system_shared_memory("name", key, 1))
    assert (status, wrong in message) == ("INVALID_ARGUMENT", True)


def test_what_is_no_shared_memory_object(regions: Regions) -> None:
    for make in (Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/etc/hosts")):
        path = Path("/dev/shm", Region.__name__ + os.urandom(8).hex())
        make(path)
        try:
            register = regions.triton.register_system_shared_memory
            assert refused(register, "name", path.name, 1)[0] == "INVALID_ARGUMENT"
        finally:
            path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize(("offset", "size"), [(0, SIZE + 1), (1, SIZE), (SIZE, 1), (0, 0), (2**64 - 1, 2), (0, 2**63)])
def test_regions_that_are_not_within_their_object(regions: Regions, offset: int, size: int) -> None:
    region = regions.make()
    register = regions.triton.register_system_shared_memory
    assert refused(register, region.name, region.key, size, offset)[0] == "INVALID_ARGUMENT"


def test_names(regions: Regions) -> None:
    region = regions.add()
    register = regions.triton.register_system_shared_memory
    assert refused(register, region.name, region.key, SIZE)[0] == "ALREADY_EXISTS"
    for name in ("", "n" * 257):
        assert refused(register, name, region.key, SIZE)[0] == "INVALID_ARGUMENT"
    assert refused(regions.triton.get_system_shared_memory_status, "nothing")[0] == "NOT_FOUND"
    assert refused(regions.triton.unregister_system_shared_memory, "nothing")[0] == "NOT_FOUND"
    regions.triton.unregister_system_shared_memory(region.name)
    assert refused(regions.triton.infer, "echo", [source(region, 10)])[0] == "NOT_FOUND"
    register(region.name, region.key, SIZE)


def test_no_more_than_so_many(regions: Regions) -> None:
    region = regions.make()
    for number in range(1024):
        regions.triton.register_system_shared_memory(f"name-{number}", region.key, SIZE)
    register = regions.triton.register_system_shared_memory
    assert refused(register, "one more", region.key, SIZE)[0] == "RESOURCE_EXHAUSTED"
    regions.triton.unregister_system_shared_memory()
    register("one more", region.key, SIZE)


def test_address_space_is_bounded(regions: Regions) -> None:
    region = regions.make()
    region.truncate(1 << 42)
    regions.triton.register_system_shared_memory("half", region.key, 1 << 41)
    register = regions.triton.register_system_shared_memory
    assert refused(register, "more", region.key, 1, 1 << 41)[0] == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(("count", "offset"), [(SIZE + 1, 0), (SIZE, 1), (1, SIZE), (2**63 - 1, 2**63 - 1)])
def test_tensors_that_are_not_within_their_region(regions: Regions, count: int, offset: int) -> None:
    region = regions.add()
    sent = inline(noise(1))
    for call in (
        lambda: regions.triton.infer("echo", [source(region, count, offset)]),
        lambda: regions.triton.infer("echo", [sent], outputs=[target(region, count, offset)]),
    ):
        status, message = refused(call)
        assert (status, "are not within shared memory region" in message) == ("INVALID_ARGUMENT", True)


def of_shape(given: Any, shape: list[int]) -> Any:
    given.set_shape(shape)
    return given


@pytest.mark.parametrize("count", [100, 100_000])
def test_tensors_of_another_size(regions: Regions, count: int) -> None:
    region = regions.add()
    wrong = [
        of_shape(source(region, count), [count - 1]),
        source(region, count, datatype="FP32"),
        # Zeros are texts of no length.
        of_shape(source(region, count, datatype="BYTES"), [count // 4 - 1]),
        of_shape(source(region, count - 1, datatype="BYTES"), [count // 4]),
        source(region, count, datatype="NONE"),
    ]
    for given in wrong:
        assert refused(regions.triton.infer, "echo", [given])[0] == "INVALID_ARGUMENT"
    texts = of_shape(source(region, count, datatype="BYTES"), [count // 4])
    assert regions.triton.infer("echo", [texts]).as_numpy("output_x").tolist() == [b""] * (count // 4)


@pytest.mark.parametrize("parameter", ["shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"])
def test_parameters_that_are_none(regions: Regions, parameter: str) -> None:
    region = regions.add()
    for place in (source(region, 10, 1), target(region, 10, 1)):
        # The message behind tritonclient's object.
        place._get_tensor().parameters[parameter].bool_param = True
        inputs, outputs = ([place], None) if isinstance(place, InferInput) else ([inline(noise(1))], [place])
        status, message = refused(regions.triton.infer, "echo", inputs, outputs=outputs)
        assert (status, parameter in message) == ("INVALID_ARGUMENT", True)


def test_outputs_that_are_too_large(regions: Regions) -> None:
    region = regions.add()
    for count in (11, 20_000):
        outputs = [target(region, count - 1)]
        status, message = refused(regions.triton.infer, "echo", [inline(noise(count))], outputs=outputs)
        assert (status, f"its {count} bytes do not fit the {count - 1} bytes" in message) == ("INVALID_ARGUMENT", True)
    assert not region.get(SIZE).any()


def infer_later(regions: Regions, *arguments: Any, **options: Any) -> Callable[[], Any]:
    """Sends a request; returns what waits for the result, or for the error."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(regions.triton.infer(*arguments, **options))
        except InferenceServerException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def result() -> Any:
        thread.join(60)
        [only] = outcome
        return only

    return result


def test_unregistered_and_unlinked_while_in_use(regions: Regions, gate: Gate, server: Server) -> None:
    there, back, sent = regions.add(), regions.add(), noise(SIZE)
    given, wanted = source(there.put(sent), SIZE), target(back, SIZE)
    result = infer_later(regions, "echo", [given], outputs=[wanted], parameters=gate.parameters)
    gate.wait_entered()
    with InferenceServerClient(server.address) as other:
        other.unregister_system_shared_memory()
        assert not other.get_system_shared_memory_status().regions
    there.path.unlink()
    gate.open()
    assert not isinstance(result(), Exception)
    np.testing.assert_array_equal(back.get(SIZE), sent)
    there.path.touch()
    eventually(lambda: not uses_of(server, "anyserve-test"), "nobody has the memory any more")


def test_made_smaller_before(regions: Regions) -> None:
    there, sent = regions.add(), inline(noise(SIZE))
    there.truncate(SIZE // 2)
    for call in (
        lambda: regions.triton.infer("sum", [source(there, SIZE)]),
        lambda: regions.triton.infer("echo", [source(there, 100, SIZE - 100)]),
        lambda: regions.triton.infer("echo", [sent], outputs=[target(there, SIZE)]),
    ):
        status, message = refused(call)
        assert (status, "is smaller than when it was registered" in message) == ("INVALID_ARGUMENT", True)
    regions.triton.infer("sum", [source(there, SIZE // 2)])


def test_made_smaller_while_a_handler_reads(regions: Regions, gate: Gate, server: Server) -> None:
    """The worker is killed by the system, and replaced; the agent lives."""
    there, [worker] = regions.add(), server.workers()
    result = infer_later(regions, "sum", [source(there, SIZE)], parameters=gate.parameters)
    gate.wait_entered()
    there.truncate(0)
    gate.open()
    failure = result()
    assert (failure.status(), "SIGBUS" in failure.message()) == ("StatusCode.UNAVAILABLE", True)
    there.truncate(SIZE)
    assert regions.triton.infer("sum", [source(there, SIZE)]).as_numpy("sum").tolist() == [0]
    assert server.workers() != [worker]


@pytest.mark.parametrize("into", [True, False])
def test_made_smaller_before_it_is_sent_back(regions: Regions, gate: Gate, server: Server, into: bool) -> None:
    """The handler never looked: only the agent would, when it sends or writes what the handler returned."""
    there, back = regions.add(), regions.add()
    outputs = [target(back, SIZE)] if into else None
    result = infer_later(regions, "echo", [source(there, SIZE)], outputs=outputs, parameters=gate.parameters)
    gate.wait_entered()
    there.truncate(0)
    gate.open()
    failure = result()
    assert failure.status() == "StatusCode.UNAVAILABLE"
    regions.triton.infer("echo", [inline(noise(10))])
    assert server.process.poll() is None


def test_made_smaller_while_the_request_waits(regions: Regions, gate: Gate, server: Server) -> None:
    """No worker after the other dies of it: it is one request's fault, and ends it."""
    there = regions.add()
    busy = infer_later(regions, "echo", [inline(noise(1))], parameters=gate.parameters)
    gate.wait_entered()
    waiting = infer_later(regions, "sum", [source(there, SIZE)])
    Metrics(server).wait_waiting("sum", 1)
    there.truncate(0)
    gate.open()
    assert not isinstance(busy(), Exception)
    assert waiting().status() == "StatusCode.UNAVAILABLE"
    there.truncate(SIZE)
    regions.triton.infer("sum", [source(there, SIZE)])


def test_nothing_is_left(server: Server) -> None:
    before = sorted(os.listdir("/dev/shm"))
    with Regions(server) as regions:
        there, back = regions.add(), regions.add()
        regions.triton.infer("echo", [source(there, SIZE)], outputs=[target(back, SIZE)])
        assert uses_of(server, there.path.name)
    assert sorted(os.listdir("/dev/shm")) == before
    eventually(lambda: not uses_of(server, "anyserve-test"), "nobody has the memory any more")


def uses_of(server: Server, what: str) -> list[str]:
    """Who of the server's processes maps such an object or has it open."""
    found = []
    for process in server.processes():
        folder = Path("/proc", str(process.pid))
        found += [line for line in (folder / "maps").read_text().splitlines() if what in line]
        links = [str(link.readlink()) for link in (folder / "fd").iterdir() if link.is_symlink()]
        found += [link for link in links if what in link]
    return found
