"""``Client(shared_memory=True)``: what goes in, what comes out, and when the agent has its memory back."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anyserve import AsyncClient, Client, Tensor, _core
from anyserve.errors import DeadlineExceededError, InternalError, NotFoundError, UnimplementedError

from tests.gate import Gate
from tests.metrics import Metrics
from tests.objects.regions import APP, noise
from tests.objects.test_leftovers import listing
from tests.server import Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Serve

MIB = 1 << 20
LEAST = 256 * 1024
"""Smaller tensors are sent."""

TIMEOUT = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(APP, "--workers", "2") as server:
        yield server.wait_ready()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.address, shared_memory=True) as client:
        yield client


def used(server: Server) -> float:
    """How many bytes of the object store are taken."""
    return Metrics(server).value("object_store_used_bytes")


def echo(client: Client, array: Any) -> Any:
    """What comes back."""
    return client.infer("echo", {"x": array}, timeout=TIMEOUT)["output_x"]


@pytest.mark.parametrize("count", [0, 1, 8192, 8193, LEAST - 1, LEAST, LEAST + 1, MIB, 16 * MIB])
def test_in_and_out(client: Client, count: int) -> None:
    sent = noise(count, count)
    for _ in range(3):
        np.testing.assert_array_equal(echo(client, sent), sent)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(MIB, dtype=np.int64).reshape(16, -1),
        np.arange(MIB, dtype=np.float16),
        np.arange(2 * MIB, dtype=np.uint8)[::2],
        np.asfortranarray(np.arange(MIB, dtype=np.float32).reshape(1024, 1024)),
        np.arange(MIB, dtype=">u4"),
        np.array([b"x" * 100_000, b"", b"y" * 400_000], object),
        list(range(100_000)),
    ],
    ids=["matrix", "half", "strided", "fortran", "big-endian", "texts", "list"],
)
def test_whatever_makes_a_tensor(client: Client, array: Any) -> None:
    received = echo(client, array)
    np.testing.assert_array_equal(received, array)


def test_large_and_small_in_one_request(client: Client) -> None:
    inputs = {f"i{size}": noise(size, size) for size in (3 * MIB, 10, LEAST, 20_000, 5 * MIB, 0)}
    result = client.infer("echo", inputs, timeout=TIMEOUT)
    assert [output.name for output in result.response.outputs] == [f"output_{name}" for name in inputs]
    for name, sent in inputs.items():
        np.testing.assert_array_equal(result[f"output_{name}"], sent)


def test_each_byte_is_copied_once(server: Server, client: Client) -> None:
    sent = noise(4 * MIB)
    echo(client, sent)
    metrics = Metrics(server)

    def copied() -> list[float]:
        names = ("ingest", "client_shm")
        return [_core.copied_bytes(), *(metrics.value("copied_bytes_total", where=where) for where in names)]

    before = copied()
    received = echo(client, sent)
    assert [now - then for now, then in zip(copied(), before, strict=True)] == [sent.nbytes, 0, 0]
    # What came is sent as it is.
    assert client.infer("sum", {"x": received}, timeout=TIMEOUT)["sum"] == [int(sent.sum())]
    part = received[MIB : 3 * MIB]
    np.testing.assert_array_equal(echo(client, part), part)
    assert [now - then for now, then in zip(copied(), before, strict=True)] == [sent.nbytes, 0, 0]


def test_nothing_has_a_name(client: Client) -> None:
    before = listing()
    held = echo(client, noise(MIB))
    assert not listing() - before
    assert held.size == MIB


def test_memory_is_given_back_when_the_result_is_gone(server: Server, client: Client) -> None:
    before = used(server)
    held = echo(client, noise(8 * MIB))
    assert used(server) >= before + 8 * MIB
    with pytest.raises(ValueError, match="read-only"):
        held[0] = 1
    del held
    eventually(lambda: used(server) <= before, "it is free again")


def test_a_result_outlives_its_client(server: Server) -> None:
    before = used(server)
    sent = noise(8 * MIB)
    with Client(server.address, shared_memory=True) as client:
        held = echo(client, sent)
        part = held[MIB : 2 * MIB]
        del held
    with Client(server.address, shared_memory=True) as other:
        for seed in range(4):
            echo(other, noise(8 * MIB, seed))
    np.testing.assert_array_equal(part, sent[MIB : 2 * MIB])
    del part
    eventually(lambda: used(server) <= before, "it is free again")


def test_what_is_sent_is_what_it_was(client: Client, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    sent = noise(MIB)
    wanted = int(sent.sum())
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(client.infer, "sum", {"x": sent}, parameters=gate.parameters, timeout=TIMEOUT)
        gate.wait_entered()
        sent[:] = 0
        gate.open()
        assert result.result()["sum"] == [wanted]


def test_a_handler_may_keep_what_it_got(serve: Serve) -> None:
    server = serve(APP)
    sent = noise(MIB)
    with Client(server.address, shared_memory=True) as client:
        client.infer("keep", {"x": sent}, timeout=TIMEOUT)
    with Client(server.address, shared_memory=True) as client:
        for seed in range(8):
            echo(client, noise(MIB, seed))
        np.testing.assert_array_equal(client.infer("keep", timeout=TIMEOUT)["kept"], sent)


def test_many_threads(server: Server, client: Client) -> None:
    before = used(server)

    def work(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        for _ in range(20):
            sent = noise(int(rng.integers(1, 3 * MIB)), seed)
            if not np.array_equal(echo(client, sent), sent):
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    eventually(lambda: used(server) <= before, "all of it is free again")


def test_streams(server: Server, client: Client) -> None:
    before = used(server)
    with client.stream("count", {"x": np.array([100], np.uint8)}, timeout=TIMEOUT) as results:
        numbers = [result["number"] for result in results]
    assert [set(number.tolist()) for number in numbers] == [{number} for number in range(100)]
    sent = noise(3 * MIB)
    [result] = client.stream("echo", {"x": sent}, timeout=TIMEOUT)
    np.testing.assert_array_equal(result["output_x"], sent)
    del numbers, result
    eventually(lambda: used(server) <= before, "all of it is free again")


def test_a_stream_that_is_closed_early_is_cancelled(server: Server, client: Client) -> None:
    before = used(server)
    for taken in (0, 1, 20):
        with client.stream("count", {"x": np.array([250], np.uint8)}, timeout=TIMEOUT) as results:
            for _ in range(taken):
                next(results)
    eventually(lambda: used(server) <= before, "all of it is free again")
    assert client.infer("sum", {"x": noise(10)}, timeout=TIMEOUT)["sum"] == [int(noise(10).sum())]


async def test_asyncio(server: Server) -> None:
    before = used(server)
    async with AsyncClient(server.address, shared_memory=True) as client:
        arrays = [noise(MIB, seed) for seed in range(8)]
        results = await asyncio.gather(*(client.infer("echo", {"x": array}, timeout=TIMEOUT) for array in arrays))
        for result, array in zip(results, arrays, strict=True):
            np.testing.assert_array_equal(result["output_x"], array)
        numbers = [result["number"][0] async for result in client.stream("count", {"x": np.array([9], np.uint8)})]
        assert numbers == list(range(9))
        del results, result
    eventually(lambda: used(server) <= before, "all of it is free again")


async def test_a_task_that_is_cancelled_gives_everything_back(server: Server, tmp_path: Path) -> None:
    before = used(server)
    gate = Gate(tmp_path / "gate")
    async with AsyncClient(server.address, shared_memory=True) as client:
        call = client.infer("echo", {"x": noise(MIB)}, parameters=gate.parameters, timeout=TIMEOUT)
        task = asyncio.ensure_future(call)
        await asyncio.to_thread(gate.wait_entered)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.open()
        del call, task
        eventually(lambda: used(server) <= before, "the handler has let go of it, too")
        np.testing.assert_array_equal((await client.infer("echo", {"x": noise(MIB, 1)}))["output_x"], noise(MIB, 1))


def test_errors_are_those_of_grpc(server: Server, client: Client, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    requests: list[tuple[type[Exception], dict[str, Any]]] = [
        (NotFoundError, {"model_name": "nobody offers this", "inputs": {"x": noise(MIB)}}),
        (UnimplementedError, {"model_name": "count", "inputs": {"x": noise(MIB)}}),
        (InternalError, {"model_name": "again", "inputs": {}}),
        (DeadlineExceededError, {"model_name": "echo", "parameters": gate.parameters, "timeout": 0.3}),
    ]
    with Client(server.address) as plain:
        for error, request in requests:
            messages = []
            for asked in (plain, client):
                with pytest.raises(error) as caught:
                    asked.infer(**request)
                messages.append(str(caught.value))
            if error is not DeadlineExceededError:
                assert messages[0] == messages[1]
    gate.open()


def test_references_are_passed_on(client: Client) -> None:
    sent = noise(MIB)
    ref = client.objects.create(sent)
    assert client.infer("sum", {"x": ref}, timeout=TIMEOUT)["sum"] == [int(sent.sum())]
    # Beside one that is not.
    result = client.infer("sum", {"x": ref, "y": noise(MIB, 1)}, timeout=TIMEOUT)
    assert result["sum"] == [int(sent.sum()) + int(noise(MIB, 1).sum())]


def test_a_capability_instead_of_a_name(client: Client) -> None:
    result = client.infer(inputs={"x": noise(MIB)}, capability={"type": "sum"}, timeout=TIMEOUT)
    assert result["sum"] == [int(noise(MIB).sum())]


def test_a_tensor_that_was_made_before(client: Client) -> None:
    tensor = Tensor("x", noise(MIB))
    for _ in range(2):
        np.testing.assert_array_equal(echo(client, tensor), noise(MIB))


def test_two_clients_in_threads_do_not_mix(server: Server) -> None:
    failed = threading.Event()

    def work(seed: int) -> None:
        with Client(server.address, shared_memory=True) as client:
            for number in range(20):
                sent = noise(MIB, 100 * seed + number)
                if not np.array_equal(echo(client, sent), sent):
                    failed.set()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert not failed.is_set()
