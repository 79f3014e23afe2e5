"""Who called what, in Redis or Valkey: `{penstock}:usage:BUCKET:WHAT` a hash that expires, with the fields `c:CALLER`
(calls), `r:`, `f:`, `i:`, `o:` (see `usage.Counts`) and `n`, how many callers it has; `{penstock}:usage:what:DAY` the
things that were called; `{penstock}:usage:batches` the last batch of each source and thing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from gateway.store.client import TIMEOUT, Client, Script
from gateway.store.usage import KEPT_DAYS, KEPT_HOURS, MOST, OTHERS, Counts, buckets_of

# KEYS: batches, things of the day, counts of the hour, counts of the day. ARGV: field of the batch, batch, thing,
# seconds to keep an hour, a day, most callers, name of the others, then for each caller: name, its five counts
_ADD: Final = Script("""
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('SADD', KEYS[2], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[5])
local signs = {'c:', 'r:', 'f:', 'i:', 'o:'}
for k = 3, 4 do
  local size = tonumber(redis.call('HGET', KEYS[k], 'n') or 0)
  for i = 8, #ARGV, 6 do
    local name = ARGV[i]
    if redis.call('HEXISTS', KEYS[k], 'c:' .. name) == 0 then
      if size >= tonumber(ARGV[6]) then name = ARGV[7] else size = size + 1 end
    end
    for j = 1, 5 do
      if ARGV[i + j] ~= '0' then redis.call('HINCRBY', KEYS[k], signs[j] .. name, ARGV[i + j]) end
    end
  end
  redis.call('HSET', KEYS[k], 'n', size)
  redis.call('EXPIRE', KEYS[k], ARGV[k + 1])
end
return 1
""")
# KEYS: counts, things of the day. ARGV: seconds to keep, a day's, thing, then for each caller: name, its five counts
_RAISE: Final = Script("""
local signs, new = {'c:', 'r:', 'f:', 'i:', 'o:'}, 0
for i = 4, #ARGV, 6 do
  if redis.call('HEXISTS', KEYS[1], 'c:' .. ARGV[i]) == 0 then
    redis.call('HSET', KEYS[1], 'c:' .. ARGV[i], '0')
    new = new + 1
  end
  for j = 1, 5 do
    local field, count = signs[j] .. ARGV[i], ARGV[i + j]
    if tonumber(redis.call('HGET', KEYS[1], field) or 0) < tonumber(count) then
      redis.call('HSET', KEYS[1], field, count)
    end
  end
end
redis.call('HINCRBY', KEYS[1], 'n', new)
redis.call('SADD', KEYS[2], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return redis.call('EXPIRE', KEYS[1], ARGV[1])
""")
_SLICE: Final = 500  # callers in one script
_SIGNS: Final = ("c", "r", "f", "i", "o")


class RedisUsage:
    def __init__(self, url: str, prefix: str = "penstock", timeout: float = TIMEOUT) -> None:
        self._client = Client(url, timeout)
        self._prefix = f"{{{prefix}}}:usage:"

    async def add(self, batch: str, source: str, hour: str, what: str, counts: Mapping[str, Counts]) -> None:
        _, day = buckets_of(hour)
        keys = [f"{self._prefix}batches", f"{self._prefix}what:{day}"]
        keys += [f"{self._prefix}{bucket}:{what}" for bucket in buckets_of(hour)]
        named = sorted(counts.items())
        for at in range(0, len(named), _SLICE):
            arguments: list[str | int] = [f"{source} {what} {at}", f"{batch} {hour}", what]
            arguments += [KEPT_HOURS * 3600, KEPT_DAYS * 86_400, MOST, OTHERS]
            for caller, count in named[at : at + _SLICE]:
                arguments += [caller, *count]
            await self._client.run(_ADD, keys, arguments)

    async def read(self, what: str, buckets: Sequence[str]) -> dict[str, dict[str, Counts]]:
        found = {}
        for bucket in buckets:
            fields = await self._client.execute("HGETALL", f"{self._prefix}{bucket}:{what}")
            if fields:
                found[bucket] = _counts({name.decode(): int(count) for name, count in fields.items()})
        return found

    async def counted(self, days: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for day in days:
            members = await self._client.execute("SMEMBERS", f"{self._prefix}what:{day}")
            found |= {each.decode() for each in members}
        return found

    async def whole(self) -> AsyncIterator[tuple[str, str, dict[str, Counts]]]:
        async for key in self._client.keys(f"{self._prefix}20*:*", self._prefix):
            bucket, _, what = key.removeprefix(self._prefix).partition(":")
            fields = await self._client.execute("HGETALL", key)
            yield bucket, what, _counts({name.decode(): int(count) for name, count in fields.items()})

    async def raise_to(self, bucket: str, what: str, counts: Mapping[str, Counts]) -> None:
        _, day = buckets_of(bucket)
        keep = KEPT_DAYS * 86_400 if bucket == day else KEPT_HOURS * 3600
        keys = [f"{self._prefix}{bucket}:{what}", f"{self._prefix}what:{day}"]
        named = sorted(counts.items())
        for at in range(0, len(named), _SLICE):
            arguments: list[str | int] = [keep, KEPT_DAYS * 86_400, what]
            for caller, count in named[at : at + _SLICE]:
                arguments += [caller, *count]
            await self._client.run(_RAISE, keys, arguments)

    async def close(self) -> None:
        await self._client.close()


def _counts(fields: Mapping[str, int]) -> dict[str, Counts]:
    callers = [name[2:] for name in fields if name.startswith("c:")]
    return {each: Counts(*(fields.get(f"{sign}:{each}", 0) for sign in _SIGNS)) for each in callers}
