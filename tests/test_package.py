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


# The standard library's slow ones, and what of ours a worker does not need.
NOT_IN_A_WORKER = {
    *(
        "argparse",
        "ast",
        "asyncio",
        "contextlib",
        "dataclasses",
        "enum",
        "functools",
        "inspect",
        "json",
        "logging",
        "re",
    ),
    *("socket", "subprocess", "threading", "traceback", "typing"),
    *("anyserve.batch", "anyserve.cli", "anyserve.client", "anyserve.class_pool", "anyserve.async_stream"),
    *("anyserve.worker.event_loop", "anyserve.worker_class"),
}


@pytest.mark.parametrize("name", ["anyserve", "anyserve.worker.__main__", "anyserve.worker.threads"])
def test_a_worker_imports_only_what_it_needs(name: str) -> None:
    always = set(run("import sys; print(*sys.modules)").split())
    loaded = set(run(f"import sys, {name}, examples.basic.app; print(*sys.modules)").split())
    assert "anyserve._core" in loaded
    assert not (loaded - always) & NOT_IN_A_WORKER


def test_a_class_worker_needs_little_more() -> None:
    declare = "app.worker(capability={'a': 1}, idle_timeout='5m', memory='4GiB')(C)"
    base = "type('C', (anyserve.Worker,), {'handle': lambda self, request: None})"
    code = f"import anyserve, sys; C = {base}; app = anyserve.AnyServe(); {declare}; print(*sys.modules)"
    always = set(run("import sys; print(*sys.modules)").split())
    added = set(run(code).split()) - always
    assert added & NOT_IN_A_WORKER == {"anyserve.class_pool", "anyserve.worker_class"}


def test_what_is_imported_later_is_there_all_the_same() -> None:
    assert set(anyserve.__all__) <= set(dir(anyserve))
    names = ", ".join(anyserve.__all__)
    assert run(f"from anyserve import {names}; print(Worker.__name__, batch.__name__)") == "Worker anyserve.batch\n"
    with pytest.raises(AttributeError, match="module 'anyserve' has no attribute 'nothing'"):
        _ = anyserve.nothing


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
