"""Ray: installed from PyPI into a virtual environment of its own, and run as a process of its own in each round."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benches import processes
from benches.objects.sides import Measure
from benches.rounds import say

__all__ = ["VERSION", "install", "prepare"]

VERSION = "2.60.0"
SCRIPT = Path(__file__).with_name("ray_put_get.py")
INSTALL_SECONDS = 900.0
RUN_SECONDS = 180.0


def install(peers: Path, logs: Path) -> Path:
    """The Python that has Ray, which is installed where it is not."""
    folder = peers / f"ray-{VERSION}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.is_file():
        say(f"installing Ray into {folder} (about 400 MB)")
        log = logs / "ray-install.log"
        processes.output([sys.executable, "-m", "venv", str(folder)], log, INSTALL_SECONDS)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        processes.output([*pip, f"ray=={VERSION}", "numpy"], log, INSTALL_SECONDS)
        done.touch()
    return python


def prepare(python: Path, size: int, times: int, warm_seconds: float, logs: Path) -> Measure:
    """Measures ``seconds`` for a put and a get. Ray is up only meanwhile: its processes are never quite idle."""
    command = [str(python), "-I", str(SCRIPT), str(size), str(times), str(warm_seconds), str(logs / "ray")]

    def measure() -> dict[str, float]:
        printed = processes.output(command, logs / "ray.log", RUN_SECONDS)
        return {"seconds": json.loads(printed.splitlines()[-1])["median_ns"] / 1e9}

    return measure
