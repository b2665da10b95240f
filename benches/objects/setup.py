"""What the cases of the object system share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benches import rounds
from benches.objects.notes import Notes

__all__ = ["GIB", "KIB", "MIB", "Setup"]

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Setup(rounds.Setup):
    """The servers that are up the whole time, and where to tell what is not measured."""

    ray: Path | None
    """The Python that has Ray."""
    notes: Notes

    def times(self, full: int) -> int:
        """How often something is done in each round, of so often as it is where figures are reported from."""
        return max(full // 10, 3) if self.quick else full
