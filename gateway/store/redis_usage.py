"""Who called what, in Redis or Valkey: `{penstock}:calls:DAY:WHAT` hash of counts by caller, which expires;
`{penstock}:calls:batches` the last batch of each source and thing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from gateway.store.client import TIMEOUT, Client, Script
from gateway.store.usage import KEPT_DAYS, MOST, OTHERS

# KEYS: counts, batches. ARGV: field of the batch, batch, seconds to keep, most callers, name of the others, then for
# each caller: name, count
_ADD: Final = Script("""
if redis.call('HGET', KEYS[2], ARGV[1]) == ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local size = redis.call('HLEN', KEYS[1])
for i = 6, #ARGV, 2 do
  local name = ARGV[i]
  if size >= tonumber(ARGV[4]) and redis.call('HEXISTS', KEYS[1], name) == 0 then name = ARGV[5] end
  if redis.call('HINCRBY', KEYS[1], name, ARGV[i + 1]) == tonumber(ARGV[i + 1]) then size = size + 1 end
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
""")
# KEYS: counts. ARGV: seconds to keep, then for each caller: name, count
_SET: Final = Script("""
redis.call('DEL', KEYS[1])
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return redis.call('EXPIRE', KEYS[1], ARGV[1])
""")
_SLICE: Final = 500  # callers in one script


class RedisUsage:
    def __init__(self, url: str, prefix: str = "penstock", timeout: float = TIMEOUT) -> None:
        self._client = Client(url, timeout)
        self._prefix = f"{{{prefix}}}:calls:"

    async def add(self, batch: str, source: str, day: str, what: str, counts: Mapping[str, int]) -> None:
        keys = [f"{self._prefix}{day}:{what}", f"{self._prefix}batches"]
        named = sorted(counts.items())
        for at in range(0, len(named), _SLICE):
            field, keep = f"{source} {what} {at}", KEPT_DAYS * 86_400
            arguments: list[str | int] = [field, f"{batch} {day}", keep, MOST, OTHERS]
            for caller, count in named[at : at + _SLICE]:
                arguments += [caller, count]
            await self._client.run(_ADD, keys, arguments)

    async def read(self, what: str, days: Sequence[str]) -> dict[str, dict[str, int]]:
        found = {}
        for day in days:
            counts = await self._client.execute("HGETALL", f"{self._prefix}{day}:{what}")
            if counts:
                found[day] = {name.decode(): int(count) for name, count in counts.items()}
        return found

    async def whole(self) -> AsyncIterator[tuple[str, str, dict[str, int]]]:
        async for key in self._client.keys(f"{self._prefix}*:*", self._prefix):
            day, _, what = key.removeprefix(self._prefix).partition(":")
            counts = await self._client.execute("HGETALL", key)
            yield day, what, {name.decode(): int(count) for name, count in counts.items()}

    async def put(self, day: str, what: str, counts: Mapping[str, int]) -> None:
        named = [part for pair in sorted(counts.items()) for part in pair]
        await self._client.run(_SET, [f"{self._prefix}{day}:{what}"], [KEPT_DAYS * 86_400, *named])

    async def close(self) -> None:
        await self._client.close()
