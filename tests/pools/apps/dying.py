"""A factory that ends its process."""

from __future__ import annotations

import os
import sys

from anyserve import AnyServe


def make() -> AnyServe:
    """Says why, and goes."""
    print("the disk is full", file=sys.stderr, flush=True)
    os._exit(7)
