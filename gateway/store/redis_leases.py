"""Leases in Redis or Valkey: of each subject a hash, in which a worker has one field: how many it holds, until when.

Whoever is granted a slot prolongs all of its worker's of that subject, and a timer does where nobody asks: one command
for a subject that this worker holds slots of, all in one write, and none for an exchange. A worker that is killed is
forgotten after LIFE. The worker knows best what it holds: what it tells when it renews mends whatever was lost on the
way, a give-back that a lost connection swallowed as much as slots that ran out while the store was away.
"""

from __future__ import annotations

import asyncio
import os
from hashlib import blake2b
from typing import Any, Final, Protocol

from gateway.store.client import Script
from gateway.store.hot import Answer, pack
from gateway.store.leases import Granted, Lease, MemoryLeases

LIFE: Final = 15.0  # seconds that slots outlive their worker
RENEW: Final = LIFE / 3

_NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local key, holder, life = KEYS[1], ARGV[1], tonumber(ARGV[2])
local function hold(who, count, ends)
  if count > 0 then redis.call('HSET', key, who, string.format('%.0f:%.0f', count, ends))
  else redis.call('HDEL', key, who) end
end
local function live()
  if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, life) end
end
local function read(found)
  local count, ends = string.match(found, '^(%d+):(%d+)$')
  return tonumber(count), tonumber(ends)
end
"""

# ARGV: holder, milliseconds that it lives, how many there are. 1: granted. A clock that went back makes nobody live
# longer than that.
_TAKE: Final = Script(
    _NOW
    + """
local limit, total, own, found = tonumber(ARGV[3]), 0, 0, redis.call('HGETALL', key)
for i = 1, #found, 2 do
  local count, ends = read(found[i + 1])
  if ends <= now then redis.call('HDEL', key, found[i])
  else
    if ends > now + life then hold(found[i], count, now + life) end
    total = total + count
    if found[i] == holder then own = count end
  end
end
if total >= limit then return 0 end
hold(holder, own + 1, now + life)
live()
return 1
"""
)

_GIVE: Final = Script(
    _NOW
    + """
local found = redis.call('HGET', key, holder)
if found then
  local count, ends = read(found)
  hold(holder, count - 1, ends)
end
return 1
"""
)

# ARGV: holder, milliseconds that it lives, how many it holds; -1: as many as are written, as some are on their way.
_RENEW: Final = Script(
    _NOW
    + """
local count, found = tonumber(ARGV[3]), redis.call('HGET', key, holder)
if count < 0 then count = found and read(found) or 0 end
hold(holder, count, now + life)
if count > 0 then live() end
return 1
"""
)


class Send(Protocol):
    def __call__(self, command: bytes, answer: Answer, script: Script, key: bytes, /) -> None: ...


class _Held:
    """What this worker holds of a subject; `asked` are takes without an answer yet; `unsure`: the store may have
    written another count."""

    __slots__ = ("asked", "count", "unsure")

    def __init__(self) -> None:
        self.count = 0
        self.asked = 0
        self.unsure = False


class RedisLeases:
    """`life`: seconds that slots outlive their worker."""

    def __init__(self, send: Send, prefix: str, life: float = LIFE) -> None:
        self._send = send
        self._prefix = prefix
        self._life = b"%d" % (life * 1000)
        self._pause = life / 3
        self._holder = os.urandom(8).hex().encode()
        self._held: dict[bytes, _Held] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._local = MemoryLeases()

    def lease(self, name: str, limit: int) -> Lease:
        return RedisLease(self, name, limit)

    def own(self, name: str, limit: int) -> Lease:
        return self._local.own(name, limit)

    def key(self, name: str, subject: str) -> bytes:
        whose = blake2b(subject.encode(), digest_size=16).hexdigest()
        which = blake2b(name.encode(), digest_size=8).hexdigest()
        return f"{self._prefix}:l:{{{whose}}}:{which}".encode()

    def take(self, key: bytes, limit: int, deliver: Granted) -> None:
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = _Held()
        held.asked += 1
        self._renew_later()

        def answer(reply: Any) -> None:
            held.asked -= 1
            if reply is None:
                held.unsure = True
            elif reply == 1:
                held.count += 1
            self._settle(key, held)
            deliver(None if reply is None else reply == 1)

        self._call(_TAKE, key, b"%d" % limit, answer)

    def give(self, key: bytes) -> None:
        held = self._held[key]
        held.count -= 1
        held.asked += 1

        def answer(reply: Any) -> None:
            held.asked -= 1
            held.unsure = held.unsure or reply is None
            self._settle(key, held)

        self._call(_GIVE, key, b"0", answer)

    def _settle(self, key: bytes, held: _Held) -> None:
        """Forgets a subject of which nothing is held, as the store knows."""
        if not (held.count or held.asked or held.unsure) and self._held.get(key) is held:
            del self._held[key]

    def _call(self, script: Script, key: bytes, figure: bytes, answer: Answer) -> None:
        sha = script.sha.encode()
        self._send(pack(b"EVALSHA", sha, b"1", key, self._holder, self._life, figure), answer, script, key)

    def _renew_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self.renew)

    def renew(self) -> None:
        """Of everything that this worker holds."""
        self._timer = None
        for key, held in list(self._held.items()):
            self._renew(key, held)
        if self._held:
            self._renew_later()

    def _renew(self, key: bytes, held: _Held) -> None:
        exact = not held.asked  # else something is on its way that the count here does not know yet

        def answer(reply: Any) -> None:
            if exact and reply is not None:
                held.unsure = False
                self._settle(key, held)

        self._call(_RENEW, key, b"%d" % held.count if exact else b"-1", answer)

    def close(self) -> None:
        """What is held runs out by itself, or is given back by then."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class RedisLease:
    def __init__(self, leases: RedisLeases, name: str, limit: int) -> None:
        self._leases = leases
        self._name = name
        self._limit = limit

    def take(self, subject: str, deliver: Granted) -> None:
        self._leases.take(self._leases.key(self._name, subject), self._limit, deliver)

    def give(self, subject: str) -> None:
        self._leases.give(self._leases.key(self._name, subject))
