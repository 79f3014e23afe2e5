"""How much more a worker has to do than it can, for steps that decide whom to refuse first."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Pressure(Protocol):
    def pressure(self) -> int:
        """0: all is well. 1 to 3: the higher, the fewer should be let in."""
        ...
