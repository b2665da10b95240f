"""From ``module:attribute`` to an application."""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..app import AnyServe
from ..errors import TargetError

__all__ = ["load"]

# Where frames come from that are not the user's: this package, and the import system.
_NOT_THE_USERS = (os.path.dirname(os.path.dirname(__file__)) + os.sep, importlib.__file__, "<frozen importlib")


def load(target: str, *, factory: bool) -> AnyServe:
    """Imports the application that ``target`` names, or calls the factory that it names.

    Raises:
        TargetError: It is not there, it is something else, or the user's code raised; then with its traceback.
    """
    module_name, separator, attribute = target.partition(":")
    if not separator or not module_name or not attribute:
        raise TargetError(f"target '{target}' is not MODULE:ATTRIBUTE, such as app:app")
    module = _import(module_name)
    found = _attribute(module, attribute)
    if factory:
        if not callable(found):
            raise TargetError(f"'{target}' is a {type(found).__name__}; --factory needs a function that makes the app")
        found = _run(found, f"the factory '{target}'")
    if not isinstance(found, AnyServe):
        made = "made" if factory else "is"
        hint = "; to call it in each worker, add --factory" if not factory and callable(found) else ""
        raise TargetError(f"'{target}' {made} a {type(found).__name__}, not an AnyServe application{hint}")
    if not found.handlers:
        raise TargetError(f"the application '{target}' serves no capability; declare one with @app.capability(...)")
    return found


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module itself, or a package around it; anything else is an import inside the user's code.
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise TargetError(f"there is no module '{error.name}' in {os.getcwd()} or on the Python path") from None
        raise _failed(f"importing '{name}'", error) from None
    except BaseException as error:
        raise _failed(f"importing '{name}'", error) from None


def _attribute(module: ModuleType, attribute: str) -> Any:
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            apps = [name for name, value in vars(module).items() if isinstance(value, AnyServe)]
            hint = f"; it has the application '{apps[0]}'" if apps else ""
            raise TargetError(f"module '{module.__name__}' has no attribute '{attribute}'{hint}")
        found = getattr(found, part)
    return found


def _run(function: Callable[[], Any], what: str) -> Any:
    try:
        return function()
    except BaseException as error:
        raise _failed(what, error) from None


def _failed(what: str, error: BaseException) -> TargetError:
    lines = traceback.TracebackException.from_exception(error, compact=True)
    _drop_own_frames(lines)
    return TargetError(f"{what} raised {type(error).__name__}: {error}", "".join(lines.format()))


def _drop_own_frames(error: traceback.TracebackException) -> None:
    """Leaves the user's own frames: not ours, not those of the import system."""
    user = [frame for frame in error.stack if not frame.filename.startswith(_NOT_THE_USERS)]
    error.stack[:] = user
    for chained in (error.__cause__, error.__context__):
        if chained is not None:
            _drop_own_frames(chained)
