"""The package as it is installed: its public names, its stubs, and what importing it costs."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import subprocess
import sys
from pathlib import Path

import anyserve
import pytest

from tests.server import ROOT

FOLDER = Path(anyserve.__file__).parent
MODULES = [
    "anyserve",
    *(
        module.name
        for module in pkgutil.walk_packages(anyserve.__path__, "anyserve.")
        if not module.name.endswith((".__main__", "._core"))
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_there(name: str) -> None:
    module = importlib.import_module(name)
    public = getattr(module, "__all__", [])
    assert len(public) == len(set(public))
    for attribute in public:
        assert hasattr(module, attribute), attribute


@pytest.mark.parametrize("name", ["anyserve", "anyserve.errors", "anyserve.kserve", "anyserve.worker.client"])
def test_public_modules_say_what_is_public(name: str) -> None:
    namespace: dict[str, object] = {}
    exec(f"from {name} import *", namespace)
    assert set(importlib.import_module(name).__all__) <= set(namespace)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_and_public_class_says_what_it_is_for(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for attribute in getattr(module, "__all__", []):
        public = getattr(module, attribute)
        if isinstance(public, type):
            assert public.__doc__, attribute


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


@pytest.mark.parametrize("name", ["anyserve", "anyserve.cli", "anyserve.worker.loader"])
def test_importing_it_imports_nothing_heavy(name: str) -> None:
    loaded = set(run(f"import sys, {name}; print(*sys.modules)").split())
    assert name in loaded
    assert not loaded & {"numpy", "rich", "fastapi", "uvicorn", "grpc", "tritonclient", "asyncio"}


def test_types_come_with_it() -> None:
    assert (FOLDER / "py.typed").exists()
    assert (FOLDER / "_core.pyi").exists()


def test_the_version_is_that_of_the_distribution() -> None:
    assert anyserve.__version__ == importlib.metadata.version("anyserve")


def test_a_worker_by_hand_says_how_to_do_it() -> None:
    command = [sys.executable, "-m", "anyserve.worker", "examples.basic.app:app"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 1
    assert "not started by an anyserve agent" in result.stderr
    assert "use `anyserve run`" in result.stderr
