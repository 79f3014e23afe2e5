"""Exact counters in Redis or Valkey: one script per take, by the server's clock, every key with a time to live.

All rules of a take live in one hash under `penstock:c:{DIGEST}`: one subject is one slot, and subjects spread over a
cluster. The arithmetic is `limits.py`'s, in Lua; one suite compares the two.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from gateway.store.client import Script
from gateway.store.counters import Counter, Deliver, Rule, Verdict
from gateway.store.hot import Answer, HotConnection, bulk
from gateway.store.limits import Limit, compile_rules

log: Final = logging.getLogger("gateway.store")
PACKED: Final = 4096  # subjects of one limit whose commands are kept

_LOOK = """
local key, cost = KEYS[1], tonumber(ARGV[1])
local time = redis.call('TIME')
local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
local function text(number) return string.format('%.0f', number) end
local function read(field)
  local found = redis.call('HGET', key, field)
  if not found then return nil end
  local level, since = string.match(found, '^(%d+):(%d+)$')
  return tonumber(level), tonumber(since)
end
local function numbered(now, window, since)
  local number = math.floor(now / window)
  if since == number + 1 then return since end
  return number
end
"""

# ARGV: cost, then for each rule: kind, window, limit, burst, tick, field. Times come back in microseconds.
TAKE: Final = Script(
    _LOOK
    + """
