"""Event streams on Redis or Valkey Streams: every step is one script, so that nothing is half done after a kill -9.

A group is a consumer group of the server; leases and delays are a sorted set beside it. The server's clock counts.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import orjson

from gateway.core.errors import Conflict, Gone, InvalidInput, NotFound
from gateway.store import stream_scripts as scripts
from gateway.store.client import Argument, Client, Script
from gateway.store.streams import DeadLetter, Failure, GroupInfo, Message, Start, State, StreamFull, TopicInfo

_ID: Final = re.compile(r"\d{1,19}-\d{1,19}\Z")
_NET_SECONDS: Final = 1.0  # a waiting reader looks this often for what others gave back


def named(what: str, name: str) -> str:
    """A topic's or group's name, which becomes part of a key."""
    if not name or "{" in name or "}" in name or len(name) > 255:
        raise InvalidInput(f"{name!r} is no name of a {what}: 1 to 255 characters without braces.", target=what)
    return name


def identified(id: str) -> str:
    """A message's id, well formed."""
    if _ID.match(id) is None:
        raise NotFound(f"There is no message {id!r}: an id looks like 1700000000000-0.")
    return id


def fingerprint(payload: bytes, properties: Mapping[str, str]) -> str:
    """What two appends of one name must agree on."""
    return sha256(payload + b"\0" + orjson.dumps(dict(properties), option=orjson.OPT_SORT_KEYS)).hexdigest()


def full(topic: str, max_length: int) -> StreamFull:
    return StreamFull(
        f"{topic} holds {max_length} messages and the oldest is not finished by all its subscriptions. "
        "Start their consumers, drop a subscription that nobody reads, or raise max_length.",
        headers=[(b"Retry-After", b"5")],
    )


def refused(answer: str, topic: str, group: str, id: str) -> Exception:
    """The Problem behind a script's refusal."""
    if answer == "nogroup":
        return NotFound(f"There is no subscription {group} of {topic}.")
    if answer == "late":
        return Conflict(f"Message {id} was delivered again meanwhile: this receipt is an old one.")
    return Conflict(f"Message {id} is not with {group} any more: it is finished.")


