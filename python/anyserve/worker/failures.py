"""What of the user's code failed, in words and with the user's own traceback."""

from __future__ import annotations

import importlib
import os

from ..errors import TargetError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from traceback import TracebackException

__all__ = ["failed", "summary", "users_traceback"]

# Where frames come from that are not the user's: this package, and the import system.
_NOT_THE_USERS = (os.path.dirname(os.path.dirname(__file__)) + os.sep, importlib.__file__, "<frozen importlib")


def failed(what: str, error: BaseException) -> TargetError:
    """The error that says that ``what`` raised."""
    return TargetError(f"{what} raised {summary(error)}", users_traceback(error))


def summary(error: BaseException) -> str:
    """Its type and its message."""
    return f"{type(error).__name__}: {error}"


def users_traceback(error: BaseException) -> str:
    """The traceback, ready to print, without the frames of this package."""
    # Seldom needed, and slow to import.
    import traceback

    lines = traceback.TracebackException.from_exception(error, compact=True)
    _drop_own_frames(lines)
    return "".join(lines.format())


def _drop_own_frames(error: TracebackException) -> None:
    """Leaves the user's own frames: not ours, not those of the import system."""
    user = [frame for frame in error.stack if not frame.filename.startswith(_NOT_THE_USERS)]
    error.stack[:] = user
    for chained in (error.__cause__, error.__context__):
        if chained is not None:
            _drop_own_frames(chained)
