"""Exact counters in Redis or Valkey: one script per take, by the server's clock, every key with a time to live.

A counter is a hash under `penstock:c:{SUBJECT}:LIMIT`, both hashed: all counters of a subject share a slot, so that
limits which stand together are decided by one call, and subjects spread over a cluster. Whether a limit is decided
alone or with others changes nothing about where it counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Protocol

from gateway.store.client import Script
from gateway.store.counter_scripts import give_script, take_script
from gateway.store.counters import Costs, Counter, Deliver, Limit, Verdict
from gateway.store.hot import Answer, HotConnection, bulk
from gateway.store.leases import Leases
from gateway.store.limits import compile_rules
from gateway.store.redis_leases import RedisLeases

log: Final = logging.getLogger("gateway.store")
PACKED: Final = 4096  # subjects of one limit whose commands are kept


class Send(Protocol):
    """Runs a script; `command` is packed, `key` its first key, by which a cluster knows whom to ask."""

    def __call__(self, command: bytes, answer: Answer, script: Script, key: bytes, /) -> None: ...


def counter_key(prefix: str, name: str, subject: str) -> bytes:
    """A counter's key: hashed, so that it is short and tells nobody's name; the subject's hash is its hash tag."""
    whose = blake2b(subject.encode(), digest_size=16).hexdigest()
    return f"{prefix}:c:{{{whose}}}:{_short(name)}".encode()


@lru_cache(maxsize=4096)
def _short(name: str) -> str:
    return blake2b(name.encode(), digest_size=8).hexdigest()


def arguments(limits: tuple[Limit, ...], costs: Costs) -> Iterator[bytes]:
    """What a script is told of each rule. ValueError for a limit that cannot count."""
    for number, (limit, cost) in enumerate(zip(limits, costs, strict=True), 1):
        if cost < 0 or not limit.rules:
            raise ValueError("a counter needs rules and a cost of at least 0")
        for rule in compile_rules(limit.rules):
            yield b"%d" % number
            yield rule.kind.encode()
            yield from (b"%d" % figure for figure in (rule.window, rule.limit, rule.own, rule.tick))
            yield rule.field.encode()
            yield b"%d" % cost


def scripts_of(limits: tuple[Limit, ...]) -> tuple[Script, Script]:
    """What takes and what gives back."""
    rules = [rule for limit in limits for rule in compile_rules(limit.rules)]
    kinds = frozenset(rule.kind for rule in rules)
    return take_script(kinds, len(rules) == 1), give_script(kinds)


_tuple: Final = tuple.__new__  # a named tuple without its constructor, which is a function in Python


def decided(deliver: Deliver) -> Answer:
    """Delivers a script's reply as a verdict; None for what is none, as whoever waits must not wait for ever."""

    def answer(reply: Any) -> None:
        if type(reply) is list and len(reply) > 5:
            deliver(_tuple(Verdict, (reply[0] == 1, reply[1], reply[2], reply[3], reply[4:])))
            return
        if reply is not None:
            log.error("the store answered a counter with what is no verdict: %.100r", reply)
        deliver(None)

    return answer


def ignore(_reply: Any) -> None:
    """What is given back is best effort."""


class PackedCounter:
    """Limits that are decided together: a subject's command is packed once, as the same ones come again."""

    def __init__(self, send: Send, keyspace: str, limits: tuple[Limit, ...]) -> None:
        self._send = send
        self._keyspace = keyspace
        self._limits = limits
        self._costs = tuple(limit.cost for limit in limits)
        self._packed: dict[str, tuple[bytes, bytes]] = {}
        self._take, self._give = scripts_of(limits)
        tail = [b"0", *arguments(limits, self._costs)]
        self._head = self._begin(self._take, len(tail))
        self._tail = b"".join(map(bulk, tail))

    def _begin(self, script: Script, arguments: int) -> bytes:
        keys = len(self._limits)
        head = b"*%d\r\n" % (3 + keys + arguments)
        return head + bulk(b"EVALSHA") + bulk(script.sha.encode()) + bulk(b"%d" % keys)

    def take(self, subject: str, deliver: Deliver, costs: Costs | None = None) -> None:
        if costs is not None and costs != self._costs:
            self._call(self._take, subject, b"0", costs, decided(deliver))
            return
        packed = self._packed.get(subject)
        if packed is None:
            packed = self._pack(subject)
        self._send(packed[1], decided(deliver), self._take, packed[0])

    def _pack(self, subject: str) -> tuple[bytes, bytes]:
        if len(self._packed) >= PACKED:
            self._packed.clear()
        keys = self._keys(subject)
        packed = self._packed[subject] = keys[0], self._head + b"".join(map(bulk, keys)) + self._tail
        return packed

    def _keys(self, subject: str) -> list[bytes]:
        return [counter_key(self._keyspace, limit.name, subject) for limit in self._limits]

    def give(self, subject: str, at: int, costs: Costs | None = None) -> None:
        self._call(self._give, subject, b"%d" % at, self._costs if costs is None else costs, ignore)

    def charge(self, subject: str, costs: Costs) -> None:
        self._call(self._take, subject, b"1", costs, ignore)

    def _call(self, script: Script, subject: str, first: bytes, costs: Costs, answer: Answer) -> None:
        keys, tail = self._keys(subject), [first, *arguments(self._limits, costs)]
        command = self._begin(script, len(tail)) + b"".join(map(bulk, keys + tail))
        self._send(command, answer, script, keys[0])


class RedisCounters:
    """On one server, over the hot connection."""

    def __init__(self, url: str, prefix: str = "penstock", timeout: float = 0.1) -> None:
        self.connection = HotConnection(url, timeout)
        self._prefix = prefix
        self._send: Send = self.connection.call
        self._leases = RedisLeases(self._send, prefix)

    @property
    def leases(self) -> Leases:
        return self._leases

    async def connect(self) -> bool:
        """False when the store is not there yet; it is tried again in the background."""
        return await self.connection.connect()

    def counter(self, limits: tuple[Limit, ...]) -> Counter:
        return PackedCounter(self._send, self._prefix, limits)

    async def close(self) -> None:
        self._leases.close()
        await self.connection.close()
