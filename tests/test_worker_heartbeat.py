"""The heartbeat of a worker goes on whatever holds the process up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.apps.silent import PIPES
from tests.worker_process import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path


def test_it_beats_while_the_gil_is_held(tmp_path: Path) -> None:
    for name in ("import", "on_start", "handle", "on_sleep"):
        os.mkfifo(tmp_path / name)

    def let_go(name: str) -> None:
        # The C call returns as this opens the pipe.
        with (tmp_path / name).open("w"):
            pass

    environment = {PIPES: str(tmp_path)}
    with WorkerProcess("tests.apps.silent:app", pool="Silent", environment=environment) as worker:
        worker.wait_heartbeats(2)
        let_go("import")
        worker.wait_heartbeats(2)
        let_go("on_start")
        worker.welcome()
        worker.assign()
        worker.wait_heartbeats(2)
        let_go("handle")
        worker.expect("reply")
        worker.send("sleep", {"level": 1})
        worker.wait_heartbeats(2)
        let_go("on_sleep")
        assert worker.expect("settled") == {}
        worker.wait_heartbeats(1)
        assert worker.stop() == 0
