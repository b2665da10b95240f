"""Two replicas of one name: the later has it, and the earlier goes on for those who come straight."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.background import pid_of
from tests.metrics import Metrics
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.api_server.process import ApiServer
    from tests.fleet.process import Fleet

GATED = "tests.apps.gated:app"


def test_the_later_of_two_serves_the_fleet(fleet: Fleet, api: ApiServer) -> None:
    earlier = fleet.replica(GATED, "same")
    gateway = fleet.gateway().wait_replicas(2).wait_knows("quick")
    client, direct = fleet.client(gateway), fleet.client(earlier)
    old = {worker.pid for worker in earlier.workers()}
    assert pid_of(client.infer("quick", timeout=30)) in old
    later = fleet.replica(GATED, "same")
    new = {worker.pid for worker in later.workers()}
    told = earlier.stderr.find(re.compile("ERROR.*another agent has registered as replica same"))
    assert told is not None
    assert later.address in told.string
    eventually(lambda: pid_of(client.infer("quick", timeout=30)) in new, "requests go to the later one")
    assert {pid_of(client.infer("quick", timeout=30)) for _ in range(32)} == new
    assert pid_of(direct.infer("quick", timeout=30)) in old
    assert Metrics(earlier).value("registry_registered") == 0
    # That it goes is nothing to the later one.
    assert earlier.stop() == 0
    assert pid_of(client.infer("quick", timeout=30)) in new
    assert api.route(type="quick").json() == {"endpoint": later.address, "replica_id": "same"}
