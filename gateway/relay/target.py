"""The connections to one target: the one used last first, a bound on their number, a bounded queue for the rest."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from gateway.core.clock import Clock
from gateway.core.deadlines import Deadlines
from gateway.core.errors import BadGateway, GatewayTimeout, Problem, Unavailable
from gateway.relay.connection import Connection


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds. `timeout`: from the request to the response's head; `idle_timeout`: between two reads of its
    body; `keep`: how long an unused connection stays; `queue`: how many requests wait for a connection."""

    timeout: float = 30.0
    connect_timeout: float = 5.0
    idle_timeout: float = 30.0
    keep: float = 30.0
    retries: int = 1
    max_connections: int = 256
    queue: int = 256


@dataclass(frozen=True, slots=True)
class Target:
    """Where an upstream is. `authority` is the Host that it gets; `prefix` stands before every path."""

    host: str
    port: int
    tls: bool
    authority: bytes
    prefix: bytes

    @classmethod
    def parse(cls, url: str) -> Target:
        """Of `http://host:port/prefix` or `https://…`. ValueError says what is wrong."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is not an upstream: write http://host:port or https://host:port")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(f"the upstream {parts.hostname} must be a URL without user, query and fragment")
        tls = parts.scheme == "https"
        authority = parts.netloc.encode("ascii")
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls, authority, parts.path.rstrip("/").encode())


class Asker(Protocol):
    """Who wants a connection: hears once, `connected` or `unreachable`, unless it is withdrawn."""

    def connected(self, connection: Connection) -> None: ...

    def unreachable(self, problem: Problem) -> None: ...


class Pool:
    """Connections to one target. All on one event loop."""

    def __init__(self, target: Target, settings: Settings, deadlines: Deadlines, tls: ssl.SSLContext | None) -> None:
        self.target = target
        self.settings = settings
        self._deadlines = deadlines
        self._tls = tls if target.tls else None
        self._idle: deque[tuple[float, Connection]] = deque()
        self._all: set[Connection] = set()
        self._waiting: deque[tuple[float, Asker]] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def now(self) -> float:
        """Coarse monotonic seconds."""
        return self._deadlines.now

    @property
    def clock(self) -> Clock:
        return self._deadlines.clock

    @property
    def size(self) -> int:
        """Open connections."""
        return len(self._all)

    def acquire(self, asker: Asker, fresh: bool = False) -> None:
        """Gives the asker a connection, now or later. `fresh`: not one that may have gone stale."""
        self._deadlines.add(self)
        if fresh and self._idle:
            self._idle.popleft()[1].drop()  # it makes room, and is likely to be stale as well
        while self._idle and not fresh:
            _, connection = self._idle.pop()
            if connection in self._all:
                asker.connected(connection)
                return
        if len(self._waiting) >= self.settings.queue:
            asker.unreachable(_busy("Too many requests wait for the upstream."))
            return
        self._waiting.append((self.now + 2 * self.settings.connect_timeout, asker))
        self._connect_more()

    def withdraw(self, asker: Asker) -> None:
        """The asker no longer waits."""
        self._waiting = deque(entry for entry in self._waiting if entry[1] is not asker)

    def release(self, connection: Connection) -> None:
        """A connection that can serve another request."""
        if self._closed:
            self.forget(connection)
            connection.drop()
        elif self._waiting:
            _, asker = self._waiting.popleft()
            asker.connected(connection)
        else:
            self._idle.append((self.now + self.settings.keep, connection))

    def forget(self, connection: Connection) -> None:
        """A connection that ended."""
        if connection in self._all:
            self._all.discard(connection)
            self._connect_more()

    def _connect_more(self) -> None:
        opening = len(self._connecting)
        if opening < len(self._waiting) and opening + len(self._all) < self.settings.max_connections:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        if not self._closed:
            self._connect_more()

    async def _connect(self) -> None:
        loop, target = asyncio.get_running_loop(), self.target
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: Connection(self),
                    target.host,
                    target.port,
                    ssl=self._tls,
                    server_hostname=target.host if self._tls is not None else None,
                )
        except TimeoutError:
            self._refuse(GatewayTimeout("The upstream took too long to accept a connection."))
        except (OSError, ssl.SSLError):
            self._refuse(BadGateway("The upstream cannot be reached."))
        else:
            self._all.add(connection)
            self.release(connection)

    def _refuse(self, problem: Problem) -> None:
        if self._waiting:
            _, asker = self._waiting.popleft()
            asker.unreachable(problem)

    def check(self, now: float) -> None:
        """Called by the sweep."""
        for connection in tuple(self._all):
            connection.check(now)
        while self._idle and (now > self._idle[0][0] or self._idle[0][1] not in self._all):
            _, connection = self._idle.popleft()
            connection.drop()
        while self._waiting and now > self._waiting[0][0]:
            self._refuse(_busy("No connection to the upstream came free."))
        if not self._all and not self._waiting and not self._connecting:
            self._deadlines.discard(self)

    async def close(self) -> None:
        """Unused connections end now, the others after their response."""
        self._closed = True
        while self._idle:
            self._idle.pop()[1].drop()
        for task in tuple(self._connecting):
            task.cancel()
        while self._waiting:
            self._refuse(Unavailable("The upstream was replaced."))
        if not self._all:
            self._deadlines.discard(self)


def _busy(text: str) -> Unavailable:
    return Unavailable(text, headers=((b"Retry-After", b"1"),))
