"""What the fleet hears of pools that come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from tests.pools.conftest import start
from tests.pools.fleet import pools
from tests.replicas.looking import find
from tests.waiting import eventually

if TYPE_CHECKING:
    from anyserve._core import Registry

    from tests.pools.conftest import Start
    from tests.replicas.etcd import Etcd

__all__ = ["start"]


def models(registry: Registry) -> set[str]:
    """The models that replica ``fleet`` offers."""
    replica = find(registry, "fleet")
    return {capability["model"] for capability in replica["capabilities"]} if replica else set()


def becomes(registry: Registry, *expected: str) -> None:
    """Waits until it offers just these models."""
    eventually(lambda: models(registry) == set(expected), f"the models are {expected}")


def configured(*names: str) -> dict[str, Any]:
    """A file with these pools."""
    return {"pools": pools(*names, min=1)}


def test_what_is_drained_is_not_offered(start: Start, etcd: Etcd, fleet: Registry) -> None:
    agent = start(configured("a", "b"), "--registry", etcd.url, "--replica-id", "fleet", "--lease", "60")
    becomes(fleet, "a", "b")
    agent.admin.drain("a")
    becomes(fleet, "b")
    agent.admin.scale("a", 1, 1)
    becomes(fleet, "a", "b")


def test_a_reload_changes_what_is_offered(start: Start, etcd: Etcd, fleet: Registry) -> None:
    agent = start(configured("a", "b"), "--registry", etcd.url, "--replica-id", "fleet", "--lease", "60")
    becomes(fleet, "a", "b")
    agent.file.write_text(yaml.safe_dump(configured("b", "c")))
    agent.admin.reload()
    becomes(fleet, "b", "c")


def test_pools_without_workers_are_offered(start: Start, etcd: Etcd, fleet: Registry) -> None:
    file = {"pools": pools("a", min=0)}
    agent = start(file, "--registry", etcd.url, "--replica-id", "fleet", "--lease", "60")
    becomes(fleet, "a")
    assert agent.ask("a")["pool"] == "a"
    agent.kill(agent.pids("a")[0])
    # A worker that died is no reason to send others away: the next one starts when it is needed.
    eventually(lambda: not agent.workers("a"), "the worker is gone")
    assert models(fleet) == {"a"}
