"""tritonclient's asyncio HTTP client works unchanged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytest_asyncio
from tritonclient.http.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests.rest.test_tritonclient_http import ARRAYS, same, tensor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.server import Server


@pytest_asyncio.fixture
async def triton(rest: Server) -> AsyncIterator[Any]:
    async with InferenceServerClient(f"{rest.host}:{rest.http_port}") as triton:
        yield triton


async def test_what_it_says_of_itself(triton: Any) -> None:
    assert await triton.is_server_live()
    assert await triton.is_server_ready()
    assert await triton.is_model_ready("echo")
    assert (await triton.get_server_metadata())["name"] == "anyserve"
    assert (await triton.get_inference_statistics("echo"))["model_stats"][0]["name"] == "echo"
    assert {model["name"] for model in await triton.get_model_repository_index()} >= {"echo", "llm"}


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
async def test_many_at_once(triton: Any, binary: bool) -> None:
    results = await asyncio.gather(*(triton.infer("echo", [tensor("x", array, binary)]) for array in ARRAYS * 4))
    for array, result in zip(ARRAYS * 4, results, strict=True):
        same(result.as_numpy("x"), array)


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
async def test_compression(triton: Any, compression: str) -> None:
    array = np.zeros(100_000)
    result = await triton.infer(
        "echo",
        [tensor("x", array)],
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    same(result.as_numpy("x"), array)


async def test_errors(triton: Any) -> None:
    with pytest.raises(InferenceServerException, match=r"\[404\].*'?nothing") as caught:
        await triton.infer("nothing", [tensor("x", np.zeros(1))])
    assert caught.value.status() == "404"
