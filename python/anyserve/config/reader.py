"""From a file to a configuration that is right as a whole, or to all that is wrong with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..pool import PoolOptions
from .checks import check
from .document import read_document
from .errors import ConfigError, Problem
from .fields import FILE
from .kinds import INVALID, read
from .model import Budget, Config, PoolConfig
from .place import At, Position, Problems
from .sections import Record

__all__ = ["load_config"]


def load_config(path: str | os.PathLike[str]) -> Config:
    """Reads a configuration file. Nothing that it names is imported.

    Raises:
        ConfigError: It is not there, or something in it is wrong; with everything that is.
    """
    path = Path(path)
    problems = Problems()
    node = read_document(path, problems)
    if node is None:
        raise ConfigError(path, [Problem(1, 1, "the file is empty; 'pools' with at least one pool belongs here")])
    record = read(FILE, node, At(problems, value=Position.of(node.start_mark)))
    if record is not INVALID:
        defaults = _section(record, "defaults")
        pools = [pool.over(defaults) for pool in _section(record, "pools").values.values()]
        # A budget that cannot be read is no reason to tell that it does not name things.
        unreadable = "budget" in record.places and "budget" not in record.values
        check(None if unreadable else _section(record, "budget"), pools)
    if problems:
        raise ConfigError(path, problems.all())
    budget = dict(_section(record, "budget").values)
    return Config(
        path=path,
        budget=Budget(gpus=budget.pop("gpus", None), counters=budget),
        server=_section(record, "server").values,
        pools=[_pool(name, pool) for name, pool in zip(_section(record, "pools").values, pools, strict=True)],
    )


def _section(record: Record, name: str) -> Record:
    section = record.values.get(name)
    return section if isinstance(section, Record) else Record(record.at)


def _pool(name: str, record: Record) -> PoolConfig:
    values = record.values
    factory = values.get("factory")
    return PoolConfig(
        name=name,
        target=factory or values["target"],
        factory=factory is not None,
        worker=values.get("worker"),
        args=_section(record, "args").values,
        env=_section(record, "env").values,
        capabilities=values.get("capabilities"),
        options=_options(values),
        line=record.at.key.line,
    )


def _options(values: dict[str, Any]) -> PoolOptions:
    """The options of a pool; its memory is one of its resources."""
    options = {name: value for name, value in values.items() if name in PoolOptions._fields}
    for name in ("resources", "asleep"):
        if name in options:
            options[name] = dict(options[name].values)
    if "memory" in values:
        options["resources"] = {"memory": values["memory"], **options.get("resources", {})}
    return PoolOptions(**options)
