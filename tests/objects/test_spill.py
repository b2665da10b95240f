"""Objects that do not all fit into memory: those that leave it go to a file, and come back from it."""

from __future__ import annotations

import contextlib
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from anyserve import Client
from anyserve.errors import NotFoundError

from tests.metrics import Metrics
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyserve import ObjectRef

    from tests.conftest import Serve
    from tests.server import Server

MIB = 1 << 20
SIZE = 2 * MIB
STORE = ["--object-store-size", "16MiB"]
SPILLED = "tests.apps.spilled:app"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "spill"
    folder.mkdir()
    return folder


@pytest.fixture
def server(serve: Serve, folder: Path) -> Server:
    return serve(SPILLED, *STORE, "--object-spill", str(folder), "--object-spill-size", "128MiB")


def make(client: Client, count: int, size: int = SIZE) -> list[ObjectRef]:
    """So many objects, each full of its number, as far as that fits into a byte."""
    return [client.objects.create(np.full(size, number % 256, np.uint8), key=f"k{number}") for number in range(count)]


def is_all(data: object, number: int, size: int = SIZE) -> bool:
    return isinstance(data, np.ndarray) and data.shape == (size,) and bool((data == number).all())


def on_disk(client: Client, refs: list[ObjectRef]) -> int:
    return sum(client.objects.stat(ref).location == "disk" for ref in refs)


def test_more_than_fits_into_memory_is_still_there(server: Server, client: Client, folder: Path) -> None:
    refs = make(client, 40)
    assert on_disk(client, refs) >= 30
    assert client.objects.lookup([f"k{number}" for number in range(40)]) == refs
    for number, ref in enumerate(refs):
        assert is_all(client.objects.get(ref), number)
    for number in range(40):
        assert is_all(client.objects.get(f"k{number}"), number)
    metrics = Metrics(server)
    assert metrics.value("object_spill_size_bytes") == 128 * MIB
    assert 30 * SIZE <= metrics.value("object_spilled_bytes") <= 40 * SIZE
    for event, least in (("spilled", 60), ("loaded", 60)):
        assert metrics.value("object_events_total", event=event) >= least
    for event in ("spill_failed", "evicted", "miss"):
        assert metrics.value("object_events_total", event=event) == 0
    assert list(folder.iterdir()) == []


def test_handlers_get_what_is_on_disk(client: Client) -> None:
    refs = make(client, 20)
    for number, ref in enumerate(refs):
        assert client.infer("first", {"data": ref})["first"] == [number]
    for number in range(20):
        assert client.infer("get", parameters={"key": f"k{number}"})["first"] == [number]


def test_what_workers_make_goes_to_disk_too(client: Client) -> None:
    # A worker makes room for its own objects, and others make room for it, beyond their shares.
    for number in range(30):
        data = np.full(SIZE, number, np.uint8)
        client.infer("create", {"data": data}, parameters={"key": f"k{number}"})
    for number in range(30):
        assert is_all(client.objects.get(f"k{number}"), number)


def test_small_objects_go_to_disk_too(serve: Serve, folder: Path) -> None:
    server = serve(SPILLED, "--object-store-size", "1MiB", "--object-spill", str(folder))
    with Client(server.address) as client:
        refs = make(client, 400, 8192)
        assert on_disk(client, refs) > 200
        assert all(is_all(client.objects.get(ref), number % 256, 8192) for number, ref in enumerate(refs))


def test_no_more_than_it_may(serve: Serve, folder: Path) -> None:
    server = serve(SPILLED, *STORE, "--object-spill", str(folder), "--object-spill-size", "9MiB")
    with Client(server.address) as client:
        refs = make(client, 30)
        found = [number for number in range(30) if client.objects.lookup(f"k{number}")]
        assert found == list(range(30 - len(found), 30))
        assert on_disk(client, refs[found[0] :]) == 4
        metrics = Metrics(server)
        assert metrics.value("object_spilled_bytes") == 4 * SIZE
        assert metrics.value("object_events_total", event="evicted") == 30 - len(found)
        with pytest.raises(NotFoundError, match="made room for others"):
            client.objects.get(refs[0])


def test_what_is_on_disk_is_deleted_and_replaced(client: Client) -> None:
    refs = make(client, 20)
    assert client.objects.stat(refs[0]).location == "disk"
    assert client.objects.delete("k0")
    assert not client.objects.delete(refs[0])
    with pytest.raises(NotFoundError):
        client.objects.get(refs[0])
    assert client.objects.lookup("k0") is None
    assert client.objects.stat(refs[1]).location == "disk"
    other = client.objects.create(b"other", key="k1")
    assert client.objects.lookup("k1") == other
    assert is_all(client.objects.get(refs[1]), 1)
    assert client.objects.stat(refs[1]).key is None


