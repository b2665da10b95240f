"""System shared memory of KServe with tritonclient: what goes in and what comes out."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import InferRequestedOutput
from tritonclient.utils import serialize_byte_tensor

from tests.metrics import Metrics
from tests.objects.regions import APP, SIZE, Regions, inline, noise, source, target
from tests.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(APP, "--allow-client-shm", "--workers", "2") as server:
        yield server.wait_ready()


@pytest.fixture
def regions(server: Server) -> Iterator[Regions]:
    with Regions(server) as regions:
        yield regions


def test_the_server_says_that_it_can(regions: Regions) -> None:
    assert "system_shared_memory" in regions.triton.get_server_metadata().extensions


@pytest.mark.parametrize("count", [0, 1, 8192, 8193, SIZE])
def test_in_and_out(regions: Regions, count: int) -> None:
    there, back, sent = regions.add(), regions.add(), noise(count)
    result = regions.triton.infer(
        "echo", [source(there.put(sent), count)], outputs=[target(back, SIZE)], request_id="17"
    )
    np.testing.assert_array_equal(back.get(count), sent)
    [output] = result.get_response().outputs
    said = {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in output.parameters.items()}
    wanted = {"shared_memory_region": back.name, "shared_memory_byte_size": count, "shared_memory_offset": 0}
    assert (said, list(output.shape), result.get_response().id) == (wanted, [count], "17")


def test_where_the_input_was(regions: Regions) -> None:
    both, sent = regions.add(), noise(SIZE)
    regions.triton.infer("echo", [source(both.put(sent), SIZE)], outputs=[target(both, SIZE)])
    np.testing.assert_array_equal(both.get(SIZE), sent)


@pytest.mark.parametrize(("start", "to"), [(0, 1), (4096, 0), (12_345, 654_321), (100_001, 100_000)])
def test_offsets(regions: Regions, start: int, to: int) -> None:
    region, sent = regions.add(), noise(100_000)
    back = regions.add()
    region.put(sent, start)
    regions.triton.infer("echo", [source(region, 100_000, start)], outputs=[target(back, 100_000, to)])
    np.testing.assert_array_equal(back.get(100_000, to), sent)
    assert not back.get(to).any()
    assert not back.get(SIZE - to - 100_000, to + 100_000).any()


def test_a_region_in_the_middle_of_an_object(regions: Regions) -> None:
    region, sent = regions.make(), noise(100_000)
    region.put(sent, 5_000 + 30)
    regions.triton.register_system_shared_memory(region.name, region.key, 200_000, offset=5_000)
    assert regions.triton.infer("echo", [source(region, 100_000, 30)]).as_numpy("output_x").tolist() == sent.tolist()
    status = regions.triton.get_system_shared_memory_status(region.name, as_json=True)["regions"][region.name]
    assert status == {"name": region.name, "key": region.key, "offset": "5000", "byte_size": "200000"}


def test_two_regions_of_one_object(regions: Regions) -> None:
    region, sent = regions.make(), noise(SIZE)
    region.put(sent)
    for name, offset in (("one", 0), ("two", 100_000)):
        regions.triton.register_system_shared_memory(name, region.key, 500_000, offset=offset)
    one, two = source(region, 500_000, name="x"), source(region, 400_000, name="y")
    one.set_shared_memory("one", 500_000)
    two.set_shared_memory("two", 400_000)
    result = regions.triton.infer("echo", [one, two])
    np.testing.assert_array_equal(result.as_numpy("output_x"), sent[:500_000])
    np.testing.assert_array_equal(result.as_numpy("output_y"), sent[100_000:500_000])


@pytest.mark.parametrize("shared", range(8))
def test_shared_and_sent_in_any_order(regions: Regions, shared: int) -> None:
    """One bit of ``shared`` for each tensor: inputs by it, outputs by its complement."""
    arrays = {name: noise(50_000, seed) for seed, name in enumerate("abc")}
    inputs, outputs, back = [], [], {}
    for bit, (name, array) in enumerate(arrays.items()):
        if shared >> bit & 1:
            inputs.append(source(regions.add().put(array), 50_000, name=name))
            outputs.append(InferRequestedOutput(f"output_{name}"))
        else:
            inputs.append(inline(array, name=name))
            back[name] = regions.add()
            outputs.append(target(back[name], SIZE, name=f"output_{name}"))
    result = regions.triton.infer("echo", inputs, outputs=outputs)
    for name, array in arrays.items():
        received = back[name].get(50_000) if name in back else result.as_numpy(f"output_{name}")
        np.testing.assert_array_equal(received, array)


@pytest.mark.parametrize("length", [1, 30_000])
def test_texts(regions: Regions, length: int) -> None:
    texts = [b"x" * length, b"", b"last"]
    packed = np.frombuffer(serialize_byte_tensor(np.array(texts, object)).item(), np.uint8)
    there, back = regions.add().put(packed), regions.add()
    given = source(there, packed.size, datatype="BYTES")
    given.set_shape([3])
    regions.triton.infer("echo", [given], outputs=[target(back, SIZE)])
    assert back.texts(3) == texts


@pytest.mark.parametrize("offset", [0, 1, 4, 8])
def test_numbers_that_are_not_aligned(regions: Regions, offset: int) -> None:
    region, numbers = regions.add(), np.random.default_rng(0).standard_normal(10_000)
    region.put(np.frombuffer(numbers.tobytes(), np.uint8), offset)
    given = source(region, numbers.nbytes, offset, datatype="FP64")
    given.set_shape([100, 100])
    received = regions.triton.infer("echo", [given]).as_numpy("output_x")
    np.testing.assert_array_equal(received, numbers.reshape(100, 100))


def test_handlers_see_no_trace_of_it(regions: Regions) -> None:
    there = regions.add()
    result = regions.triton.infer("parameters", [source(there, 10), source(there, SIZE, name="y")])
    assert result.as_numpy("names").tolist() == [b""]


def test_a_handler_may_keep_what_it_got(regions: Regions) -> None:
    """And give it to a client long after the region is gone."""
    region, sent = regions.add(), noise(SIZE)
    regions.triton.infer("keep", [source(region.put(sent), SIZE)])
    regions.triton.unregister_system_shared_memory(region.name)
    np.testing.assert_array_equal(regions.triton.infer("keep", []).as_numpy("kept"), sent)


async def test_asyncio(server: Server, regions: Regions) -> None:
    there, back, sent = regions.make(), regions.make(), noise(SIZE)
    async with triton_aio.InferenceServerClient(server.address) as triton:
        for region in (there, back):
            await triton.register_system_shared_memory(region.name, region.key, SIZE)
        assert there.name in (await triton.get_system_shared_memory_status()).regions
        await triton.infer("echo", [source(there.put(sent), SIZE)], outputs=[target(back, SIZE)])
        await triton.unregister_system_shared_memory(there.name)
    np.testing.assert_array_equal(back.get(SIZE), sent)


def test_streams(regions: Regions) -> None:
    there, back = regions.add(), regions.add()
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    regions.triton.start_stream(lambda result, error: answers.put((result, error)))
    for seed in range(5):
        region, sent = regions.add(), noise(SIZE, seed)
        regions.triton.async_stream_infer(
            "echo", [source(region.put(sent), SIZE)], outputs=[target(back, SIZE)], request_id=str(seed)
        )
        result, error = answers.get(timeout=60)
        assert (error, result.get_response().id) == (None, str(seed))
        np.testing.assert_array_equal(back.get(SIZE), sent)
    regions.triton.async_stream_infer(
        "count", [source(there.put(noise(1) * 0 + 3), 1)], outputs=[target(back, SIZE, name="number")]
    )
    for _ in range(3):
        result, error = answers.get(timeout=60)
        assert (error, result.get_response().outputs[0].parameters["shared_memory_byte_size"].int64_param) == (
            None,
            100_000,
        )
    assert set(back.get(100_000).tolist()) == {2}
    regions.triton.stop_stream()


def test_errors_of_streams_are_in_band(regions: Regions) -> None:
    region = regions.add()
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    regions.triton.start_stream(lambda result, error: answers.put((result, error)))
    sent = inline(noise(1000))
    for outputs, wrong in [
        ([target(region, SIZE + 1)], "are not within shared memory region"),
        ([target(region, 999)], "its 1000 bytes do not fit the 999 bytes"),
        ([target(region, 1000)], None),
    ]:
        regions.triton.async_stream_infer("echo", [sent], outputs=outputs)
        _, error = answers.get(timeout=60)
        assert error is None if wrong is None else wrong in str(error)
    three = inline(np.array([3], np.uint8))
    regions.triton.async_stream_infer("count", [three], outputs=[target(region, 10, name="number")])
    _, error = answers.get(timeout=60)
    assert "its 100000 bytes do not fit the 10 bytes" in str(error)
    # That was the end of it: what comes next is of another request.
    regions.triton.async_stream_infer("echo", [sent], request_id="next")
    result, error = answers.get(timeout=60)
    assert (error, result.get_response().id) == (None, "next")
    regions.triton.stop_stream()


def test_copies_are_counted(server: Server, regions: Regions) -> None:
    def copied() -> float:
        return Metrics(server).value("copied_bytes_total", where="client_shm")

    there, back = regions.add(), regions.add()
    before = copied()
    regions.triton.infer("sum", [source(there, SIZE)])
    assert copied() == before, "inputs stay where they are"
    regions.triton.infer("echo", [source(there, SIZE)], outputs=[target(there, SIZE)])
    assert copied() == before, "and so do outputs that are there already"
    regions.triton.infer("echo", [inline(noise(SIZE))], outputs=[target(back, SIZE)])
    assert copied() == before + SIZE


def test_what_one_worker_passes_to_another(server: Server, regions: Regions) -> None:
    there, sent = regions.add(), noise(SIZE)
    result = regions.triton.infer("again", [source(there.put(sent), SIZE)])
    assert result.as_numpy("sum").tolist() == [int(sent.sum())]
