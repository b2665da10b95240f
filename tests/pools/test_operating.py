"""`anyserve scale`, `pin` and `drain`, and the socket that they use."""

from __future__ import annotations

import socket
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from anyserve.cli import main
from anyserve.errors import RequestError, UnavailableError

from tests.pools.fleet import pools, run_anyserve, said
from tests.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gate import Gate
    from tests.pools.conftest import Start

# Scale.


def test_scale_keeps_so_many_workers(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    assert fleet.command("scale", "a", "3").stdout == "pool 'a' keeps 3 workers\n"
    fleet.wait_workers("a", *["ready"] * 3)
    assert (fleet.pool("a")["min"], fleet.pool("a")["max"]) == (3, 3)
    assert fleet.command("scale", "a", "1-2").stdout == "pool 'a' keeps 1 to 2 workers\n"
    fleet.wait_workers("a", "ready")
    assert (fleet.pool("a")["min"], fleet.pool("a")["max"]) == (1, 2)
    assert fleet.command("scale", "a", "0").stdout == "pool 'a' keeps no worker; requests start up to 2\n"
    fleet.wait_state("a", "idle")
    assert fleet.ask("a")["calls"] == 1
    assert len(fleet.steering.pids("a", "on_start")) == 4


def test_scaling_down_lets_running_requests_finish(start: Start, gate: Gate) -> None:
    fleet = start({"pools": pools("a", min=3, max=3)})
    running = [fleet.asking("a", gate.parameters) for _ in range(3)]
    gate.wait_entered(3)
    fleet.admin.scale("a", 1)
    fleet.wait_workers("a", "busy", "draining", "draining")
    waiting = fleet.asking("a")
    gate.open()
    assert len({said(request.result(30))["pid"] for request in running}) == 3
    fleet.wait_workers("a", "ready")
    assert said(waiting.result(30))["pid"] in fleet.pids("a")


def test_scaling_to_zero_while_a_worker_starts_stops_it(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    fleet.steering.hold("a", "on_start")
    fleet.admin.scale("a", 2)
    fleet.steering.wait_called("a", "on_start", 2)
    fleet.admin.scale("a", 0)
    fleet.wait_state("a", "idle")
    fleet.steering.release("a", "on_start")
    assert fleet.ask("a")["calls"] == 1
    assert fleet.pool("a")["reason"] == ""


def test_a_request_that_waits_for_a_worker_outlives_scaling_to_zero(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    fleet.steering.hold("a", "on_start")
    waiting = fleet.asking("a")
    [first] = fleet.steering.wait_called("a", "on_start")
    fleet.admin.scale("a", 0)
    fleet.steering.wait_called("a", "on_start", 2)
    fleet.steering.release("a", "on_start")
    assert said(waiting.result(30))["pid"] != first


def test_what_cannot_be_done_is_refused_and_changes_nothing(start: Start) -> None:
    fleet = start({"budget": {"slots": 2}, "pools": pools("a", "b", resources={"slots": 1})})
    unknown = "there is no pool 'z'; there are 'a', 'b'"
    refused = [
        *[([command, "z"], unknown) for command in ("sleep", "wake", "pin", "drain")],
        (["scale", "z", "1"], unknown),
        (["scale", "a", "3"], "the min workers of all pools take 3 "),
        (["scale", "a", "2000"], "2000 workers are too many for a pool; 1024 are the most"),
    ]
    for arguments, reason in refused:
        done = fleet.command(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"anyserve: {reason}")
        assert len(done.stderr.splitlines()) == 1
    assert (fleet.pool("a")["min"], fleet.pool("a")["max"], fleet.workers("a")) == (0, 1, [])
    assert fleet.ask("a")["calls"] == 1


@pytest.mark.parametrize("workers", ["many", "2-1", "1-", "1.5"])
def test_what_is_no_number_of_workers_is_refused(workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["scale", "a", workers])
    assert f"'{workers}' is neither a number of workers nor a range such as 0-2" in capsys.readouterr().err


# Drain.


def test_a_drained_pool_serves_what_waits_and_refuses_what_comes(start: Start, gate: Gate) -> None:
    fleet = start({"pools": pools("a", "b")})
    running = fleet.asking("a", gate.parameters)
    [pid] = gate.wait_entered()
    waiting = [fleet.asking("a") for _ in range(5)]
    fleet.wait_waiting("a", 5)
    done = fleet.command("drain", "a")
    assert done.stdout == "pool 'a' finishes what it has, and takes no requests until `anyserve scale`\n"
    assert fleet.state("a") == "draining"
    with pytest.raises(UnavailableError, match="pool 'a' was drained, and takes no requests"):
        fleet.ask("a")
    assert fleet.client.is_ready("b")
    assert fleet.ask("b")["pool"] == "b"
    gate.open()
    for request in [running, *waiting]:
        assert said(request.result(30))["pid"] == pid
    fleet.wait_state("a", "drained")
    assert fleet.workers("a") == []
    assert not fleet.client.is_ready("a")
    with pytest.raises(UnavailableError, match="drained"):
        fleet.ask("a")
    assert fleet.metrics.value("rejections_total", reason="pool_drained") == 2
    assert fleet.command("scale", "a", "0-1").returncode == 0
    assert fleet.ask("a")["calls"] == 1


def test_a_pool_that_drains_is_not_ready(start: Start, gate: Gate) -> None:
    fleet = start({"pools": pools("a")})
    fleet.asking("a", gate.parameters)
    gate.wait_entered()
    fleet.asking("a")
    fleet.wait_waiting("a", 1)
    fleet.admin.drain("a")
    with pytest.raises(UnavailableError, match="drained"):
        fleet.ask("a")
    assert not fleet.client.is_ready("a")
    assert not fleet.client.is_ready()


def test_a_drained_pool_serves_what_waits_for_its_first_worker(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    fleet.steering.hold("a", "on_start")
    waiting = [fleet.asking("a") for _ in range(3)]
    fleet.steering.wait_called("a", "on_start")
    fleet.admin.drain("a")
    fleet.steering.release("a", "on_start")
    for request in waiting:
        assert said(request.result(30))["pool"] == "a"
    fleet.wait_state("a", "drained")


def test_a_drained_pool_serves_what_waits_if_its_worker_dies(start: Start, gate: Gate) -> None:
    fleet = start({"pools": pools("a")})
    running = fleet.asking("a", gate.parameters)
    [pid] = gate.wait_entered()
    waiting = fleet.asking("a")
    fleet.wait_waiting("a", 1)
    fleet.admin.drain("a")
    gate.open()
    fleet.kill(pid)
    # It is idempotent.
    assert said(running.result(30))["pool"] == "a"
    assert said(waiting.result(30))["pool"] == "a"
    fleet.wait_state("a", "drained")


def test_requests_that_others_can_serve_are_not_refused_because_one_pool_is_drained(start: Start) -> None:
    fleet = start({"pools": pools("a", "b")})
    fleet.admin.drain("a")
    fleet.wait_state("a", "drained")
    assert {fleet.ask("letter")["pool"] for _ in range(5)} == {"b"}
    assert fleet.steering.pids("a") == []


def test_a_pool_drains_although_requests_go_on_that_others_can_serve_too(start: Start) -> None:
    fleet = start({"pools": pools("a", "b", min=1)})
    over = threading.Event()

    def load() -> set[str]:
        served = set()
        while not over.is_set():
            served.add(str(fleet.ask("letter", parameters={"takes": 0.02})["pool"]))
        return served

    with ThreadPoolExecutor(6) as threads:
        loads = [threads.submit(load) for _ in range(6)]
        try:
            eventually(lambda: fleet.pool("a")["ended"] > 5, "both serve")
            fleet.admin.drain("a")
            fleet.wait_state("a", "drained", patience=3)
        finally:
            over.set()
    assert set().union(*(load.result() for load in loads)) == {"a", "b"}


def test_a_stream_that_runs_ends_before_its_worker_is_drained(start: Start, gate: Gate) -> None:
    fleet = start({"pools": pools("stream")})
    with fleet.client.stream("stream", parameters=gate.parameters, timeout=30) as results:
        gate.wait_entered()
        fleet.admin.drain("stream")
        fleet.wait_workers("stream", "draining")
        gate.open()
        assert len(list(results)) == 3
    fleet.wait_state("stream", "drained")


def test_a_sleeping_worker_of_a_drained_pool_stops(start: Start) -> None:
    fleet = start({"pools": pools("s")})
    fleet.ask("s")
    fleet.admin.sleep("s")
    fleet.wait_workers("s", "asleep")
    fleet.admin.drain("s")
    fleet.wait_state("s", "drained")
    assert fleet.server.workers() == []


def test_a_drained_pool_stays_drained_until_it_is_scaled(start: Start) -> None:
    fleet = start({"pools": pools("a", min=1)})
    fleet.admin.drain("a")
    fleet.wait_state("a", "drained")
    fleet.admin.wake("a")
    fleet.admin.pin("a", True)
    fleet.admin.pin("a", False)
    assert fleet.state("a") == "drained"
    fleet.admin.scale("a", 1)
    fleet.wait_workers("a", "ready")


# While the agent starts and stops.


def test_operators_are_heard_while_the_first_workers_start(start: Start) -> None:
    file = {"pools": {**pools("a", min=1), **pools("b")}}
    fleet = start(file, ready=False)
    fleet.steering.hold("a", "on_start")
    fleet.steering.wait_called("a", "on_start")
    [found] = (fleet.runtime / "anyserve").glob("*[0-9].sock")
    port = int(found.stem)
    done = run_anyserve("status", "--json", "--port", str(port), environment=fleet.environment)
    assert '"state": "starting"' in done.stdout
    assert fleet.command("scale", "b", "1", port=port).returncode == 0
    fleet.steering.release("a", "on_start")
    fleet.wait_ready()
    fleet.wait_workers("b", "ready")


def test_a_failed_start_that_an_operator_asked_for_does_not_end_the_agent(start: Start) -> None:
    file = {"pools": {**pools("a", min=1), **pools("b")}}
    fleet = start(file, ready=False)
    fleet.steering.fail("b", "on_start", "no weights")
    fleet.steering.hold("a", "on_start")
    fleet.steering.wait_called("a", "on_start")
    [found] = (fleet.runtime / "anyserve").glob("*[0-9].sock")
    assert fleet.command("wake", "b", port=int(found.stem)).returncode == 0
    fleet.steering.wait_called("b", "on_start")
    tried = fleet.steering.pids
    eventually(lambda: len(tried("b")) > 1 or fleet.server.process.poll() is not None, "another start is tried")
    assert fleet.server.process.poll() is None
    fleet.steering.release("a", "on_start")
    fleet.wait_ready()
    assert fleet.ask("a")["calls"] == 1


def test_operators_are_told_that_the_agent_is_shutting_down(start: Start, gate: Gate) -> None:
    fleet = start({"pools": pools("a")})
    running = fleet.asking("a", gate.parameters)
    gate.wait_entered()
    fleet.server.process.terminate()
    eventually(lambda: fleet.admin.status()["draining"], "the agent drains")
    with pytest.raises(UnavailableError, match="the server is shutting down"):
        fleet.admin.scale("a", 2)
    done = fleet.command("status")
    assert "shutting down" in done.stdout
    gate.open()
    assert said(running.result(30))["calls"] == 1
    assert fleet.server.wait() == 0


def test_an_agent_that_is_stopped_in_the_middle_of_a_switch_ends(start: Start) -> None:
    fleet = start({"budget": {"slots": 1}, "pools": pools("a", "b", resources={"slots": 1}, min_residence=0)})
    fleet.ask("a")
    fleet.steering.hold("a", "on_stop")
    waiting = fleet.asking("b")
    fleet.steering.wait_called("a", "on_stop")
    fleet.server.process.terminate()
    eventually(lambda: fleet.admin.status()["draining"], "the agent drains")
    fleet.steering.release("a", "on_stop")
    # It had been accepted.
    assert said(waiting.result(30))["pool"] == "b"
    assert fleet.server.wait() == 0


@pytest.mark.parametrize("hook", ["on_start", "on_sleep", "on_wake", "on_stop"])
def test_no_worker_outlives_an_agent_that_is_killed(start: Start, hook: str) -> None:
    fleet = start({"pools": pools("s", "t", min=1, stop_timeout="60s")})
    fleet.admin.sleep("t")
    fleet.wait_workers("t", "asleep")
    if hook == "on_start":
        fleet.admin.scale("s", 0)
        fleet.wait_state("s", "idle")
    fleet.steering.hold("s", hook)
    if hook == "on_wake":
        fleet.admin.sleep("s")
        fleet.wait_workers("s", "asleep")
    calls = len(fleet.steering.pids("s", hook))
    steps = {"on_sleep": fleet.admin.sleep, "on_wake": fleet.admin.wake, "on_stop": fleet.admin.drain}
    steps.get(hook, fleet.admin.wake)("s")
    fleet.steering.wait_called("s", hook, calls + 1)
    fleet.server.process.kill()
    fleet.server.process.wait()
    eventually(lambda: not fleet.server.processes(), "its workers are gone", 5)


def test_a_second_signal_does_not_wait_for_workers_that_do_not_stop(start: Start) -> None:
    fleet = start({"pools": pools("a", min=1, stop_timeout="60s")})
    fleet.steering.hold("a", "on_stop")
    fleet.server.process.terminate()
    fleet.steering.wait_called("a", "on_stop")
    assert fleet.server.stop() in (0, 130)


# The socket.


def test_the_socket_is_its_users_alone_and_goes_with_the_agent(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    assert stat.S_IMODE(fleet.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(fleet.socket.parent.stat().st_mode) == 0o700
    assert fleet.server.stop() == 0
    assert list(fleet.socket.parent.iterdir()) == []


def test_the_socket_of_an_agent_that_was_killed_is_replaced(start: Start) -> None:
    first = start({"pools": pools("a")})
    first.server.process.kill()
    first.server.wait()
    assert first.socket.exists()
    done = first.command("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"anyserve: no agent of this user has the port {first.server.port} on this machine\n"
    second = start({"pools": pools("a")}, "--port", str(first.server.port))
    assert second.command("status").returncode == 0


def test_a_wrong_port_is_told_which_ports_there_are(start: Start) -> None:
    one = start({"pools": pools("a")})
    other = start({"pools": pools("a")})
    done = one.command("status", port=1)
    assert done.returncode == 1
    there = ", ".join(sorted(str(fleet.server.port) for fleet in (one, other)))
    assert done.stderr == (
        f"anyserve: no agent of this user has the port 1 on this machine; there is one for --port {there}\n"
    )


def test_a_wrong_port_is_not_told_of_agents_that_are_gone(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    fleet.server.process.kill()
    fleet.server.wait()
    assert "there is one for" not in fleet.command("status", port=1).stderr


def test_without_an_agent_the_message_says_so(tmp_path: Path) -> None:
    for command in (["status"], ["scale", "a", "1"], ["drain", "a"], ["reload"]):
        done = run_anyserve(*command, environment={"XDG_RUNTIME_DIR": str(tmp_path)})
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "anyserve: no agent of this user has the port 8000 on this machine\n"


@pytest.mark.parametrize("what", ["open to others", "a file", "a link"])
def test_a_folder_that_is_not_its_users_alone_is_refused(start: Start, tmp_path: Path, what: str) -> None:
    folder = tmp_path / "run" / "anyserve"
    folder.parent.mkdir()
    if what == "open to others":
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
    elif what == "a file":
        folder.touch()
    else:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    fleet = start({"pools": pools("a")}, ready=False)
    said = fleet.refused()
    assert str(folder) in said
    if what != "a file":
        assert "is not a folder that only its user can enter (mode 0700)" in said
    assert fleet.steering.notes("a") == []


def test_a_folder_whose_path_is_too_long_for_a_socket_is_refused(start: Start, tmp_path: Path) -> None:
    environment = {"XDG_RUNTIME_DIR": str(tmp_path / ("long" * 25))}
    fleet = start({"pools": pools("a")}, environment=environment, ready=False)
    assert "set XDG_RUNTIME_DIR to a shorter one" in fleet.refused()


def test_what_is_no_grpc_on_the_socket_harms_nobody(start: Start) -> None:
    fleet = start({"pools": pools("a")})
    with socket.socket(socket.AF_UNIX) as connection, suppress(ConnectionResetError):
        connection.connect(str(fleet.socket))
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
        connection.settimeout(10)
        while connection.recv(4096):
            pass
    assert fleet.command("status").returncode == 0
    with pytest.raises(RequestError):
        fleet.admin.scale("z", 1)
