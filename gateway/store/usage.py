"""Who called what: counts by day, kept for long. Apart from the change log, as nothing that is served depends on them.

Implementations: `redis_usage.RedisUsage`, `MemoryUsage`; one parametrised suite runs on both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol

KEPT_DAYS: Final = 400
MOST: Final = 10_000  # callers of one thing on one day; the others are one, `OTHERS`
OTHERS: Final = "*"


class Usage(Protocol):
    """Raises StoreUnavailable when the store cannot be reached. Days are ISO dates in UTC."""

    async def add(self, batch: str, source: str, day: str, what: str, counts: Mapping[str, int]) -> None:
        """Adds to the counts of a day, once: the same `batch` of a `source` again changes nothing, so that one whose
        answer was lost may be sent again."""
        ...

    async def read(self, what: str, days: Sequence[str]) -> dict[str, dict[str, int]]:
        """By day, then caller; days without a count are left out."""
        ...

    def whole(self) -> AsyncIterator[tuple[str, str, dict[str, int]]]:
        """All that is kept: day, what, counts by caller; in no particular order."""
        ...

    async def put(self, day: str, what: str, counts: Mapping[str, int]) -> None:
        """These counts in the place of those that are there."""
        ...

    async def close(self) -> None: ...


class MemoryUsage:
    """For tests, and for a node whose store is in memory."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], dict[str, int]] = {}
        self._batches: dict[tuple[str, str], str] = {}

    async def add(self, batch: str, source: str, day: str, what: str, counts: Mapping[str, int]) -> None:
        if self._batches.get((source, what)) == batch:
            return
        self._batches[source, what] = batch
        found = self._counts.setdefault((day, what), {})
        for caller, count in counts.items():
            name = caller if caller in found or len(found) < MOST else OTHERS
            found[name] = found.get(name, 0) + count

    async def read(self, what: str, days: Sequence[str]) -> dict[str, dict[str, int]]:
        return {day: dict(self._counts[day, what]) for day in days if (day, what) in self._counts}

    async def whole(self) -> AsyncIterator[tuple[str, str, dict[str, int]]]:
        for (day, what), counts in list(self._counts.items()):
            yield day, what, dict(counts)

    async def put(self, day: str, what: str, counts: Mapping[str, int]) -> None:
        self._counts[day, what] = dict(counts)

    async def close(self) -> None: ...
