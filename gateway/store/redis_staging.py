"""Staging in Redis or Valkey: under the hash tag of the control plane, so that one script renames all of it into place.

`{penstock}:r` who stages · `{penstock}:r:t:TABLE`, `{penstock}:r:i:TABLE`, `{penstock}:r:audit` what is staged. All of
these end by themselves after a day; what becomes live lasts.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

import orjson

from gateway.core.clock import Clock
from gateway.store.client import Argument, Client, Script
from gateway.store.hooks import Hooks
from gateway.store.schema import Schema
from gateway.store.staging import LEAP, Audited, moved_on, part_lost, taken_over
from gateway.store.store import Record, Value

_LASTS: Final = 86_400_000  # ms
_PART: Final = 4_000_000  # bytes in one script: a larger one holds up the server for others

# KEYS: who, table, order. ARGV: me, ms to last, then of each record: key, text. How many of them are new.
_PUT: Final = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local added = 0
for i = 3, #ARGV, 2 do
  added = added + redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  redis.call('ZADD', KEYS[3], 0, ARGV[i])
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
return added
""")

# KEYS: who, audit. ARGV: me, ms to last, then of each entry: sequence, time, JSON.
_AUDIT: Final = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
for i = 3, #ARGV, 3 do redis.call('XADD', KEYS[2], ARGV[i] .. '-0', 'a', ARGV[i + 2], 't', ARGV[i + 1]) end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
return 1
""")

# KEYS: who, seq, log, audit, staged audit, schema, oldest schema, id, then of each table: table, order, staged table,
# staged order. ARGV: me, expected sequence or '', least sequence, leap, audit JSON, time, channel, form, oldest form,
# an id for a store without one, how many audit entries were staged, and how many records of each table
_ACTIVATE: Final = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'taken'} end
local now = redis.call('GET', KEYS[2]) or '0'
if ARGV[2] ~= '' and ARGV[2] ~= now then return {'moved', now} end
if redis.call('XLEN', KEYS[5]) ~= tonumber(ARGV[11]) then return {'lost'} end
for i = 9, #KEYS, 4 do
  local staged = tonumber(ARGV[12 + (i - 9) / 4])
  if redis.call('HLEN', KEYS[i + 2]) ~= staged or redis.call('ZCARD', KEYS[i + 3]) ~= staged then return {'lost'} end
end
local function into(staged, place)
  if redis.call('EXISTS', staged) == 1 then
    redis.call('UNLINK', place)
    redis.call('PERSIST', staged)
    redis.call('RENAME', staged, place)
  else redis.call('UNLINK', place) end
end
for i = 9, #KEYS, 4 do
  into(KEYS[i + 2], KEYS[i])
  into(KEYS[i + 3], KEYS[i + 1])
end
local newest = redis.call('XREVRANGE', KEYS[5], '+', '-', 'COUNT', 1)[1]
local from = math.max(tonumber(ARGV[3]), newest and tonumber(string.match(newest[1], '^%d+')) or 0)
for _, one in ipairs(redis.call('XRANGE', KEYS[4], '(' .. string.format('%.0f', from) .. '-0', '+')) do
  redis.call('XADD', KEYS[5], one[1], unpack(one[2]))
end
into(KEYS[5], KEYS[4])
local seq = string.format('%.0f', math.max(tonumber(now), tonumber(ARGV[3])) + tonumber(ARGV[4]))
redis.call('UNLINK', KEYS[3])
redis.call('SET', KEYS[2], seq)
redis.call('MSET', KEYS[6], ARGV[8], KEYS[7], ARGV[9])
redis.call('SETNX', KEYS[8], ARGV[10])
redis.call('XADD', KEYS[3], seq .. '-0', 'c', '[]')
redis.call('XADD', KEYS[4], seq .. '-0', 'a', ARGV[5], 't', ARGV[6])
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[7], seq)
return {'ok', seq}
""")


# KEYS: who, what. ARGV: me. Who stages may take away what is staged, and nobody who was slow.
_UNSTAGE: Final = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('UNLINK', KEYS[2]) end
return 0
""")


class RedisStaging:
    """`tables` gives the tables that the store has now, each of which ends or is replaced. What was staged is counted,
    so that nothing is put in place of which the store lost a part. What the audit told since it was copied, the step
    copies itself: who replaces a store hides nothing."""

    def __init__(
        self,
        client: Client,
        key: Callable[[str], str],
        tables: Callable[[], Awaitable[Collection[str]]],
        schema: Schema,
        clock: Clock,
        hooks: Hooks,
    ) -> None:
        self._client = client
        self._key = key
        self._tables = tables
        self._schema = schema
        self._clock = clock
        self._hooks = hooks
        self._me = uuid.uuid4().hex
        self._staged: dict[str, int] = {}
        self._audited = 0

    async def begin(self) -> None:
        await self._client.execute("SET", self._key("r"), self._me, "PX", _LASTS)
        await self._unlink()

    async def _unlink(self) -> None:
        async for key in self._client.keys(self._key("r:*"), self._key("r")):
            await self._client.run(_UNSTAGE, [self._key("r"), key], [self._me])
        self._staged.clear()
        self._audited = 0

    async def put(self, table: str, records: Sequence[tuple[str, Record]]) -> None:
        self._staged.setdefault(table, 0)
        keys = [self._key("r"), self._key(f"r:t:{table}"), self._key(f"r:i:{table}")]
        part: list[Argument] = []
        size = 0
        for key, record in records:
            text = b"%d:%b" % (record.version, orjson.dumps(record.value))
            part += [key, text]
            size += len(text)
            if size > _PART:
                self._staged[table] += await self._mine(_PUT, keys, part)
                part, size = [], 0
        if part:
            self._staged[table] += await self._mine(_PUT, keys, part)

    async def audit(self, entries: Sequence[Audited]) -> None:
        told: list[Argument] = []
        for sequence, at, entry in entries:
            told += [sequence, repr(at), orjson.dumps(entry)]
        if told:
            await self._mine(_AUDIT, [self._key("r"), self._key("r:audit")], told)
            self._audited += len(entries)

    async def _mine(self, script: Script, keys: Sequence[str], told: Sequence[Argument]) -> int:
        answer = int(await self._client.run(script, keys, [self._me, _LASTS, *told]))
        if answer < 0:
            raise taken_over()
        return answer

    async def activate(self, sequence: int, form: int, audit: Value, expect: int | None) -> int:
        names = ("r", "seq", "log", "audit", "r:audit", "schema", "schema:oldest", "id")
        keys = [self._key(name) for name in names]
        tables = sorted({*await self._tables(), *self._staged})
        for table in tables:
            keys += [self._key(f"{what}:{table}") for what in ("t", "i", "r:t", "r:i")]
        oldest = self._schema.oldest if form == self._schema.form else form
        told: list[Argument] = [
            orjson.dumps(audit),
            repr(self._clock.time()),
            self._key("notice"),
            form,
            oldest,
            self._me,
            self._audited,
            *(self._staged.get(table, 0) for table in tables),
        ]
        wanted = "" if expect is None else expect
        answer = await self._client.run(_ACTIVATE, keys, [self._me, wanted, sequence, LEAP, *told])
        if answer[0] == b"taken":
            raise taken_over()
        if answer[0] == b"lost":
            raise part_lost()
        if answer[0] == b"moved":
            raise moved_on(expect or 0, int(answer[1]))
        self._hooks.tell(int(answer[1]), audit)
        return int(answer[1])

    async def drop(self) -> None:
        await self._unlink()
        await self._client.run(_UNSTAGE, [self._key("r"), self._key("r")], [self._me])
