"""The seam of replacing all that a store holds: staged beside what is there, then put in its place in one step.

What is staged is nobody's until `activate`; what a killed one left is dropped by the next `begin`, and ends by itself
after a day. Implementations: `redis_staging.RedisStaging`, `MemoryStaging`; one parametrised suite runs on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from gateway.core.errors import Conflict, PreconditionFailed
from gateway.store.store import Record, Value

if TYPE_CHECKING:
    from gateway.store.memory import MemoryStore

LEAP: Final = 1_000_000
"""By so much the sequence goes on when all is replaced. A node that was away, or a client with an ETag, may know of
commits behind the backup: their numbers must not come again with another meaning, and every node loads the whole."""

Audited = tuple[int, float, Value]  # sequence, seconds since 1970, entry


def taken_over() -> Conflict:
    return Conflict("Another restore has begun on this store, and this one gave way. Nothing of it holds.")


def part_lost() -> Conflict:
    return Conflict(
        "The store has lost a part of what was staged, as a failover may. Nothing of it holds: restore again."
    )


def moved_on(expect: int, found: int) -> PreconditionFailed:
    return PreconditionFailed(f"The store has changed meanwhile: it was at sequence {expect}, it is at {found}.")


class Staging(Protocol):
    """Of one restore at a time: Conflict when another began since. Raises StoreUnavailable."""

    async def begin(self) -> None: ...

    async def put(self, table: str, records: Sequence[tuple[str, Record]]) -> None:
        """Records with the versions that they had."""
        ...

    async def audit(self, entries: Sequence[Audited]) -> None:
        """The oldest first, in the order of their sequences."""
        ...

    async def activate(self, sequence: int, form: int, audit: Value, expect: int | None) -> int:
        """Puts what was staged in the place of every table, the audit and the change log, as of `sequence` in a store
        of that form, with one more audit entry; the new sequence. PreconditionFailed when the store is not at sequence
        `expect` any more."""
        ...

    async def drop(self) -> None:
        """Gives up what was staged."""
        ...


class MemoryStaging:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._tables: dict[str, dict[str, tuple[bytes, int]]] = {}
        self._audit: list[tuple[int, float, bytes]] = []

    async def begin(self) -> None:
        self._tables, self._audit = {}, []
        self._store.staging_now = self

    def _check(self) -> None:
        if self._store.staging_now is not self:
            raise taken_over()

    async def put(self, table: str, records: Sequence[tuple[str, Record]]) -> None:
        self._check()
        rows = self._tables.setdefault(table, {})
        for key, record in records:
            rows[key] = orjson.dumps(record.value), record.version

    async def audit(self, entries: Sequence[Audited]) -> None:
        self._check()
        self._audit += [(sequence, at, orjson.dumps(entry)) for sequence, at, entry in entries]

    async def activate(self, sequence: int, form: int, audit: Value, expect: int | None) -> int:
        self._check()
        now = await self._store.sequence()
        if expect is not None and expect != now:
            raise moved_on(expect, now)
        found = self._store.replace(self._tables, self._audit, max(now, sequence) + LEAP - 1)
        self._store.staging_now = None
        return await found.commit([], audit)

    async def drop(self) -> None:
        if self._store.staging_now is self:
            self._store.staging_now = None
