"""Who offers what: the capability in a query string, and the replicas that match it."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

from anyserve._core import Registry
from anyserve.errors import CapabilityError

from .errors import ApiError

__all__ = ["Query", "find_route", "parse_query"]

Query = dict[str, bool | int | float | str]
"""What is wanted of a replica."""

MAX_PAIRS = 32


def parse_query(query_string: bytes) -> Query:
    """The capability in ``type=chat&model=llama-70b``; empty if there is none.

    Raises:
        ApiError: It is not well formed, or names a key twice.
    """
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PAIRS
        )
    except UnicodeDecodeError as error:
        raise ApiError(400, "the query is not UTF-8, percent-encoded") from error
    except ValueError as error:
        raise ApiError(400, f"a capability has at most {MAX_PAIRS} pairs") from error
    query: Query = dict(pairs)
    if len(query) != len(pairs):
        twice = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
        raise ApiError(400, f"'{twice}' is given twice")
    return query


def find_route(registry: Registry, query_string: bytes) -> bytes:
    """The answer to ``GET /route``.

    Raises:
        ApiError: No replica matches, or the query is not one.
    """
    query = parse_query(query_string)
    if not query:
        raise ApiError(400, "say what is wanted, such as /route?type=chat&model=llama-70b")
    try:
        found = registry.route(query)
    except CapabilityError as error:
        raise ApiError(400, str(error)) from error
    if found is None:
        raise ApiError(404, registry.explain_no_match(query))
    return json.dumps(found, separators=(",", ":")).encode()