class RedisStreams:
    """Nothing is connected before the first command."""

    def __init__(self, url: str, prefix: str = "penstock") -> None:
        self._client = Client(url)
        self._prefix = prefix

    def _base(self, topic: str) -> str:
        return f"{self._prefix}:s:{{{named('topic', topic)}}}:"

    async def _run(self, script: Script, topic: str, *arguments: Argument) -> list[Any]:
        base = self._base(topic)
        answer: list[Any] = await self._client.run(script, [base + "log"], [base, *arguments])
        return [answer[0].decode(), *answer[1:]]

    async def _step(self, script: Script, topic: str, group: str, *arguments: Argument) -> list[Any]:
        """A group's step; its refusals are raised."""
        answer = await self._run(script, topic, named("subscription", group), *arguments)
        if answer[0] != "ok":
            raise refused(answer[0], topic, group, str(arguments[0]) if arguments else "")
        return answer

    async def append(
        self,
        topic: str,
        payload: bytes,
        properties: Mapping[str, str] | None = None,
        max_length: int = 1_000_000,
        *,
        dedupe: str | None = None,
        dedupe_seconds: float = 86_400.0,
    ) -> str:
        about = dict(properties or {})
        name = "" if dedupe is None else sha256(dedupe.encode()).hexdigest()
        print_ = "" if dedupe is None else fingerprint(payload, about)
        remember = max(1, round(dedupe_seconds * 1000))
        answer = await self._run(
            scripts.APPEND, topic, payload, orjson.dumps(about), max(1, max_length), name, print_, remember
        )
        if answer[0] == "full":
            raise full(topic, max_length)
        if answer[0] == "conflict":
            raise Conflict(f"A message named {dedupe!r} with another content is there: {answer[1].decode()}.")
        return str(answer[1].decode())

    async def create_group(self, topic: str, group: str, start: Start = "beginning") -> bool:
        return bool((await self._step(scripts.CREATE, topic, group, start))[1])

    async def drop_group(self, topic: str, group: str) -> None:
        await self._step(scripts.DROP, topic, group)

    async def delete(self, topic: str) -> None:
        await self._run(scripts.DROP, topic)

    async def read(
        self,
        topic: str,
        group: str,
        consumer: str,
        count: int = 1,
        block_seconds: float = 0.0,
        *,
        lease_seconds: float = 60.0,
    ) -> list[Message]:
        loop = asyncio.get_running_loop()
        end = loop.time() + block_seconds
        while True:
            _, found, last, due = await self._step(
                scripts.READ, topic, group, consumer, max(1, count), _millis(lease_seconds)
            )
            left = end - loop.time()
            if found or left <= 0:
                return [_message(id, fields, attempt) for id, fields, attempt in found]
            await self._wait(topic, last.decode(), min(left, _NET_SECONDS, float(due or 3_600_000) / 1000))

    async def _wait(self, topic: str, after: str, seconds: float) -> None:
        """Waits in the server for an entry behind `after`."""
        if seconds > 0:
            command = ("XREAD", "COUNT", 1, "BLOCK", max(1, _millis(seconds)), "STREAMS", self._base(topic) + "log")
            await self._client.block(seconds, *command, after)

    async def ack(self, topic: str, group: str, id: str, attempt: int | None = None) -> None:
        try:
            await self._step(scripts.ACK, topic, group, identified(id), "" if attempt is None else attempt)
        except Conflict:
            if attempt is not None:
                raise

    async def extend(self, topic: str, group: str, id: str, attempt: int, lease_seconds: float = 60.0) -> None:
        await self._step(scripts.EXTEND, topic, group, identified(id), attempt, _millis(lease_seconds))

    async def retry(
        self, topic: str, group: str, id: str, delay_seconds: float, *, reason: str = "", attempt: int | None = None
    ) -> None:
        receipt = "" if attempt is None else attempt
        await self._step(scripts.RETRY, topic, group, identified(id), receipt, _millis(delay_seconds), reason)

    async def dead_letter(self, topic: str, group: str, message: Message, reason: str, error: str = "") -> str:
        answer = await self._step(scripts.BURY, topic, group, identified(message.id), message.attempt, reason, error)
        return str(answer[1].decode())

    async def release(self, topic: str, group: str, consumer: str) -> int:
        return int((await self._step(scripts.RELEASE, topic, group, consumer))[1])

    async def failures(self, topic: str, group: str, limit: int = 100) -> list[Failure]:
        _, found = await self._step(scripts.FAILURES, topic, group, limit)
        return [
            Failure(id.decode(), int(attempts), (reason or b"").decode(), float(due) / 1000)
            for id, attempts, reason, due in found
        ]

    async def dead_letters(self, topic: str, group: str, limit: int = 100, after: str = "") -> list[DeadLetter]:
        behind = identified(after) if after else ""
        _, found = await self._step(scripts.DEAD, topic, group, limit, behind)
        return [_letter(id, fields) for id, fields in found]

    async def redrive(self, topic: str, group: str, id: str) -> str:
        return await self._dig(topic, group, id, "redrive")

    async def discard(self, topic: str, group: str, id: str) -> bool:
        try:
            await self._dig(topic, group, id, "discard")
        except NotFound:
            return False
        return True

    async def _dig(self, topic: str, group: str, id: str, verb: str) -> str:
        try:
            answer = await self._step(scripts.DIG, topic, group, identified(id), verb)
        except Conflict:
            raise NotFound(f"{group} of {topic} has no dead letter {id}.") from None
        return str(answer[1].decode())

    async def browse(self, topic: str, after: str = "", count: int = 100, block_seconds: float = 0.0) -> list[Message]:
        loop = asyncio.get_running_loop()
        end, behind = loop.time() + block_seconds, identified(after) if after else ""
        while True:
            answer = await self._run(scripts.BROWSE, topic, behind, max(1, count))
            if answer[0] == "gone":
                raise Gone(f"{topic} does not reach back to {after} any more.")
            messages = [_message(id, fields, 1) for id, fields in answer[1] if b"g" not in fields[::2]]
            if messages or (not answer[1] and end <= loop.time()):
                return messages
            if answer[1]:
                behind = answer[1][-1][0].decode()
            else:
                await self._wait(topic, behind or "0-0", min(_NET_SECONDS, end - loop.time()))

    async def status(self, topic: str, id: str) -> dict[str, State]:
        answer = await self._run(scripts.STATUS, topic, identified(id))
        if answer[0] == "unknown":
            raise NotFound(f"{topic} has no message {id}.")
        if answer[0] == "gone":
            raise Gone(f"Message {id} of {topic} was trimmed: every subscription has finished it.")
        told = [part.decode() for part in answer[1]]
        return dict(zip(told[::2], told[1::2], strict=True))

    async def info(self, topic: str) -> TopicInfo:
        _, length, first, last, found = await self._run(scripts.INFO, topic)
        groups = {group.decode(): GroupInfo(*counts) for group, *counts in found}
        return TopicInfo(length, first.decode(), last.decode(), groups)

    async def hazards(self) -> list[str]:
        told = await self._client.info()
        found = []
        if any(node.get("aof_enabled") != "1" for node in told):
            found.append("The store has no append-only file, so a restart loses messages: set appendonly yes there.")
        if any(node.get("maxmemory_policy", "noeviction") != "noeviction" for node in told):
            found.append("The store evicts when it is full: set maxmemory-policy noeviction there.")
        return found

    async def close(self) -> None:
        await self._client.close()


def _millis(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _fields(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _message(id: bytes, flat: Sequence[bytes], attempt: int) -> Message:
    fields = _fields(flat)
    origin = fields.get(b"o", id).decode()
    return Message(id.decode(), fields[b"p"], orjson.loads(fields[b"h"]), attempt, origin)


def _letter(id: bytes, flat: Sequence[bytes]) -> DeadLetter:
    found = _fields(flat)
    told = {name: found[name].decode() for name in (b"o", b"r", b"e")}
    at = int(found[b"t"]) / 1000
    properties = orjson.loads(found[b"h"])
    return DeadLetter(id.decode(), told[b"o"], found[b"p"], properties, int(found[b"a"]), told[b"r"], told[b"e"], at)
