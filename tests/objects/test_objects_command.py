"""``anyserve objects``: what an operator sees of objects, and can do about them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from anyserve import ObjectRef

from tests.objects import doing
from tests.objects.doing import MIB
from tests.objects.test_deaths import leave_unsealed
from tests.pools.fleet import run_anyserve
from tests.waiting import eventually

if TYPE_CHECKING:
    import subprocess
    from typing import Any

    from tests.objects.remote import Agent


def objects(agent: Agent, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command about that agent."""
    return run_anyserve("objects", *arguments, "--port", str(agent.server.port), environment={})


def listed(agent: Agent, what: str = "list", *arguments: str) -> Any:
    """What it says in JSON."""
    done = objects(agent, what, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_list_has_every_object(small: Agent) -> None:
    assert listed(small)["objects"] == []
    assert re.match("0 objects; ", objects(small, "list").stdout)
    one = small.worker("one")
    refs = [
        one.run(doing.create, 1, 16, "a key", None, True),
        one.run(doing.create, 2, MIB, "[bold]odd[/bold] :smile:", 3600.0),
        str(small.client.objects.create(b"abc" * 10_000)),
    ]
    found = listed(small)
    assert found["size"] == 64 * MIB
    assert found["used"] >= MIB
    # The oldest is the first.
    assert [entry["reference"] for entry in found["objects"]] == refs
    first, second, third = found["objects"]
    assert first["id"] == ObjectRef.parse(refs[0]).id
    assert (first["key"], first["pinned"], first["expires_in"]) == ("a key", True, None)
    assert 3000 < second["expires_in"] <= 3600
    assert (second["size"], second["datatype"], second["shape"]) == (MIB, "UINT8", [MIB])
    assert second["creator"] == f"one, pid {one.run(doing.pid)}"
    assert (third["size"], third["datatype"], third["key"]) == (30_000, None, None)
    table = objects(small, "list").stdout
    assert re.match(r"3 objects; 1(\.\d)? MiB of 64 MiB in use, ", table)
    for text in ("[bold]odd[/bold] :smile:", "a key (pinned)", first["id"], third["id"]):
        assert text in table


def test_one_object_by_any_of_its_names(small: Agent) -> None:
    ref = small.worker("one").run(doing.create, 1, 20_000, "key")
    shown = {objects(small, "stat", name).returncode for name in (ref, "key", ObjectRef.parse(ref).id)}
    assert shown == {0}
    assert json.loads(objects(small, "stat", "key").stdout)["reference"] == ref
    for name in ("no key", "0" * 32, ref.replace(ObjectRef.parse(ref).id, "0" * 32)):
        for what in ("stat", "delete"):
            refused = objects(small, what, name)
            assert refused.returncode == 1
            assert refused.stdout == ""
            assert re.match(r"anyserve: (no object goes by the key 'no key'|object 0{32} is not there)", refused.stderr)
            assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("by", ["reference", "key", "id"])
def test_a_deletion(small: Agent, by: str) -> None:
    ref = small.worker("one").run(doing.create, 1, 20_000, "key")
    small.worker("two").run(doing.hold, ref)
    name = {"reference": ref, "key": "key", "id": ObjectRef.parse(ref).id}[by]
    done = objects(small, "delete", name)
    assert (done.returncode, done.stdout) == (0, f"deleted object {ObjectRef.parse(ref).id}\n")
    assert small.client.objects.lookup("key") is None
    assert small.worker("two").run(doing.read_held, ref) == [1, 20_000]


def test_leases_that_are_old_show_who_leaks(small: Agent) -> None:
    one, two = small.worker("one"), small.worker("two")
    assert objects(small, "leases").stdout == "no worker has held anything for 60 s\n"
    ref = one.run(doing.create, 1, MIB)
    two.run(doing.hold, ref)
    one.run(leave_unsealed, 2 * MIB)

    def leases() -> list[tuple[str, int, bool]]:
        found = listed(small, "leases", "--older-than", "0.5")
        return [(lease["worker"], lease["size"], lease["unsealed"]) for lease in found]

    expected = [
        (f"one, pid {one.run(doing.pid)}", 2 * MIB, True),
        (f"two, pid {two.run(doing.pid)}", MIB, False),
    ]
    eventually(lambda: leases() == expected, "only what is held for long is left")
    table = objects(small, "leases", "--older-than", "0.5").stdout
    assert re.search(r"one, pid \d+ .*never sealed", table)
    assert re.search(r"two, pid \d+ .*a view", table)


def test_without_an_agent_it_says_so() -> None:
    done = run_anyserve("objects", "list", "--port", "1", environment={})
    assert done.returncode == 1
    assert "no agent of this user has the port 1 on this machine" in done.stderr
