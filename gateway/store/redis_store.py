"""The control plane's store in Redis or Valkey, on one server or a cluster.

Everything is under one hash tag, so that a commit is one script on one primary:
`{penstock}:t:TABLE` hash of records, each `VERSION:JSON` · `{penstock}:i:TABLE` its keys in order, for pages ·
`{penstock}:seq` the newest sequence ·
`{penstock}:log` and `{penstock}:audit` streams whose entries have the sequence as id (`SEQUENCE-0`) ·
`{penstock}:nodes` and `{penstock}:node:NAME` heartbeats · `{penstock}:schema` the form of all this (`store.schema`) ·
`{penstock}:id` tells it from one that took its place.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import orjson

from gateway.core.clock import Clock, SystemClock
from gateway.store import store_scripts as scripts
from gateway.store.client import TIMEOUT, Client
from gateway.store.hooks import Hook, Hooks
from gateway.store.memory import conflict
from gateway.store.migrating import Migrating, forms, migrate
from gateway.store.redis_staging import RedisStaging
from gateway.store.schema import CURRENT, Schema, fits
from gateway.store.server_state import ServerState, server_states
from gateway.store.store import Change, Gap, Record, Value, Write

_AUDIT_LENGTH: Final = 1_000_000
_INLINE: Final = 8192  # bytes; a larger value is left out of the change log and read from its table


class RedisStore:
    """`prefix` names one gateway's keyspace; nothing is connected before the first command. Never retried: a commit
    that raised StoreUnavailable may have been applied, so read before you write again. `migrates`: False for who
    leaves the store in the form that it is in."""

    def __init__(
        self,
        url: str,
        prefix: str = "penstock",
        clock: Clock | None = None,
        log_length: int = 10_000,
        timeout: float = TIMEOUT,
        schema: Schema = CURRENT,
        migrates: bool = True,
    ) -> None:
        self._client = Client(url, timeout)
        self._prefix = f"{{{prefix}}}:"
        self._clock = clock or SystemClock()
        self._log_length = log_length
        self._schema = schema
        self._migrates = migrates
        self._checked = False
        self._hooks = Hooks()

    def _key(self, name: str) -> str:
        return self._prefix + name

    async def connect(self) -> None:
        """Checks that the store answers, and brings it to this release's form (`store.migrating`). Every command does
        so before its first use. StoreUnfit for a store that this release cannot use."""
        if not self._checked:
            work = Migrating(self._client, self._key, self._alive)
            if self._migrates:
                await migrate(work, self._schema)
            elif (found := await forms(work)) is not None:
                fits(self._schema, *found)
            self._checked = True

    def _of_another(self, answer: Sequence[bytes]) -> None:
        """A script's refusal: a newer release has been here since the connection was checked."""
        if answer[0] == b"schema":
            self._checked = False
            fits(self._schema, int(answer[1]), int(answer[2]))

    async def get(self, table: str, key: str) -> Record | None:
        await self.connect()
        found = await self._client.execute("HGET", self._key(f"t:{table}"), key)
        return None if found is None else _record(found)

    async def scan(self, table: str) -> AsyncIterator[tuple[str, Record]]:
        await self.connect()
        cursor, seen = 0, set[bytes]()
        while True:
            cursor, found = await self._client.execute("HSCAN", self._key(f"t:{table}"), cursor, "COUNT", 500)
            for key, text in found.items():
                if key not in seen:
                    seen.add(key)
                    yield key.decode(), _record(text)
            if int(cursor) == 0:
                return

    async def page(self, table: str, after: str = "", limit: int = 100) -> list[tuple[str, Record]]:
        await self.connect()
        keys = [self._key(f"t:{table}"), self._key(f"i:{table}")]
        found = await self._client.run(scripts.PAGE, keys, [after, limit])
        return [(key.decode(), _record(text)) for key, text in zip(found[::2], found[1::2], strict=True) if text]

    async def commit(self, writes: Sequence[Write], audit: Value | None = None) -> int:
        await self.connect()
        tables = list(dict.fromkeys(write.table for write in writes))
        keys = [self._key(name) for name in ("seq", "log", "audit", "schema", "schema:oldest", "id")]
        arguments: list[str | bytes | int] = [self._schema.form, self._schema.oldest, self._log_length, _AUDIT_LENGTH]
        arguments += [b"" if audit is None else orjson.dumps(audit), repr(self._clock.time()), self._key("notice")]
        arguments.append(uuid.uuid4().hex)
        for write in writes:
            arguments += _arguments(write, 7 + 2 * tables.index(write.table))
        keys += [self._key(f"{what}:{table}") for table in tables for what in ("t", "i")]
        answer = await self._client.run(scripts.COMMIT, keys, arguments)
        sequence = self._committed(answer, writes)
        self._hooks.tell(sequence, audit)
        return sequence

    def _committed(self, answer: list[bytes], writes: Sequence[Write]) -> int:
        if answer[0] == b"conflict":
            raise conflict(writes[int(float(answer[1]))], int(answer[2]))
        self._of_another(answer)
        return int(answer[1])

    async def sequence(self) -> int:
        await self.connect()
        return int(await self._client.execute("GET", self._key("seq")) or 0)

    async def id(self) -> str | None:
        await self.connect()
        found = await self._client.execute("GET", self._key("id"))
        return None if found is None else str(found.decode())

    async def changes(self, after: int) -> list[Change]:
        await self.connect()
        keys = [self._key(name) for name in ("seq", "log", "schema", "schema:oldest")]
        answer = await self._client.run(scripts.CHANGES, keys, [after, self._schema.form])
        self._of_another(answer)
        newest, entries = answer
        sequences = [int(id.partition(b"-")[0]) for id in entries[::2]]
        if sequences != list(range(after + 1, int(newest) + 1)) or after > int(newest):
            self._checked = False  # all may be replaced by a backup, perhaps of another form
            raise Gap(f"the change log does not reach back to {after}")
        found: list[Change] = []
        for sequence, text in zip(sequences, entries[1::2], strict=True):
            for table, key, *value in orjson.loads(text) or (("", "", None),):
                found.append(Change(sequence, table, key, value[0] if value else await self._now(table, key)))
        return found

    async def _now(self, table: str, key: str) -> Value | None:
        record = await self.get(table, key)
        return None if record is None else record.value

    async def wait(self, after: int, seconds: float) -> None:
        """Waits in the server for the log's next entry: such a notice cannot be lost between two calls."""
        await self.connect()
        if seconds > 0:
            millis = max(1, round(seconds * 1000))
            stream = self._key("log")
            await self._client.block(
                seconds, "XREAD", "COUNT", 1, "BLOCK", millis, "STREAMS", stream, f"{after}-18446744073709551615"
            )

    async def audit(self, limit: int = 100, before: int | None = None) -> list[Value]:
        await self.connect()
        entries = await self._client.run(scripts.AUDIT, [self._key("audit")], ["" if before is None else before, limit])
        return [
            {**orjson.loads(text), "sequence": int(id.partition(b"-")[0]), "at": float(at)} for id, text, at in entries
        ]

    async def audited(self, after: int, limit: int = 100) -> list[tuple[int, float, Value]]:
        await self.connect()
        entries = await self._client.execute("XRANGE", self._key("audit"), f"({after}-0", "+", "COUNT", limit)
        return [(int(id.partition(b"-")[0]), float(fields[b"t"]), orjson.loads(fields[b"a"])) for id, fields in entries]

    async def sizes(self) -> dict[str, int]:
        return {name: await self._client.execute("HLEN", self._key(f"t:{name}")) for name in await self._tables()}

    async def _tables(self) -> list[str]:
        await self.connect()
        before = self._key("t:")
        return [key.removeprefix(before) async for key in self._client.keys(f"{before}*", before)]

    async def many(self, table: str, keys: Sequence[str]) -> list[Record | None]:
        await self.connect()
        found = await self._client.execute("HMGET", self._key(f"t:{table}"), *keys) if keys else []
        return [None if text is None else _record(text) for text in found]

    async def form(self) -> int:
        await self.connect()
        return int(await self._client.execute("GET", self._key("schema")) or self._schema.form)

    def staging(self) -> RedisStaging:
        return RedisStaging(self._client, self._key, self._tables, self._schema, self._clock, self._hooks)

    def on_audit(self, hook: Hook) -> None:
        self._hooks.add(hook)

    async def servers(self) -> list[ServerState]:
        await self.connect()
        return await server_states(self._client)

    async def beat(self, node: str, state: Value, ttl: float) -> None:
        await self.connect()
        millis = max(1, round(ttl * 1000))
        await self._client.execute("SET", self._key(f"node:{node}"), orjson.dumps(state), "PX", millis)
        await self._client.execute("SADD", self._key("nodes"), node)

    async def nodes(self) -> dict[str, Value]:
        await self.connect()
        return await self._alive()

    async def _alive(self) -> dict[str, Value]:
        alive = await self._client.run(scripts.NODES, [self._key("nodes")], [self._key("node:")])
        return {name.decode(): orjson.loads(state) for name, state in zip(alive[::2], alive[1::2], strict=True)}

    async def close(self) -> None:
        await self._client.close()


def _record(text: bytes) -> Record:
    version, _, value = text.partition(b":")
    return Record(orjson.loads(value), int(version))


def _arguments(write: Write, table: int) -> list[str | bytes | int]:
    """One write for the script; the log holds [table, key, value], without the value where that is large."""
    text = b"" if write.value is None else orjson.dumps(write.value)
    told: list[Any] = [write.table, write.key]
    if len(text) <= _INLINE:
        told.append(write.value)
    expect = "" if write.expect is None else write.expect
    return [table, write.key, expect, "d" if write.value is None else "p", text, orjson.dumps(told)]