local refused, chosen, longest, least, keep = false, nil, -1, nil, 0
local writes, mends = {}, {}
for i = 2, #ARGV, 6 do
  local window, limit, burst = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local tick, field = tonumber(ARGV[i + 4]), ARGV[i + 5]
  local now = math.floor(micros / tick)
  local level, since = read(field)
  local allowed, remaining, retry, reset
  if ARGV[i] == 'f' then
    local number = numbered(now, window, since)
    if since ~= number then level = 0 end
    reset = (number + 1) * window - now
    allowed = level + cost <= limit
    if allowed then level = level + cost end
    remaining = math.max(0, limit - level)
    retry = allowed and 0 or reset
    since = number
  else
    if level and since > now then
      mends[#mends + 1] = field
      mends[#mends + 1] = text(level) .. ':' .. text(now)
    end
    level = level and math.max(0, level - math.max(0, now - since) * limit) or 0
    local room, poured, rate = burst * window, level + cost * window, math.max(1, limit)
    allowed = limit > 0 and poured <= room
    retry = 0
    if allowed then level = poured
    elseif limit > 0 and cost <= burst then retry = math.ceil((poured - room) / rate)
    else retry = window end
    remaining = math.floor(math.max(0, room - level) / window)
    reset = math.ceil(level / rate)
    since = now
  end
  keep = math.max(keep, reset * tick)
  writes[#writes + 1] = field
  writes[#writes + 1] = text(level) .. ':' .. text(since)
  local look = {(i - 2) / 6, remaining, retry * tick, reset * tick}
  if not allowed then
    refused = true
    if retry * tick > longest then longest, chosen = retry * tick, look end
  elseif not refused and (not least or remaining < least) then least, chosen = remaining, look end
end
if not refused then
  redis.call('HSET', key, unpack(writes))
  local millis = math.ceil(keep / 1000) + 1
  if redis.call('PTTL', key) < millis then redis.call('PEXPIRE', key, text(millis)) end
elseif #mends > 0 then redis.call('HSET', key, unpack(mends))
end
return {refused and 0 or 1, chosen[1], chosen[2], chosen[3], chosen[4]}
"""
)

GIVE: Final = Script(
    _LOOK
    + """
for i = 2, #ARGV, 6 do
  local window, limit, field = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), ARGV[i + 5]
  local now = math.floor(micros / tonumber(ARGV[i + 4]))
  local level, since = read(field)
  if level and ARGV[i] == 'f' then
    if since == numbered(now, window, since) then
      redis.call('HSET', key, field, text(math.max(0, level - cost)) .. ':' .. text(since))
    end
  elseif level then
    level = math.max(0, level - math.max(0, now - since) * limit)
    redis.call('HSET', key, field, text(math.max(0, level - cost * window)) .. ':' .. text(math.max(now, since)))
  end
end
return 1
"""
)


def counter_key(prefix: str, key: str) -> bytes:
    """A counter's key: hashed, so that it is short, tells nobody's name, and has a hash tag of its own."""
    digest = blake2b(key.encode(), digest_size=16).hexdigest()
    return f"{prefix}:c:{{{digest}}}".encode()


def _rule_arguments(limit: Limit) -> tuple[bytes, ...]:
    numbers = (limit.window, limit.limit, limit.burst, limit.tick)
    return (b"f" if limit.fixed else b"g", *(b"%d" % number for number in numbers), limit.field.encode())


@lru_cache(maxsize=4096)
def _arguments(rules: tuple[Rule, ...], cost: int) -> tuple[bytes, ...]:
    if cost < 0 or not rules:
        raise ValueError("a counter needs rules and a cost of at least 0")
    return (b"%d" % cost, *(part for limit in compile_rules(rules) for part in _rule_arguments(limit)))


@lru_cache(maxsize=4096)
def _frame(script: Script, rules: tuple[Rule, ...], cost: int) -> tuple[bytes, bytes]:
    """What stands before and behind the key in the packed command."""
    arguments = _arguments(rules, cost)
    head = b"*%d\r\n" % (4 + len(arguments)) + bulk(b"EVALSHA") + bulk(script.sha.encode()) + bulk(b"1")
    return head, b"".join(map(bulk, arguments))


def framed(script: Script, name: bytes, rules: tuple[Rule, ...], cost: int) -> bytes:
    """The packed command that runs a script of counters on the key `name`."""
    head, tail = _frame(script, rules, cost)
    return head + bulk(name) + tail


def decided(deliver: Deliver) -> Answer:
    """Delivers a script's reply as a verdict."""

    def answer(reply: Any) -> None:
        deliver(_verdict(reply))

    return answer


def _verdict(reply: Any) -> Verdict | None:
    """None for what is no verdict: whoever waits must not wait for ever."""
    if reply is None:
        return None
    try:
        allowed, rule, remaining, retry, reset = reply
        return Verdict(allowed == 1, remaining, retry / 1e6, reset / 1e6, rule)
    except (TypeError, ValueError):
        log.exception("the store answered a counter with what is no verdict")
        return None


def ignore(_reply: Any) -> None:
    """What is given back is best effort."""


class PackedCounter:
    """One limit on one server: a subject's command is packed once, as the same ones come again."""

    def __init__(
        self, connection: HotConnection, keyspace: str, prefix: str, rules: tuple[Rule, ...], cost: int
    ) -> None:
        self._connection = connection
        self._keyspace = keyspace
        self._prefix = prefix
        self._rules = rules
        self._cost = cost
        self._packed: dict[str, bytes] = {}

    def take(self, subject: str, deliver: Deliver) -> None:
        command = self._packed.get(subject)
        if command is None:
            command = self._pack(subject)
        self._connection.call(command, decided(deliver), TAKE)

    def _pack(self, subject: str) -> bytes:
        if len(self._packed) >= PACKED:
            self._packed.clear()
        command = self._packed[subject] = framed(TAKE, self._name(subject), self._rules, self._cost)
        return command

    def give(self, subject: str) -> None:
        self._connection.call(framed(GIVE, self._name(subject), self._rules, self._cost), ignore, GIVE)

    def _name(self, subject: str) -> bytes:
        return counter_key(self._keyspace, self._prefix + subject)


class RedisCounters:
    """On one server, over the hot connection."""

    def __init__(self, url: str, prefix: str = "penstock", timeout: float = 0.1) -> None:
        self.connection = HotConnection(url, timeout)
        self._prefix = prefix

    async def connect(self) -> bool:
        """False when the store is not there yet; it is tried again in the background."""
        return await self.connection.connect()

    def counter(self, prefix: str, rules: tuple[Rule, ...], cost: int) -> Counter:
        return PackedCounter(self.connection, self._prefix, prefix, rules, cost)

    def take(self, key: str, rules: tuple[Rule, ...], cost: int, deliver: Deliver) -> None:
        self.connection.call(framed(TAKE, counter_key(self._prefix, key), rules, cost), decided(deliver), TAKE)

    def give(self, key: str, rules: tuple[Rule, ...], cost: int) -> None:
        self.connection.call(framed(GIVE, counter_key(self._prefix, key), rules, cost), ignore, GIVE)

    async def close(self) -> None:
        await self.connection.close()
