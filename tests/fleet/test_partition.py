"""A replica on a machine of its own is cut off from everybody, without a word, and comes back."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from anyserve.errors import UnavailableError

from tests.api_server.process import ApiServer
from tests.faults.apps.pools import FOLDER, POOL
from tests.fleet.members import AGAIN, NAME, Members, load, pids
from tests.fleet.network import Machine, is_possible
from tests.fleet.process import Fleet
from tests.server import Server
from tests.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path


class There(Server):
    """An agent on that machine."""

    def __init__(self, machine: Machine, target: str, *arguments: str, environment: dict[str, str]) -> None:
        self.PREFIX = machine.prefix
        super().__init__(target, "--host", machine.there, *arguments, environment=environment)


@pytest.mark.skipif(not is_possible(), reason="network namespaces take root and the command ip")
def test_a_machine_is_cut_off_and_comes_back(tmp_path: Path) -> None:
    with ExitStack() as stack:
        machine = stack.enter_context(Machine())
        api = stack.enter_context(ApiServer("--host", "0.0.0.0"))
        near = Fleet(stack, "--api-server", f"http://127.0.0.1:{api.port}")
        far = Fleet(stack, "--api-server", f"http://{machine.here}:{api.port}")
        members = Members(near, tmp_path)
        members.start("near")
        environment = {FOLDER: str(tmp_path), POOL: NAME}
        options = [*far.options("far"), "--workers", "4"]
        replica = There(machine, "tests.faults.apps.pools:app", *options, environment=environment)
        stack.enter_context(replica).wait_ready()
        gateway = near.gateway().wait_replicas(3).wait_knows(NAME, AGAIN)
        lost = pids(replica)
        with load(gateway, NAME, AGAIN, callers=8) as running:
            eventually(lambda: members.numbers_of("end", lost), "it answers")
            machine.cut()
            api.wait_ids("near", type=NAME)
            gateway.wait_replicas(2)
            running.wait_answered(200)
            machine.mend()
            api.wait_ids("far", "near", type=NAME)
            gateway.wait_replicas(3)
            before = len(members.numbers_of("begin", lost))
            eventually(lambda: len(members.numbers_of("begin", lost)) > before, "it has requests again")
        for capability, error in running.failures.values():
            assert capability == NAME, error
            assert isinstance(error, UnavailableError), error
        assert len(running.failures) <= running.callers, running.failures
        assert replica.stop(signal.SIGTERM) == 0
