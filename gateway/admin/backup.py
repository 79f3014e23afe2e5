"""Takes a backup: everything the control plane has, as of one sequence, while the gateway goes on.

Tables are read page by page, then what was committed meanwhile is added from the change log, until nothing is new: so
the whole is what the store held at the last sequence, and neither a large store nor a busy one is held in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from gateway import __version__
from gateway.admin.backup_file import AUDIT, BATCH, CHANGE, MESSAGE, RECORD, USAGE, Writer
from gateway.core.clock import Clock
from gateway.core.errors import Conflict
from gateway.core.secrets import KeyHasher
from gateway.store.store import PROPOSALS, REVISIONS, Change, Gap, Store
from gateway.store.stream_copies import StreamCopies
from gateway.store.usage import Usage

LEFT_OUT: Final = (PROPOSALS,)  # of publishes that are under way
_LARGE: Final = {REVISIONS: 20}  # tables whose records are large: how many are read at once
_ROUNDS: Final = 1000  # looks at the change log until nothing is new


class TooBusy(Conflict):
    """The change log ran past the backup."""

    title, code = "The store changes too fast for a backup", "backup_overtaken"


@dataclass(frozen=True)
class Source:
    """What a backup is made of. `streams` None: without messages."""

    store: Store
    usage: Usage
    hasher: KeyHasher
    clock: Clock
    streams: StreamCopies | None = None

    async def lines(self) -> AsyncIterator[bytes]:
        """The file, some lines at a time. What fails leaves it without an end. TooBusy, StoreUnavailable."""
        writer, store = Writer(self.hasher), self.store
        began = await store.sequence()
        yield writer.head(__version__, await store.form(), self.clock.time(), self.streams is not None)
        for table in sorted((await store.sizes()).keys() - set(LEFT_OUT)):
            async for part in self._table(writer, table):
                yield part
        async for bucket, what, counts in self.usage.whole():
            yield writer.line(USAGE, bucket, what, {caller: [*count] for caller, count in counts.items()})
        if self.streams is not None:
            async for topic, row in self.streams.rows():
                yield writer.line(MESSAGE, topic, row)
        sequence, changes = await self._since(began)
        for start in range(0, len(changes), BATCH):
            some = changes[start : start + BATCH]
            yield b"".join(writer.line(CHANGE, each.table, each.key, each.sequence, each.value) for each in some)
        async for part in self._audit(writer, sequence):
            yield part
        yield writer.end(sequence)

    async def _table(self, writer: Writer, table: str) -> AsyncIterator[bytes]:
        after = ""
        while page := await self.store.page(table, after, _LARGE.get(table, BATCH)):
            yield b"".join(writer.line(RECORD, table, key, each.version, each.value) for key, each in page)
            after = page[-1][0]

    async def _since(self, began: int) -> tuple[int, list[Change]]:
        """What was committed since, to where nothing is new: a large value is read from its table, which may be newer
        than the entry that tells of it, so that more must be read then."""
        found: dict[tuple[str, str], Change] = {}
        now = began
        for _ in range(_ROUNDS):
            try:
                changes = await self.store.changes(now)
            except Gap:
                raise TooBusy("More was changed while it was made than the change log holds. Try again.") from None
            if not changes:
                return now, list(found.values())
            now = changes[-1].sequence
            found |= {(each.table, each.key): each for each in changes if each.table not in ("", *LEFT_OUT)}
        raise TooBusy("The store never stood still for a moment. Try again when less is changed.")

    async def _audit(self, writer: Writer, sequence: int) -> AsyncIterator[bytes]:
        after = 0
        while entries := [each for each in await self.store.audited(after, BATCH) if each[0] <= sequence]:
            yield b"".join(writer.line(AUDIT, *each) for each in entries)
            after = entries[-1][0]
