"""An application that is not the same at every import: it waits, fails or serves something else, as the test says."""

from __future__ import annotations

import os
from pathlib import Path

from anyserve import AnyServe

from tests.apps.gated import quick
from tests.gate import Gate

FOLDER = Path(os.environ["ANYSERVE_TEST_FOLDER"])
"""Holds the gate of every import, and the files ``broken`` and ``changed``."""

Gate(FOLDER / "import").stay()
if (FOLDER / "broken").exists():
    raise RuntimeError("in a bad mood")

app = AnyServe()
app.capability(type="quick")(quick)
if (FOLDER / "changed").exists():
    app.capability(type="new")(quick)
