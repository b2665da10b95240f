"""``typing.NamedTuple`` without ``typing``.

A worker starts as fast as its imports are, and importing ``typing`` takes longer than all else that it needs of this
package.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from collections import namedtuple

    class _Record(type):
        """Makes a class with annotations a subclass of the namedtuple that they describe."""

        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, namespace)
            # They are texts, and there at once, where `from __future__ import annotations` stands.
            fields = namespace.get("__annotations__", {})
            defaults = [namespace.pop(field) for field in fields if field in namespace]
            base = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])
            return type(name, (base,), {"__slots__": (), **namespace})

    class NamedTuple(metaclass=_Record):
        """The base of classes whose annotations are the fields of a tuple."""


__all__ = ["NamedTuple"]