def test_a_ttl_goes_on_on_disk(client: Client) -> None:
    start = time.monotonic()
    ref = client.objects.create(np.zeros(SIZE, np.uint8), key="short", ttl=1.5)
    make(client, 20)
    info = client.objects.stat(ref)
    assert info.location == "disk"
    assert info.expires_in is not None
    assert 0 < info.expires_in <= 1.5
    assert info.age > 0
    eventually(lambda: client.objects.lookup("short") is None, "the object has expired")
    assert 1.5 <= time.monotonic() - start < 10
    with pytest.raises(NotFoundError):
        client.objects.get(ref)


def test_what_is_pinned_stays_in_memory(client: Client) -> None:
    ref = client.objects.create(np.zeros(SIZE, np.uint8), pin=True)
    make(client, 20)
    assert client.objects.stat(ref).location == "memory"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_in_the_folder(server: Server, client: Client, folder: Path, number: signal.Signals) -> None:
    make(client, 20)
    opened = [path for path in open_files(server) if path.startswith(str(folder))]
    assert len(opened) == 1
    assert opened[0].endswith("(deleted)")
    server.send_signal(number)
    server.process.wait(60)
    assert list(folder.iterdir()) == []


def open_files(server: Server) -> list[str]:
    paths = []
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            paths.append(str(link.readlink()))
        except OSError:
            # It was closed in between.
            continue
    return paths


def lost_but_for(client: Client, server: Server, count: int) -> None:
    """After writes that failed: what is in memory is right, the rest is gone, and the log says so once."""
    found = [number for number in range(count) if client.objects.lookup(f"k{number}")]
    assert count - 1 in found
    assert len(found) < count
    assert is_all(client.objects.get(f"k{count - 1}"), count - 1)
    for number in found:
        # What comes back has others make room, of which more are lost.
        with contextlib.suppress(NotFoundError):
            assert is_all(client.objects.get(f"k{number}"), number)
    failed = Metrics(server).value("object_events_total", event="spill_failed")
    assert failed >= count - len(found) > 1
    assert server.stderr.text.count("spill file fails") == 1
    # It goes on.
    again = client.objects.create(np.full(SIZE, 200, np.uint8))
    assert is_all(client.objects.get(again), 200)


def test_a_file_that_cannot_grow(server: Server, client: Client) -> None:
    # Beyond the segments, which are as large as the store.
    limit = (20 * MIB, resource.RLIM_INFINITY)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limit)
    make(client, 40)
    lost_but_for(client, server, 40)


@pytest.fixture
def tiny(folder: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_file_system_that_is_full(serve: Serve, tiny: Path) -> None:
    server = serve(SPILLED, *STORE, "--object-spill", str(tiny))
    with Client(server.address) as client:
        make(client, 40)
        lost_but_for(client, server, 40)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--object-spill", "{folder}/missing"], "cannot make a file for objects in {folder}/missing: No such file"),
        (["--object-spill", "/proc"], "cannot make a file for objects in /proc: "),
        (["--object-spill-size", "1MiB"], "--object-spill-size (object_spill_size) goes with --object-spill"),
        (["--object-spill", "{folder}", "--object-spill-size", "1KiB"], "'1KiB' is not at least 1MiB"),
    ],
)
def test_what_cannot_be_is_said_at_the_start(serve: Serve, folder: Path, arguments: list[str], problem: str) -> None:
    server = serve(SPILLED, *[argument.format(folder=folder) for argument in arguments], ready=False)
    assert server.wait() != 0
    assert problem.format(folder=folder) in server.stderr.text


def test_a_file_says_it_as_well(serve: Serve, folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "anyserve.yaml"
    config.write_text(
        f"server: {{object_store_size: 16MiB, object_spill: {folder}, object_spill_size: 32MiB}}\n"
        f"pools: {{spilled: {{target: '{SPILLED}'}}}}\n"
    )
    server = serve(f"--config={config}")
    with Client(server.address) as client:
        refs = make(client, 12)
        assert on_disk(client, refs) > 0
        assert is_all(client.objects.get(refs[0]), 0)
    assert Metrics(server).value("object_spill_size_bytes") == 32 * MIB
