"""Two workers that need a GPU each, and call each other."""

from __future__ import annotations

from anyserve import AnyServe

from tests.calls.apps.callers import Runner

app = AnyServe()

for name in ("left", "right"):
    app.worker(capability={"type": "caller", "model": name}, name=name, min=0, max=1, gpus=1)(Runner)
