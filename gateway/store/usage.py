"""Who called what, and what it came to: counts by hour and by day. Apart from the change log, as nothing that is served
depends on them.

Implementations: `redis_usage.RedisUsage`, `MemoryUsage`; one parametrised suite runs on both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

KEPT_DAYS: Final = 400
KEPT_HOURS: Final = 32 * 24  # a month of hours
MOST: Final = 10_000  # callers of one thing in one bucket; the others are one, `OTHERS`
OTHERS: Final = "*"


class Counts(NamedTuple):
    """`refused` are answers of 4xx, `failed` of 5xx; the others are bytes of bodies."""

    calls: int = 0
    refused: int = 0
    failed: int = 0
    received: int = 0
    sent: int = 0

    def plus(self, other: Counts) -> Counts:
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def most(self, other: Counts) -> Counts:
        """Of each the larger one."""
        return Counts(*map(max, self, other))


class Usage(Protocol):
    """Raises StoreUnavailable when the store cannot be reached. A bucket is a day (2026-11-24) or an hour of one
    (2026-11-24T09), in UTC."""

    async def add(self, batch: str, source: str, hour: str, what: str, counts: Mapping[str, Counts]) -> None:
        """Adds to the counts of an hour and of its day, once: the same `batch` of a `source` again changes nothing, so
        that one whose answer was lost may be sent again."""
        ...

    async def read(self, what: str, buckets: Sequence[str]) -> dict[str, dict[str, Counts]]:
        """By bucket, then caller; buckets without a count are left out."""
        ...

    async def counted(self, days: Sequence[str]) -> set[str]:
        """What was called on any of these days."""
        ...

    def whole(self) -> AsyncIterator[tuple[str, str, dict[str, Counts]]]:
        """All that is kept: bucket, what, counts by caller; in no particular order."""
        ...

    async def raise_to(self, bucket: str, what: str, counts: Mapping[str, Counts]) -> None:
        """At least these counts: of each number that is there and here, the larger one. Twice is as good as once."""
        ...

    async def close(self) -> None: ...


def buckets_of(hour: str) -> tuple[str, str]:
    """The hour and its day."""
    return hour, hour.partition("T")[0]


def hours_of(day: str) -> list[str]:
    return [f"{day}T{hour:02}" for hour in range(24)]


async def day_by_hours(usage: Usage, day: str, what: str) -> dict[str, Counts]:
    """The sums of the hours that are kept of a day."""
    sums: dict[str, Counts] = {}
    for counts in (await usage.read(what, hours_of(day))).values():
        for caller, count in counts.items():
            sums[caller] = sums.get(caller, Counts()).plus(count)
    return sums


class MemoryUsage:
    """For tests, and for a node whose store is in memory."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], dict[str, Counts]] = {}
        self._batches: dict[tuple[str, str], str] = {}

    async def add(self, batch: str, source: str, hour: str, what: str, counts: Mapping[str, Counts]) -> None:
        if self._batches.get((source, what)) == batch:
            return
        self._batches[source, what] = batch
        for bucket in buckets_of(hour):
            found = self._counts.setdefault((bucket, what), {})
            for caller, count in counts.items():
                name = caller if caller in found or len(found) < MOST else OTHERS
                found[name] = found.get(name, Counts()).plus(count)

    async def read(self, what: str, buckets: Sequence[str]) -> dict[str, dict[str, Counts]]:
        return {each: dict(self._counts[each, what]) for each in buckets if (each, what) in self._counts}

    async def counted(self, days: Sequence[str]) -> set[str]:
        return {what for bucket, what in self._counts if bucket in days}

    async def whole(self) -> AsyncIterator[tuple[str, str, dict[str, Counts]]]:
        for (bucket, what), counts in list(self._counts.items()):
            yield bucket, what, dict(counts)

    async def raise_to(self, bucket: str, what: str, counts: Mapping[str, Counts]) -> None:
        found = self._counts.setdefault((bucket, what), {})
        for caller, count in counts.items():
            found[caller] = found.get(caller, Counts()).most(count)

    async def close(self) -> None: ...
