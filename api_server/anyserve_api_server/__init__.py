"""The API server of anyserve: which replica of a fleet offers what.

``anyserve api-server`` runs it; :func:`create_app` makes the ASGI application, for those who run it otherwise.
"""

from __future__ import annotations

from anyserve import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .app import create_app

__all__ = ["__version__", "create_app"]


def __getattr__(name: str) -> object:
    # The command line is read without the web framework.
    if name != "create_app":
        raise AttributeError(f"module 'anyserve_api_server' has no attribute '{name}'")
    from .app import create_app

    return create_app
