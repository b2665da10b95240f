"""``python -m anyserve`` is ``anyserve``."""

import sys

from .cli import main

sys.exit(main())
