"""tritonclient's asyncio gRPC client works unchanged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

if TYPE_CHECKING:
    from tests.server import Server


def tensor(number: float) -> Any:
    made = InferInput("x", [1], "FP64")
    made.set_data_from_numpy(np.array([number], "float64"))
    return made


async def test_the_state_of_the_server(basic: Server) -> None:
    async with InferenceServerClient(basic.address) as triton:
        assert await triton.is_server_live()
        assert await triton.is_server_ready()
        assert await triton.is_model_ready("echo")
        assert not await triton.is_model_ready("nothing here")
        assert (await triton.get_server_metadata()).name == "anyserve"
        assert [tensor.name for tensor in (await triton.get_model_metadata("add")).inputs] == ["a", "b"]


async def test_inferences_side_by_side(basic: Server) -> None:
    async with InferenceServerClient(basic.address) as triton:
        results = await asyncio.gather(*(triton.infer("echo", [tensor(number)]) for number in range(200)))
    assert [result.as_numpy("output_x").tolist() for result in results] == [[number] for number in range(200)]


async def test_options_and_errors(basic: Server) -> None:
    async with InferenceServerClient(basic.address) as triton:
        options = {"request_id": "17", "headers": {"x-cap-type": "echo"}, "compression_algorithm": "gzip"}
        result = await triton.infer("nothing here", [tensor(1)], timeout=60_000_000, priority=2, **options)
        assert result.get_response().id == "17"
        with pytest.raises(InferenceServerException) as failure:
            await triton.infer("nothing here", [tensor(1)])
        assert failure.value.status() == "StatusCode.NOT_FOUND"
