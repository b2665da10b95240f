"""One blocking client and several threads: whoever calls drives the connection for all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from anyserve import Client
from anyserve.errors import DeadlineExceededError

from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import Serve
    from tests.gate import Gate
    from tests.server import Server

THREADS = 4


def test_threads_that_connect_together_all_get_their_answers(basic: Server) -> None:
    barrier = threading.Barrier(THREADS)

    def call(client: Client, number: int) -> list[int]:
        barrier.wait(30)
        answers = [client.infer("echo", {"x": [number, round_]}, timeout=30) for round_ in range(3)]
        return [int(answer["output_x"][0]) for answer in answers]

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(100):
            with Client(basic.address) as client:
                answers = pool.map(call, [client] * THREADS, range(THREADS))
                assert list(answers) == [[number] * 3 for number in range(THREADS)]


def test_small_answers_do_not_wait_for_large_ones(basic: Server) -> None:
    large = np.arange(4 << 20, dtype=np.uint8)
    with Client(basic.address) as client, ThreadPoolExecutor(THREADS) as pool:
        for _ in range(5):
            both = [pool.submit(client.infer, "echo", {"x": large}, timeout=60) for _ in range(2)]
            for number in range(100):
                assert client.infer("echo", {"x": [number]}, timeout=30)["output_x"] == [number]
            assert all(np.array_equal(each.result()["output_x"], large) for each in both)


def test_a_call_that_is_given_up_is_cancelled_though_nobody_calls(serve: Serve, gate: Gate) -> None:
    server = serve("tests.apps.gated:app")
    with Client(server.address) as client:
        with pytest.raises(DeadlineExceededError):
            client.infer("watchful", parameters=gate.parameters, timeout=0.5)
        gate.wait_cancelled()


def test_a_client_that_rests_does_not_hold_up_the_end_of_its_server(serve: Serve) -> None:
    server = serve("examples.basic.app:app")
    with Client(server.address) as client:
        assert client.is_ready(timeout=30)
        assert server.stop() == 0
        assert "connections were cut" not in server.stderr.text


def test_clients_leave_no_threads_and_no_descriptors(basic: Server) -> None:
    process = psutil.Process()

    def held() -> tuple[int, int]:
        return process.num_threads(), process.num_fds()

    with Client(basic.address) as client:
        client.infer("echo", {"x": [1]})
    eventually(lambda: held() == held(), "the first one's are gone")
    threads, descriptors = held()
    for _ in range(50):
        with Client(basic.address) as client:
            client.infer("echo", {"x": [1]})
    eventually(lambda: held() <= (threads, descriptors), "what they held is free")
