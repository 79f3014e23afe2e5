"""The in-memory twin of the control plane's store: for tests, for offline commands and for `memory://`."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Sequence

import orjson

from gateway.core.clock import Clock, SystemClock
from gateway.core.errors import PreconditionFailed
from gateway.store.hooks import Hook, Hooks
from gateway.store.schema import CURRENT
from gateway.store.server_state import ServerState
from gateway.store.staging import MemoryStaging
from gateway.store.store import Change, Gap, Record, Value, Write

Tables = dict[str, dict[str, tuple[bytes, int]]]


def conflict(write: Write, found: int) -> PreconditionFailed:
    """The refusal of a commit whose `expect` does not hold."""
    wanted = f"version {write.expect}" if write.expect else "no record"
    there = f"version {found}" if found else "no record"
    return PreconditionFailed(
        f"{write.table}/{write.key} has changed: {wanted} was expected, {there} is there. Read it again, then write.",
        target=f"{write.table}/{write.key}",
        version=found,
    )


class MemoryStore:
    """Holds values as JSON text, so that nobody can change what was committed. `log_length` bounds the change log;
    `lasts`: False for one that is expected to be empty when its process begins anew."""

    def __init__(self, clock: Clock | None = None, log_length: int = 10_000, lasts: bool = True) -> None:
        self._clock = clock or SystemClock()
        self._log_length = log_length
        self._tables: Tables = {}
        self.staging_now: MemoryStaging | None = None
        self._log: deque[tuple[int, list[tuple[str, str, bytes | None]]]] = deque(maxlen=log_length)
        self._audit: list[tuple[int, float, bytes]] = []
        self._nodes: dict[str, tuple[bytes, float]] = {}
        self._sequence = 0
        self._id = uuid.uuid4().hex if lasts else None
        self._moved = asyncio.Event()
        self._hooks = Hooks()

    async def get(self, table: str, key: str) -> Record | None:
        found = self._tables.get(table, {}).get(key)
        return None if found is None else Record(orjson.loads(found[0]), found[1])

    async def scan(self, table: str) -> AsyncIterator[tuple[str, Record]]:
        for key, (text, version) in list(self._tables.get(table, {}).items()):
            yield key, Record(orjson.loads(text), version)

    async def page(self, table: str, after: str = "", limit: int = 100) -> list[tuple[str, Record]]:
        records = self._tables.get(table, {})
        keys = sorted((key for key in records if key.encode() > after.encode()), key=str.encode)
        return [(key, Record(orjson.loads(records[key][0]), records[key][1])) for key in keys[:limit]]

    async def commit(self, writes: Sequence[Write], audit: Value | None = None) -> int:
        for write in writes:
            found = self._tables.get(write.table, {}).get(write.key, (b"", 0))[1]
            if write.expect is not None and write.expect != found:
                raise conflict(write, found)
        entries = [(w.table, w.key, None if w.value is None else orjson.dumps(w.value)) for w in writes]
        entry = None if audit is None else orjson.dumps(audit)
        self._sequence += 1
        for table, key, text in entries:
            self._put(table, key, text)
        self._log.append((self._sequence, entries))
        if entry is not None:
            self._audit.append((self._sequence, self._clock.time(), entry))
        self._moved.set()
        self._moved = asyncio.Event()
        self._hooks.tell(self._sequence, audit)
        return self._sequence

    def _put(self, table: str, key: str, text: bytes | None) -> None:
        records = self._tables.setdefault(table, {})
        if text is None:
            records.pop(key, None)
        else:
            records[key] = (text, self._sequence)

    async def sequence(self) -> int:
        return self._sequence

    async def id(self) -> str | None:
        return self._id if self._sequence else None

    async def changes(self, after: int) -> list[Change]:
        if after > self._sequence or self._sequence - after > len(self._log):
            raise Gap(f"the change log does not reach back to {after}")
        return [
            Change(sequence, table, key, None if text is None else orjson.loads(text))
            for sequence, entries in self._log
            if sequence > after
            for table, key, text in entries or (("", "", None),)
        ]

    async def wait(self, after: int, seconds: float) -> None:
        if self._sequence > after:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        except TimeoutError:
            return

    async def audit(self, limit: int = 100, before: int | None = None) -> list[Value]:
        chosen = [entry for entry in reversed(self._audit) if before is None or entry[0] < before]
        return [{**orjson.loads(text), "sequence": sequence, "at": at} for sequence, at, text in chosen[:limit]]

    async def audited(self, after: int, limit: int = 100) -> list[tuple[int, float, Value]]:
        found = [(sequence, at, orjson.loads(text)) for sequence, at, text in self._audit if sequence > after]
        return found[:limit]

    async def sizes(self) -> dict[str, int]:
        return {table: len(records) for table, records in self._tables.items() if records}

    async def many(self, table: str, keys: Sequence[str]) -> list[Record | None]:
        return [await self.get(table, key) for key in keys]

    async def form(self) -> int:
        return CURRENT.form

    def staging(self) -> MemoryStaging:
        return MemoryStaging(self)

    def replace(self, tables: Tables, audit: list[tuple[int, float, bytes]], sequence: int) -> MemoryStore:
        """All of it, as of a sequence; nothing before that stands in the change log."""
        self._tables, self._audit, self._sequence = tables, audit, sequence
        self._log.clear()
        return self

    def on_audit(self, hook: Hook) -> None:
        self._hooks.add(hook)

    async def servers(self) -> list[ServerState]:
        return []

    async def beat(self, node: str, state: Value, ttl: float) -> None:
        self._nodes[node] = (orjson.dumps(state), self._clock.monotonic() + ttl)

    async def nodes(self) -> dict[str, Value]:
        now = self._clock.monotonic()
        self._nodes = {node: entry for node, entry in self._nodes.items() if entry[1] > now}
        return {node: orjson.loads(text) for node, (text, _) in self._nodes.items()}

    async def close(self) -> None:
        """Keeps its content: another user of the same object may go on."""
