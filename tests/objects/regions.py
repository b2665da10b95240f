"""Shared memory as tritonclient's users have it: made, registered, and gone when the ``with`` ends."""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import shared_memory

if TYPE_CHECKING:
    from tests.server import Server

APP = "tests.objects.apps.client_shm:app"

SIZE = 1 << 20
"""How large a region is: far more than what travels with a message."""

Array = np.ndarray[Any, Any]


class Region:
    """A shared memory object of a name that nobody else has."""

    def __init__(self, size: int = SIZE) -> None:
        self.name = f"region-{uuid.uuid4().hex}"
        self.key = f"/anyserve-test-{uuid.uuid4().hex}"
        self.size = size
        self._handle = shared_memory.create_shared_memory_region(self.name, self.key, size)

    @property
    def path(self) -> Path:
        """Where the system keeps it."""
        return Path("/dev/shm", self.key.removeprefix("/"))

    def put(self, array: Array, offset: int = 0) -> Self:
        """Writes an array to it."""
        shared_memory.set_shared_memory_region(self._handle, [array], offset)
        return self

    def get(self, count: int, offset: int = 0) -> Array:
        """A copy of so many bytes of it."""
        return np.array(shared_memory.get_contents_as_numpy(self._handle, np.uint8, [count], offset))

    def texts(self, count: int, offset: int = 0) -> list[bytes]:
        """The elements of a BYTES tensor in it."""
        return list(shared_memory.get_contents_as_numpy(self._handle, np.object_, [count], offset))

    def truncate(self, size: int) -> None:
        """Takes memory away from everybody that has it."""
        os.truncate(self.path, size)

    def close(self) -> None:
        """Removes it."""
        shared_memory.destroy_shared_memory_region(self._handle)


class Regions:
    """Registers regions with an agent, and removes all of them at the end."""

    def __init__(self, server: Server) -> None:
        self.triton = InferenceServerClient(server.address)
        self._made = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.triton.unregister_system_shared_memory()
        self.triton.close()
        self._made.close()

    def make(self, size: int = SIZE) -> Region:
        """A region that is not registered."""
        region = Region(size)
        self._made.callback(region.close)
        return region

    def add(self, size: int = SIZE) -> Region:
        """One that is."""
        region = self.make(size)
        self.triton.register_system_shared_memory(region.name, region.key, size)
        return region


def source(region: Region, count: int, offset: int = 0, *, name: str = "x", datatype: str = "UINT8") -> Any:
    """An input of so many bytes that lie in a region."""
    made = InferInput(name, [count], datatype)
    made.set_shared_memory(region.name, count, offset)
    return made


def target(region: Region, count: int, offset: int = 0, *, name: str = "output_x") -> Any:
    """An output that is wanted in a region."""
    made = InferRequestedOutput(name)
    made.set_shared_memory(region.name, count, offset)
    return made


def inline(array: Array, *, name: str = "x") -> Any:
    """An input of bytes that is sent."""
    made = InferInput(name, list(array.shape), "UINT8")
    made.set_data_from_numpy(array)
    return made


def noise(count: int, seed: int = 0) -> Array:
    """Bytes that are nowhere else."""
    return np.random.default_rng(seed).integers(0, 256, count, dtype=np.uint8)
