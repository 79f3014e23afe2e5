"""A worker's connection to a policy host: many calls at once, each answered by a direct callback.

A host that is away is waited for as long as a call may take; what is not answered by then is delivered None.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from gateway.runtime.frames import BadFrame, Frame, Frames, pack

log: Final = logging.getLogger("gateway.runtime")

Deliver = Callable[[Frame | None], None]  # None: no answer in time
SWEEP: Final = 0.05  # seconds between looks at what is late
AGAIN: Final = 0.1  # seconds between two tries to connect
MOST: Final = 1000  # calls that wait for one host
UNREAD: Final = 16_777_216  # bytes that a host has not read yet: one that hangs would have all of them held here


class _Link(asyncio.Protocol):
    """One life of the connection."""

    def __init__(self, client: HostClient, limit: int) -> None:
        self._client = client
        self._frames = Frames(limit)
        self.transport: asyncio.Transport | None = None
        self.known: set[tuple[str, str]] = set()  # configurations that this host was told of

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                self._client.answered(frame)
        except BadFrame as error:
            log.error("a policy host sent what is no answer: %s", error)
            self.close()

    def connection_lost(self, _error: Exception | None) -> None:
        self._client.lost(self)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


class HostClient:
    """`path` is the host's socket, `limit` bounds bodies in bytes."""

    def __init__(self, path: str, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._link: _Link | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._number = 0
        self._pending: dict[int, tuple[Deliver, float]] = {}
        self._waiting: list[tuple[Mapping[str, Any], bytes]] = []  # for a connection
        self._settings: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._steps: Counter[tuple[str, str]] = Counter()  # that are built
        self.answers = self.unanswered = 0

    @property
    def up(self) -> bool:
        return self._link is not None

    def prepare(self, policy: str, digest: str, settings: Mapping[str, Any]) -> None:
        """The configuration that `digest` stands for; each new host is told of it before its first use."""
        self._settings[policy, digest] = settings
        self._steps[policy, digest] += 1

    def release(self, policy: str, digest: str) -> None:
        """One step with that configuration is gone; with the last one the host lets go of it."""
        key = policy, digest
        self._steps[key] -= 1
        if self._steps[key] > 0:
            return
        del self._steps[key], self._settings[key]
        link = self._link
        if link is not None and key in link.known and link.transport is not None:
            link.known.discard(key)
            link.transport.write(pack({"id": 0, "do": "drop", "policy": policy, "config": digest}))

    def call(self, message: Mapping[str, Any], body: bytes, timeout: float, deliver: Deliver) -> None:
        """`deliver` is called once, on the loop's thread, perhaps at once."""
        if len(self._pending) >= MOST or self._unread() >= UNREAD:
            self.unanswered += 1
            deliver(None)
            return
        self._number += 1
        told = {"id": self._number, **message}
        self._pending[self._number] = deliver, asyncio.get_running_loop().time() + timeout
        if self._link is None:
            self._waiting.append((told, body))
            self._connect()
        else:
            self._send(self._link, told, body)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP, self._sweep)

    def _unread(self) -> int:
        transport = None if self._link is None else self._link.transport
        return 0 if transport is None else transport.get_write_buffer_size()

    def _send(self, link: _Link, told: Mapping[str, Any], body: bytes) -> None:
        assert link.transport is not None
        used = told["policy"], told["config"]
        if used not in link.known:
            link.known.add(used)
            settings = {"id": 0, "do": "make", "policy": used[0], "config": used[1], "settings": self._settings[used]}
            link.transport.write(pack(settings))
        link.transport.write(pack(told, body))

    def answered(self, frame: Frame) -> None:
        number = frame[0].get("id")
        found = self._pending.pop(number, None) if type(number) is int else None
        if found is not None:
            self.answers += 1
            found[0](frame)
        elif "unfit" in frame[0]:
            log.error("a policy host refuses a configuration: %s", str(frame[0]["unfit"])[:1000])

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = [number for number, (_, deadline) in self._pending.items() if deadline <= now]
        self.unanswered += len(late)
        for number in late:
            self._pending.pop(number)[0](None)
        if late:
            self._waiting = [each for each in self._waiting if each[0]["id"] in self._pending]
        self._sweeping = loop.call_later(SWEEP, self._sweep) if self._pending else None

    def _connect(self) -> None:
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._try())

    async def _try(self) -> None:
        """Until it is connected, or nobody waits any more."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                with contextlib.suppress(OSError):
                    _, link = await loop.create_unix_connection(lambda: _Link(self, self._limit), self._path)
                    self._link = link
                    waiting, self._waiting = self._waiting, []
                    for told, body in waiting:
                        self._send(link, told, body)
                    return
                await asyncio.sleep(AGAIN)
        finally:
            self._connecting = None

    def lost(self, link: _Link) -> None:
        """What was under way may have run or not: it is not asked again."""
        if self._link is link:
            self._link = None
            waiting = {each[0]["id"] for each in self._waiting}
            gone = [number for number in self._pending if number not in waiting]
            self.unanswered += len(gone)
            for number in gone:
                self._pending.pop(number)[0](None)

    async def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._link is not None:
            link, self._link = self._link, None
            link.close()
