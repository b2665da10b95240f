"""Large data behind a gateway: objects that are pulled from their owner, and memory that clients share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from anyserve import ObjectRef
from tritonclient.grpc import InferRequestedOutput

from tests.metrics import Metrics
from tests.objects import doing
from tests.objects.doing import MIB
from tests.objects.regions import SIZE, Regions, noise, source, target
from tests.objects.remote import Remote, result_of
from tests.objects.test_references import describe

if TYPE_CHECKING:
    from tests.fleet.process import Fleet

OBJECTS = "tests.objects.apps.remote:app"
ECHO = "tests.objects.apps.client_shm:app"


def test_a_reference_passes_and_the_bytes_go_straight(fleet: Fleet) -> None:
    owner, reader = fleet.replica(OBJECTS, "owner"), fleet.replica(OBJECTS, "reader")
    gateway = fleet.gateway().wait_replicas(3).wait_knows("one")
    ref = Remote(fleet.client(owner).infer, "one").run(doing.create, 7, 20 * MIB)
    through = Remote(fleet.client(gateway).infer, "one")
    # Some of them are served by each.
    described = [result_of(through.infer(describe, inputs={"a": ObjectRef.parse(ref)})) for _ in range(32)]
    assert all(one == [7, 20 * MIB, "UINT8", [20 * MIB], ref] for one in described)
    assert all(gateway.passed_on(name) > 0 for name in ("owner", "reader"))
    assert Metrics(reader).value("object_pulled_bytes_total") == 20 * MIB
    assert Metrics(gateway).value("object_pulled_bytes_total") == 0


def test_objects_of_the_gateway_are_read_behind_it(fleet: Fleet) -> None:
    reader = fleet.replica(OBJECTS, "reader")
    gateway = fleet.gateway().wait_replicas(2).wait_knows("one")
    client = fleet.client(gateway)
    ref = client.objects.create(np.full(5 * MIB, 3, np.uint8))
    described = result_of(Remote(client.infer, "one").infer(describe, inputs={"a": ref}))
    assert described == [3, 5 * MIB, "UINT8", [5 * MIB], str(ref)]
    assert Metrics(reader).value("object_pulled_bytes_total") == 5 * MIB


def test_regions_of_clients_are_read_and_written_by_the_gateway(fleet: Fleet) -> None:
    fleet.replica(ECHO, "echo")
    gateway = fleet.gateway("--allow-client-shm").wait_replicas(2).wait_knows("echo")
    with Regions(gateway) as regions:
        there, back, sent = regions.add(), regions.add(), noise(SIZE)
        result = regions.triton.infer("echo", [source(there.put(sent), SIZE)], outputs=[target(back, SIZE)])
        np.testing.assert_array_equal(back.get(SIZE), sent)
        assert "shared_memory_region" in result.get_response().outputs[0].parameters
        # In by a region and out by the message.
        result = regions.triton.infer("echo", [source(there, SIZE)], outputs=[InferRequestedOutput("output_x")])
        np.testing.assert_array_equal(result.as_numpy("output_x"), sent)


@pytest.mark.parametrize("count", [0, 1, 8193, MIB, 16 * MIB])
def test_a_client_that_shares_the_gateways_memory(fleet: Fleet, count: int) -> None:
    fleet.replica(ECHO, "echo")
    gateway = fleet.gateway().wait_replicas(2).wait_knows("echo")
    client = fleet.client(gateway, shared_memory=True)
    sent = noise(count)
    for _ in range(3):
        result = client.infer("echo", {"x": sent}, timeout=60)
        np.testing.assert_array_equal(result["output_x"], sent)
