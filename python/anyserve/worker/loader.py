"""From ``module:attribute`` to an application."""

from __future__ import annotations

import importlib
import os

from ..app import AnyServe
from ..errors import TargetError
from .failures import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType
    from typing import Any

__all__ = ["load"]


def load(target: str, *, factory: bool, arguments: Mapping[str, Any] | None = None) -> AnyServe:
    """Imports the application that ``target`` names, or calls the factory that it names with these keywords.

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
        found = _call(found, target, arguments or {})
    if not isinstance(found, AnyServe):
        made = "made" if factory else "is"
        hint = "; to call it in each worker, add --factory" if not factory and callable(found) else ""
        raise TargetError(f"'{target}' {made} a {type(found).__name__}, not an AnyServe application{hint}")
    if not found.pools:
        raise TargetError(
            f"the application '{target}' serves no capability; declare one with @app.capability(...) or "
            "@app.worker(...)"
        )
    return found


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module itself, or a package around it; anything else is an import inside the user's code.
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise TargetError(f"there is no module '{error.name}' in {os.getcwd()} or on the Python path") from None
        raise failed(f"importing '{name}'", error) from None
    except BaseException as error:
        raise failed(f"importing '{name}'", error) from None


def _attribute(module: ModuleType, attribute: str) -> Any:
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            apps = [name for name, value in vars(module).items() if isinstance(value, AnyServe)]
            hint = f"; it has the application '{apps[0]}'" if apps else ""
            raise TargetError(f"module '{module.__name__}' has no attribute '{attribute}'{hint}")
        found = getattr(found, part)
    return found


def _call(factory: Callable[..., Any], target: str, arguments: Mapping[str, Any]) -> Any:
    try:
        return factory(**arguments)
    except BaseException as error:
        # Raised by the call itself: nothing of the factory has run.
        if isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None:
            raise TargetError(f"the factory '{target}' cannot be called so: {error}{_takes(factory)}") from None
        raise failed(f"the factory '{target}'", error) from None


def _takes(factory: Callable[..., Any]) -> str:
    from .. import signature

    try:
        return f"; it takes {signature.text(factory)}"
    except (TypeError, ValueError):
        return ""
