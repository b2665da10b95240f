"""Configuration files: ``anyserve run --config anyserve.yaml``.

:func:`load_config` reads a file and checks it as a whole. The table of all that a file may say is in
:mod:`anyserve.config.fields`; the reader and the JSON schema are made from it. YAML is imported here and nowhere
else, so that workers do without.
"""

from .errors import ConfigError, Problem
from .model import Budget, Config, PoolConfig
from .reader import load_config
from .schema import schema_text

__all__ = ["Budget", "Config", "ConfigError", "PoolConfig", "Problem", "load_config", "schema_text"]
