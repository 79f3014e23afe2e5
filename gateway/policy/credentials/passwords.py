"""Passwords against their argon2 hashes (RFC 9106), off the loop. Imported where a step needs it.

A check takes tens of milliseconds and tens of megabytes on purpose, so that few run at a time in one worker, few wait,
and few of those are of one client. A password that was right is remembered for a while, by a keyed hash of it and of
what it was checked against: a change of either is seen at once.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from argon2 import low_level
from argon2.exceptions import Argon2Error

from gateway.core.clock import Clock
from gateway.core.errors import Overloaded, TooManyRequests
from gateway.core.secrets import KeyHasher

AT_ONCE: Final = max(1, min(4, (os.cpu_count() or 1) - 1))  # threads of a worker
MOST_WAITING: Final = 64  # checks begun or waiting, of a worker
MOST_OF_A_CLIENT: Final = 8
REMEMBERED: Final = 10_000
MOST_MEMORY: Final = 262_144  # KiB of one check
MOST_PASSES: Final = 10

_HASH: Final = re.compile(
    r"\$argon2(id|i|d)\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,128}"
)
_UNKNOWN: Final = "$argon2id$v=19$m=19456,t=2,p=1$"  # as the directory makes them
_pool: Final = ThreadPoolExecutor(AT_ONCE, "argon2")  # of the process: its threads begin with the first check
_LATER: Final = (b"Retry-After", b"1")


def check_hash(text: str) -> None:
    """ValueError, which does not repeat the text, for what is no argon2 hash or would take too much."""
    found = _HASH.fullmatch(text)
    if found is None:
        raise ValueError("a password stands here as its argon2 hash ($argon2id$v=19$…), never as it is")
    if int(found[2]) > MOST_MEMORY or not 1 <= int(found[3]) <= MOST_PASSES or not 1 <= int(found[4]) <= 16:
        raise ValueError(f"a hash takes at most {MOST_MEMORY} KiB, {MOST_PASSES} passes and 16 lanes")


def decoy(like: str | None) -> str:
    """A hash that no password has, which takes as long to check as `like`."""
    parts = (like or _UNKNOWN).split("$")
    random = [base64.b64encode(os.urandom(size)).decode().rstrip("=") for size in (16, 32)]
    return "$".join([*parts[:4], *random])


def matches(hash: str, password: bytes) -> bool:
    """Takes long."""
    kind = {"id": low_level.Type.ID, "i": low_level.Type.I, "d": low_level.Type.D}[hash.split("$")[1][6:]]
    try:
        return low_level.verify_secret(hash.encode(), password, kind)
    except Argon2Error:
        return False


class Passwords:
    """The checks of one step. `remember` in seconds."""

    def __init__(self, hasher: KeyHasher, clock: Clock, remember: float) -> None:
        self._hasher = hasher
        self._clock = clock
        self._remember = remember
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self._running: dict[bytes, Future[bool]] = {}

    def key(self, hash: str, password: bytes) -> bytes:
        """By which a password that was right is known: a keyed hash."""
        return self._hasher.digest(hash.encode() + b"\0" + password)

    def known(self, key: bytes) -> bool:
        """Whether it was right a short while ago."""
        until = self._known.get(key)
        if until is None:
            return False
        if self._clock.monotonic() < until:
            return True
        del self._known[key]
        return False

    async def check(self, hash: str, password: bytes, client: str) -> bool:
        """Overloaded or TooManyRequests when too many wait; equal checks are made once."""
        key = self.key(hash, password)
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = _begin(hash, password, client)
            loop = asyncio.get_running_loop()
            running.add_done_callback(lambda _done: _soon(loop, lambda: self._running.pop(key, None)))
        right = await asyncio.shield(asyncio.wrap_future(running))
        if right:
            self._keep(key)
        return right

    def _keep(self, key: bytes) -> None:
        if self._remember > 0:
            self._known[key] = self._clock.monotonic() + self._remember
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)


_waiting: Final[dict[str, int]] = {}


def _begin(hash: str, password: bytes, client: str, check: Callable[[str, bytes], bool] = matches) -> Future[bool]:
    if _waiting.get(client, 0) >= MOST_OF_A_CLIENT:
        raise TooManyRequests("Too many passwords of this client are being checked.", headers=[_LATER])
    if sum(_waiting.values()) >= MOST_WAITING:
        raise Overloaded("Too many passwords are being checked.", headers=[_LATER])
    _waiting[client] = _waiting.get(client, 0) + 1
    loop = asyncio.get_running_loop()
    running = _pool.submit(check, hash, password)
    running.add_done_callback(lambda _done: _soon(loop, lambda: _ended(client)))
    return running


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """From a thread of the pool, which may outlive the loop."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


def _ended(client: str) -> None:
    left = _waiting.get(client, 1) - 1
    if left:
        _waiting[client] = left
    else:
        _waiting.pop(client, None)
