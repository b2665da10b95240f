"""Triton: the scripts of the peers install and start it; it serves their models and those of ``triton_models``."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import tritonclient.grpc as kserve

from benches import servers
from benches.processes import BenchError, running, tail
from benches.servers import Server

__all__ = ["install", "triton", "version"]

MODELS = servers.HERE / "triton_models"


def install(scripts: Path, installed: Path, logs: Path) -> None:
    """Installs the peers where they are not."""
    if (installed / "site").is_file():
        return
    print(f"installing the peers into {installed} (about 400 MB)", file=sys.stderr)
    log = logs / "setup.log"
    installed.mkdir(parents=True, exist_ok=True)
    with running(["bash", str(scripts / "setup.sh"), str(installed)], log) as process:
        if process.wait() != 0:
            raise BenchError(f"{scripts / 'setup.sh'} failed:\n{tail(log)}")


@contextlib.contextmanager
def triton(scripts: Path, installed: Path, folder: Path) -> Iterator[Server]:
    """Triton with its Python backend."""
    log = folder / "triton.log"
    # The script serves the models that lie beside it, so ours need a copy of it.
    copy = folder / "peers"
    shutil.copytree(scripts, copy, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    shutil.copytree(MODELS, copy / "triton_models", dirs_exist_ok=True)
    # Its HTTP and metrics ports follow the gRPC one.
    port = servers.free_ports(3)
    with running(["bash", str(copy / "triton.sh"), str(installed), str(port)], log) as process:
        servers.wait_ready(process, port, log)
        yield Server("Triton", port, process.pid)


def version(server: Server) -> str:
    """What the server says about itself."""
    with contextlib.closing(kserve.InferenceServerClient(f"127.0.0.1:{server.port}")) as client:
        return f"Triton {client.get_server_metadata().version}"
