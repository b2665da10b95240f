"""``python -m anyserve.worker TARGET [--factory] [--args JSON] [--pool NAME] [--describe]``: one worker process.

An agent starts it. It serves the pool NAME. Without a name it serves the application's functions, if these are all
there is and need nothing; otherwise it tells the agent which pools there are, as it does with ``--describe``, and ends.
"""

from __future__ import annotations

import sys

from .. import _core
from ..errors import TargetError
from ..pool import DEFAULT_POOL
from .arguments import parse
from .loader import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..app import AnyServe
    from ..pool import DeclaredPool
    from .arguments import Arguments


def main(arguments: list[str]) -> int:
    """Serves until the agent says stop."""
    # Before anything of the user's runs: from here on the worker's life ends with the agent's.
    worker = _core.Worker()
    try:
        chosen = parse(arguments)
        app = load(chosen.target, factory=chosen.factory, arguments=chosen.arguments)
        pool = _pool(app, chosen)
        if pool is None:
            worker.declare(app.pools)
        else:
            _serve(worker, pool)
    except TargetError as error:
        worker.start_failed(str(error), error.traceback)
        return 1
    return 0


def _pool(app: AnyServe, chosen: Arguments) -> DeclaredPool | None:
    """The pool to serve; none if the agent has to hear first what there is."""
    pools = app.pools
    if chosen.describe:
        return None
    if chosen.pool is None:
        [first, *others] = pools
        needs_nothing = not first.options.gpus and not first.options.preload
        return first if first.name == DEFAULT_POOL and not others and needs_nothing else None
    for pool in pools:
        if pool.name == chosen.pool:
            return pool
    names = ", ".join(f"'{pool.name}'" for pool in pools)
    raise TargetError(f"the application '{chosen.target}' has no pool '{chosen.pool}'; it has {names}")


def _serve(worker: _core.Worker, pool: DeclaredPool) -> None:
    if pool.is_async:
        from . import event_loop

        event_loop.serve(worker, pool)
    else:
        from . import threads

        threads.serve(worker, pool)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
