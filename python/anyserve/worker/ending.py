"""Ending the process from wherever a handler said so."""

from __future__ import annotations

import os
import sys

__all__ = ["end_process"]


def end_process(error: BaseException) -> None:
    """Ends the process as an uncaught exception of its main thread would, without waiting for other threads."""
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    else:
        # Seldom needed, and slow to import.
        import traceback

        traceback.print_exception(error)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
