"""Puts a backup in the place of what a store holds: all of it or nothing.

The file is read whole and held to its seal before anything is written. Then it is staged beside what is there, and one
step puts it in place (`store.staging`); nodes that run notice, as the change log begins anew, and load everything. One
that is killed before that step has changed nothing; the next begins from the start. Counts of calls and messages follow
after the step, as they live apart: a restore that was cut off there is repeated with `replace`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from gateway.admin.backup_file import AUDIT, BATCH, MESSAGE, RECORD, USAGE, Backup
from gateway.core.errors import Conflict, PreconditionFailed
from gateway.store.schema import CURRENT
from gateway.store.store import (
    CREDENTIALS,
    KEYS,
    PROPOSALS,
    REVOKED,
    SIGNING_KEYS,
    TOKENS,
    Record,
    Store,
    Value,
)
from gateway.store.stream_copies import StreamCopies
from gateway.store.usage import Counts, Usage, buckets_of, day_by_hours

SECRETS: Final = (KEYS, CREDENTIALS, TOKENS, SIGNING_KEYS, REVOKED)  # what holds under the key secret alone
OF_A_START: Final = (TOKENS, SIGNING_KEYS, REVOKED, PROPOSALS)  # what a node that starts makes in an empty store
TRIES: Final = 3


class NotEmpty(Conflict):
    """Something is there that the backup would replace."""

    title, code = "The store is not empty", "store_not_empty"


@dataclass
class Tally:
    """Of one table: what becomes of its records."""

    create: int = 0
    update: int = 0
    unchanged: int = 0
    delete: int = 0

    @classmethod
    def of(cls, wanted: list[tuple[str, Record]], found: list[Record | None]) -> Self:
        made = cls()
        for (_, record), old in zip(wanted, found, strict=True):
            made.create += old is None
            made.unchanged += old is not None and old.value == record.value
            made.update += old is not None and old.value != record.value
        return made

    def add(self, other: Tally) -> None:
        self.create += other.create
        self.update += other.update
        self.unchanged += other.unchanged

    @property
    def there(self) -> int:
        """How many of those that the store has are in the backup, too."""
        return self.update + self.unchanged


@dataclass(frozen=True)
class Restore:
    """`keep` is the token of who restores: it goes on beside those of the backup, or nobody could look at the result.
    `credentials` False: without what holds under the key secret alone."""

    backup: Backup
    store: Store
    usage: Usage
    streams: StreamCopies | None
    actor: str
    keep: str | None = None
    replace: bool = False
    credentials: bool = True
    _tallies: dict[str, Tally] = field(default_factory=dict)

    async def plan(self) -> dict[str, Any]:
        """What it would change; nothing is written. NotEmpty, StoreUnfit."""
        self._fitting()
        await self._empty()
        sizes = await self.store.sizes()
        tallies = {table: Tally() for table in sizes if table != PROPOSALS}
        async for table, records in self._records():
            tallies.setdefault(table, Tally()).add(Tally.of(records, await self._found(table, records, sizes)))
        for table, each in tallies.items():
            each.delete = sizes.get(table, 0) - each.there
        self._tallies.update(tallies)
        return self._told(None)

    async def run(self) -> dict[str, Any]:
        """The plan, done: with the sequence of the step that put it in place. Conflict when another began meanwhile;
        PreconditionFailed when the store, which was empty, is not any more."""
        for last in range(TRIES):
            expect = await self.store.sequence()
            told = await self.plan()
            try:
                sequence = await self._activate(None if self.replace else expect)
                break
            except PreconditionFailed:
                if last == TRIES - 1:
                    raise
        await self._beside()
        return {**told, "sequence": sequence}

    def _fitting(self) -> None:
        form, release = self.backup.head["schema"], self.backup.head["release"]
        if not CURRENT.first <= form <= CURRENT.form:
            raise Conflict(
                f"Release {release} made this backup of a store in form {form}; this release takes forms "
                f"{CURRENT.first} to {CURRENT.form}. Restore it with that release, then upgrade step by step."
            )
        if self.streams is None and self.backup.lines.get(MESSAGE):
            raise Conflict("The backup has messages, and this gateway's are in memory. Restore it into a real store.")

    async def _empty(self) -> None:
        if self.replace:
            return
        sizes = await self.store.sizes()
        if full := {table: count for table, count in sizes.items() if table not in OF_A_START}:
            there = ", ".join(f"{count} in {table}" for table, count in sorted(full.items()))
            raise NotEmpty(
                f"The store has records: {there}. A backup is restored into an empty store, or with --replace, which "
                "puts it in the place of all of that; --replace --dry-run tells what would change."
            )

    # the control plane

    async def _activate(self, expect: int | None) -> int:
        staging = self.store.staging()
        await staging.begin()
        try:
            async for table, records in self._records():
                await staging.put(table, records)
            async for entries in self._audit():
                await staging.audit(entries)
            about: Value = {"actor": self.actor, "action": "restore", "subject": "store", **self._about()}
            return await staging.activate(self.backup.sequence, int(self.backup.head["schema"]), about, expect)
        except BaseException:
            await asyncio.shield(staging.drop())
            raise

    def _about(self) -> dict[str, Any]:
        head = self.backup.head
        return {"made": head["at"], "release": head["release"], "backup": self.backup.sequence}

    async def _records(self) -> AsyncIterator[tuple[str, list[tuple[str, Record]]]]:
        """Every record as of the backup's sequence, of a table some at a time; then the one that is kept."""
        changes, kept = self.backup.changes, (TOKENS, self.keep)
        async for batch in self._batches(RECORD):
            table: str = batch[0][1]
            rows = [(key, Record(value, version)) for _, _, key, version, value in batch]
            if self._takes(table) and (
                fresh := [each for each in rows if (table, each[0]) not in changes and (table, each[0]) != kept]
            ):
                yield table, fresh
        tables: dict[str, list[tuple[str, Record]]] = {}
        for (table, key), (version, value) in changes.items():
            if value is not None and self._takes(table) and (table, key) != kept:
                tables.setdefault(table, []).append((key, Record(value, version)))
        for table, found in tables.items():
            for start in range(0, len(found), BATCH):
                yield table, found[start : start + BATCH]
        if self.keep is not None and (token := await self.store.get(TOKENS, self.keep)) is not None:
            yield TOKENS, [(self.keep, Record(token.value, min(token.version, self.backup.sequence)))]

    def _takes(self, table: str) -> bool:
        return table != PROPOSALS and (self.credentials or table not in SECRETS)

    async def _found(self, table: str, records: list[tuple[str, Record]], sizes: Mapping[str, int]) -> list[Any]:
        if table not in sizes:
            return [None] * len(records)
        return await self.store.many(table, [key for key, _ in records])

    async def _audit(self) -> AsyncIterator[list[tuple[int, float, Value]]]:
        """That of the backup, and behind it what this store has told since: who replaces a store hides nothing."""
        async for batch in self._batches(AUDIT):
            yield [(sequence, at, entry) for _, sequence, at, entry in batch]
        after = self.backup.sequence
        while entries := await self.store.audited(after, BATCH):
            yield entries
            after = entries[-1][0]

    async def _batches(self, kind: str) -> AsyncIterator[list[list[Any]]]:
        batches = self.backup.batches()
        while (batch := await asyncio.to_thread(_next, batches)) is not None:
            if batch[0][0] == kind:
                yield batch

    # what lives apart

    async def _beside(self) -> None:
        await self._usage()
        if self.streams is not None:
            await self._messages(self.streams)

    async def _usage(self) -> None:
        """What the store has counted since the backup stays: of each number the larger one holds, so that a restore may
        be repeated. Hours first: a day is at least the sum of its hours."""
        days: set[tuple[str, str]] = set()
        async for bucket, what, counts in self._counted():
            if (day := buckets_of(bucket)[1]) != bucket:
                await self.usage.raise_to(bucket, what, counts)
                days.add((day, what))
        async for bucket, what, counts in self._counted():
            if buckets_of(bucket)[1] == bucket:
                await self.usage.raise_to(bucket, what, counts)
        for day, what in sorted(days):
            await self.usage.raise_to(day, what, await day_by_hours(self.usage, day, what))

    async def _counted(self) -> AsyncIterator[tuple[str, str, dict[str, Counts]]]:
        async for batch in self._batches(USAGE):
            for _, bucket, what, counts in batch:
                yield bucket, what, {caller: Counts(*count) for caller, count in counts.items()}

    async def _messages(self, streams: StreamCopies) -> None:
        topic = ""
        async for batch in self._batches(MESSAGE):
            if batch[0][1] != topic:
                if topic:
                    await streams.activate(topic)
                topic = batch[0][1]
                await streams.begin(topic)
            await streams.put(topic, [row for _, _, row in batch])
        if topic:
            await streams.activate(topic)

    def _told(self, sequence: int | None) -> dict[str, Any]:
        items = [
            {"table": table, **{name: getattr(each, name) for name in ("create", "update", "unchanged", "delete")}}
            for table, each in sorted(self._tallies.items())
        ]
        messages = self.backup.lines.get(MESSAGE, 0)
        return {"items": items, "messages": messages, "sequence": sequence, **self._about()}


def _next(batches: Iterator[list[list[Any]]]) -> list[list[Any]] | None:
    return next(batches, None)
