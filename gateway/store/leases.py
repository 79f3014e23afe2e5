"""The seam of leases: at most so many at once of a subject, exact over workers and nodes, or within this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Granted = Callable[[bool | None], None]  # None: the store could not decide


class Lease(Protocol):
    """The slots of one limit, for each subject."""

    def take(self, subject: str, deliver: Granted) -> None:
        """Asks for a slot; `deliver` is called once, on the loop's thread, perhaps at once."""
        ...

    def give(self, subject: str) -> None:
        """Gives one back that was granted; once."""
        ...


class Leases(Protocol):
    """Slots belong to the worker that took them, and come back when it is no more."""

    def lease(self, name: str, limit: int) -> Lease:
        """`name` identifies the slots, whatever the revision; `limit` is how many there are of each subject."""
        ...

    def own(self, name: str, limit: int) -> Lease:
        """The same, of this worker alone: no store is asked."""
        ...


class MemoryLeases:
    """Of one process. Delivers at once."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], int] = {}

    def lease(self, name: str, limit: int) -> Lease:
        return MemoryLease(self.held, name, limit)

    own = lease


class MemoryLease:
    def __init__(self, held: dict[tuple[str, str], int], name: str, limit: int) -> None:
        self._held = held
        self._name = name
        self._limit = limit

    def take(self, subject: str, deliver: Granted) -> None:
        key = self._name, subject
        count = self._held.get(key, 0)
        granted = count < self._limit
        if granted:
            self._held[key] = count + 1
        deliver(granted)

    def give(self, subject: str) -> None:
        key = self._name, subject
        count = self._held.get(key, 0)
        if count > 1:
            self._held[key] = count - 1
        else:
            self._held.pop(key, None)
