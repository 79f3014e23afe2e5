"""Cells in Redis or Valkey, over a hot connection of their own: values are larger than counters' answers, and limits
must not wait behind them.

`penstock:v:{DIGEST}` a key's fields (a hash; the field `!` is when it was purged) · `penstock:vt:{DIGEST}` the keys
with a tag (a sorted set by their end) and `penstock:vp:{DIGEST}` when it was purged · `penstock:k:{DIGEST}` a claim.
Every key has a time to live, and each is a slot of its own in a cluster.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from gateway.core.errors import StoreUnavailable
from gateway.store.cell_scripts import BURY, CLAIM, RELEASE, SETTLE, TAG, UNTAG, WRITE
from gateway.store.cells import BURIED, LARGEST, UNSENT, Claimed, Read, Written, ignored
from gateway.store.client import Script
from gateway.store.hot import Answer, pack
from gateway.store.lines import Line

PART: Final = 500  # keys of a tag that are dropped at once


class RedisCells:
    """`line` is closed with the cells; it is opened when they are."""

    def __init__(self, line: Line, prefix: str = "penstock") -> None:
        self._line = line
        self._prefix = prefix.encode()
        self._unsent = 0
        self._opening: asyncio.Task[bool] | None = None

    def open(self) -> None:
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._line.connect())

    def read(self, key: str, fields: Sequence[bytes], deliver: Read) -> None:
        name = self._name(b"v", _digest(key))

        def answer(reply: Any) -> None:
            deliver(reply if isinstance(reply, list) else None)

        self._line.call(name, pack(b"HMGET", name, *fields), answer)

    def write(
        self,
        key: str,
        values: Mapping[bytes, bytes],
        ttl: float,
        deliver: Written,
        *,
        tags: Sequence[str] = (),
        age: float = 0.0,
        most: int = 0,
    ) -> None:
        """The tags first: whatever is written can be purged by them, also when this worker dies in between."""
        parts = [part for pair in values.items() for part in pair]
        size = sum(map(len, parts))
        if size > LARGEST or self._unsent + size > UNSENT:
            deliver(False)
            return
        began = asyncio.get_running_loop().time() - age
        digest = _digest(key)
        left = len(tags)
        fine: bool | None = True

        def tagged(reply: Any) -> None:
            nonlocal left, fine
            left -= 1
            fine = fine and _done(reply)
            if not left:
                put() if fine else deliver(fine)

        def put() -> None:
            self._unsent += size
            since = asyncio.get_running_loop().time() - began
            self._run(WRITE, [self._name(b"v", digest)], [_millis(since), _millis(ttl), b"%d" % most, *parts], written)

        def written(reply: Any) -> None:
            self._unsent -= size
            deliver(_done(reply))

        if not tags:
            put()
        for tag in tags:
            self._run(TAG, self._tag_keys(tag), [digest, _millis(ttl), _millis(age)], tagged)

    def claim(self, key: str, mine: bytes, ttl: float, deliver: Claimed) -> None:
        def answer(reply: Any) -> None:
            deliver(True if reply == 1 else reply if isinstance(reply, bytes) else None)

        self._run(CLAIM, [self._name(b"k", _digest(key))], [mine, _millis(ttl)], answer)

    def settle(self, key: str, mine: bytes, value: bytes, ttl: float, deliver: Written) -> None:
        size = len(value)
        if size > LARGEST or self._unsent + size > UNSENT:
            deliver(False)
            return
        self._unsent += size

        def answer(reply: Any) -> None:
            self._unsent -= size
            deliver(_done(reply))

        self._run(SETTLE, [self._name(b"k", _digest(key))], [mine, value, _millis(ttl)], answer)

    def release(self, key: str, mine: bytes, deliver: Written = ignored) -> None:
        self._run(RELEASE, [self._name(b"k", _digest(key))], [mine], lambda reply: deliver(_done(reply)))

    async def purge(self, tag: str) -> int:
        self.open()
        assert self._opening is not None
        await self._opening
        count, done = 0, list[bytes]()
        while True:
            found = await self._ask(UNTAG, self._tag_keys(tag), [_millis(BURIED), b"%d" % PART, *done])
            if not found:
                return count
            buried = await asyncio.gather(*(self._bury(digest) for digest in found))
            count += sum(buried)
            done = list(found)

    async def _bury(self, digest: bytes) -> int:
        return int(await self._ask(BURY, [self._name(b"v", digest)], [_millis(BURIED)]))

    async def _ask(self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._run(script, keys, arguments, _into(future))
        reply = await future
        if reply is None:
            raise StoreUnavailable("The store cannot be reached, so that some of it may be left. Purge again.")
        return reply

    def _run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes], answer: Answer) -> None:
        command = pack(b"EVALSHA", script.sha.encode(), b"%d" % len(keys), *keys, *arguments)
        self._line.call(keys[0], command, answer, script)

    def _name(self, kind: bytes, digest: bytes) -> bytes:
        return b"%b:%b:{%b}" % (self._prefix, kind, digest)

    def _tag_keys(self, tag: str) -> list[bytes]:
        digest = _digest(tag)
        return [self._name(b"vt", digest), self._name(b"vp", digest)]

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._line.close()


def _digest(key: str) -> bytes:
    """Short, and tells nobody's name."""
    return blake2b(key.encode(), digest_size=16).hexdigest().encode()


def _millis(seconds: float) -> bytes:
    return b"%d" % max(0, math.ceil(seconds * 1000))


def _done(reply: Any) -> bool | None:
    return None if reply is None else reply == 1


def _into(future: asyncio.Future[Any]) -> Callable[[Any], None]:
    def answer(reply: Any) -> None:
        if not future.done():
            future.set_result(reply)

    return answer
