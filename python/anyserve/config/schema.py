"""The JSON schema of configuration files, by which editors complete and explain them."""

from __future__ import annotations

import json

from .fields import FILE

__all__ = ["schema_text"]


def schema_text() -> str:
    """The schema, as JSON (https://json-schema.org/draft/2020-12)."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "anyserve",
        "description": "What `anyserve run --config` serves.",
        **FILE.schema(),
    }
    return json.dumps(schema, indent=2)
