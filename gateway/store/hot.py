"""The hot connection: one multiplexed connection per worker for scripts on the request path.

Calls of one loop tick are written together and answered by direct callbacks, without futures or tasks. A call's
time-out is swept, not timed one by one. When the server freezes or the connection breaks, everything pending is
delivered None and the breaker opens: calls are answered None at once until a new connection has answered a PING.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from gateway.store.address import Address, Server
from gateway.store.client import Script
from gateway.store.numbers import HOT, LINES
from gateway.store.sentinel import LOOK, PATIENCE, Sentinels

log: Final = logging.getLogger("gateway.store")

Answer = Callable[[Any], None]  # a script's reply; None: no decision
Moved = Callable[[str, bytes, Answer, Script | None], None]  # what a cluster's server told, and the call
MAX_PENDING: Final = 50_000
QUIET: Final = 10.0  # seconds between two lines of the log that say the same


def pack(*parts: bytes) -> bytes:
    """A command as the protocol writes it (RESP, arrays of bulk strings)."""
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def bulk(part: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(part), part)


# One pending call: the command, its answer, when it was sent, what to load when the server says that it does not know
# it, and whether it was redirected.
_Call = tuple[bytes, Answer, float, Script | None, bool]


class _Link(asyncio.Protocol):
    """One life of the connection: its pending calls, in order, and its reader. Everything that is written goes through
    `send`, so that answers meet their calls: what is written stands in the order of `pending`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        lost: Callable[[_Link], None],
        moved: Moved | None,
        refused: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._lost = lost
        self._told = refused
        self._moved = moved
        self._out: list[bytes] = []
        self._reader = hiredis.Reader()
        self.pending: deque[_Call] = deque()
        self.transport: asyncio.Transport | None = None
        self._over = False
        self._answers = self._counted = 0
        self._mark = 0  # the number of the answer that is timed; 0: none
        self._marked = 0.0  # when its call was written

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def send(self, call: _Call) -> None:
        """Writes at the end of this turn of the loop, with what else is sent in it."""
        if not self._out:
            self._loop.call_soon(self._flush)
            if not self._mark:
                self._mark = self._answers + len(self.pending) + 1
        self._out.append(call[0])
        self.pending.append(call)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._mark and not self._marked:
            self._marked = time.perf_counter()
        if self.transport is not None and not self._over:
            self.transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        try:
            reader.feed(data)
            while not self._over and (reply := reader.gets()) is not False:
                call = self.pending.popleft()
                self._answers += 1
                if isinstance(reply, hiredis.ReplyError):
                    self._refused(call, str(reply))
                else:
                    deliver(call[1], reply)
        except (hiredis.ProtocolError, IndexError):
            log.exception("the store sent what is no answer")
            HOT.failed("protocol")
            self.cut()
        self._count()

    def _count(self) -> None:
        """Every answer, and the time of one call at a time: that hardly costs, and none of what is timed is chosen."""
        HOT.operations += self._answers - self._counted
        self._counted = self._answers
        if self._mark and self._answers >= self._mark:
            if self._marked:
                HOT.took(time.perf_counter() - self._marked)
            self._mark, self._marked = 0, 0.0

    def _refused(self, call: _Call, told: str) -> None:
        command, answer, _, script, redirected = call
        if script is not None and told.startswith("NOSCRIPT"):
            self._load(call, script)
        elif self._moved is not None and not redirected and told.startswith(("MOVED ", "ASK ")):
            self._moved(told, command, answer, script)
        else:
            self._told(told)
            HOT.failed(told.partition(" ")[0][:40])
            deliver(answer, None)
            if told.startswith("READONLY"):
                self.cut()  # a demoted primary: the name or address may lead to the new one by now

    def _load(self, call: _Call, script: Script) -> None:
        """Loads the script and asks again, once."""
        command, answer, at, _, redirected = call
        self.send((pack(b"SCRIPT", b"LOAD", script.source.encode()), _ignore, at, None, False))
        self.send((command, answer, at, None, redirected))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail()

    def cut(self) -> None:
        """Gives the connection up: an answer that still comes must meet no other call."""
        if self.transport is not None:
            self.transport.abort()
        self._fail()

    def _fail(self) -> None:
        self._over = True
        calls, self.pending = self.pending, deque()
        if calls:
            HOT.failed("lost", len(calls))
        self._lost(self)
        for call in calls:
            deliver(call[1], None)


def deliver(answer: Answer, reply: Any) -> None:
    """A callback that fails must not take the others' answers with it."""
    try:
        answer(reply)
    except Exception:
        log.exception("a callback of the store failed")


def _ignore(_reply: Any) -> None:
    """The answer of SCRIPT LOAD tells nothing."""


class HotConnection:
    """`timeout`: seconds after which a call has failed. `backoff`: first and longest pause between connection tries.
    `moved` is told of a cluster's redirections, and answers the call."""

    def __init__(
        self,
        url: str | Address,
        timeout: float = 0.1,
        backoff: tuple[float, float] = (0.05, 1.0),
        moved: Moved | None = None,
    ) -> None:
        self._moved = moved
        self._address = address = url if isinstance(url, Address) else Address.of(url)
        self._where = str(address)
        self._server: Server | None = None
        self._watching: asyncio.Task[None] | None = None
        self._sentinels = Sentinels(address) if address.kind == "sentinel" else None
        self._timeout = timeout
        self._patience = max(0.5, timeout * 2) + (PATIENCE * len(address.servers) if self._sentinels else 0.0)
        self._backoff = backoff
        self._link: _Link | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweep_due = 0.0
        self._connecting: asyncio.Task[None] | None = None
        self._closed = False
        self._since = 0.0  # when the link was made
        self._pause = backoff[0]  # before the next one, when this one does not last
        self._said: dict[str, float] = {}  # until when a refusal of that kind is not told again

    @property
    def up(self) -> bool:
        """False while the breaker is open."""
        return self._link is not None

    async def connect(self) -> bool:
        """Tries once; when the store is not there it goes on trying in the background."""
        if self._loop is None:
            LINES.open += 1
        self._loop = asyncio.get_running_loop()
        if self._link is None and not await self._try():
            self._reconnect()
        if self._sentinels is not None and self._watching is None:
            self._watching = self._loop.create_task(self._leave_old_masters())
        return self.up

    def call(
        self,
        command: bytes,
        answer: Answer,
        script: Script | None = None,
        _key: bytes = b"",
        *,
        redirected: bool = False,
    ) -> None:
        """Sends a packed command; `answer` is called once, with None when there is no decision. A `redirected` call
        is not redirected again. Which key it is about matters to a cluster alone."""
        link, loop = self._link, self._loop
        if link is None or loop is None or len(link.pending) >= MAX_PENDING:
            HOT.failed("away" if link is None else "crowded")
            deliver(answer, None)
            return
        link.send((command, answer, loop.time(), script, redirected))
        if self._sweeper is None:
            self._sweep_later(loop)

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweep_due = loop.time() + self._timeout / 4
        self._sweeper = loop.call_at(self._sweep_due, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        link, loop = self._link, self._loop
        if link is None or loop is None or not link.pending:
            return
        now = loop.time()
        # A sweep that comes late tells that this loop stood still: read what has arrived before judging the store.
        late = now - self._sweep_due > self._timeout / 4
        if not late and now - link.pending[0][2] > self._timeout:
            log.warning("the store at %s is too slow: limits are decided without it until it answers", self._where)
            HOT.failed("timeout")
            link.cut()
            return
        self._sweep_later(loop)

    def _refused(self, told: str) -> None:
        """Every request may be refused alike: a log of that would be the next outage."""
        kind, now = told.partition(" ")[0], asyncio.get_running_loop().time()
        if now >= self._said.get(kind, 0.0):
            self._said[kind] = now + QUIET
            log.warning("the store refused a command: %s", told)

    def _lost(self, link: _Link) -> None:
        """One that did not last is not replaced at once: a demoted primary lets everybody in and refuses the first
        call."""
        if link is self._link and self._loop is not None:
            self._link = None
            LINES.up -= 1
            first, longest = self._backoff
            lasted = self._loop.time() - self._since > longest
            self._pause = first if lasted else min(longest, self._pause * 2)
            self._reconnect(0.0 if lasted else self._pause)

    def _reconnect(self, after: float = 0.0) -> None:
        if not self._closed and self._loop is not None and self._connecting is None:
            self._connecting = self._loop.create_task(self._try_again(after))

    async def _try_again(self, after: float) -> None:
        pause, longest = self._backoff
        try:
            await asyncio.sleep(after)
            while not self._closed and not await self._try():
                await asyncio.sleep(pause)
                pause = min(longest, pause * 2)
        finally:
            self._connecting = None

    async def _try(self) -> bool:
        """Connects, signs in and asks for a PONG: a frozen server accepts connections, too."""
        loop = asyncio.get_running_loop()
        link = _Link(loop, self._lost, self._moved, self._refused)
        try:
            async with asyncio.timeout(self._patience):
                await self._open(link)
                for command in self._greeting():
                    await self._ask(link, command)
        except (OSError, ValueError):
            link.cut()
            return False
        except Exception:  # whatever it is, nobody else would try again
            log.exception("the store at %s cannot be connected", self._where)
            link.cut()
            return False
        except BaseException:
            link.cut()
            raise
        if self._closed or link.transport is None or link.transport.is_closing():
            link.cut()
            return False
        LINES.reconnects += bool(self._since)
        self._link, self._since = link, loop.time()
        LINES.up += 1
        return True

    async def _found(self) -> Server | None:
        """Where to connect; None for a socket. OSError when no Sentinel tells."""
        if self._sentinels is not None:
            return await self._sentinels.master()
        return self._address.servers[0] if self._address.servers else None

    async def _leave_old_masters(self) -> None:
        assert self._sentinels is not None
        while True:
            await asyncio.sleep(LOOK)
            with contextlib.suppress(OSError):
                link = self._link
                if link is not None and await self._sentinels.master() != self._server and link is self._link:
                    log.warning("the store at %s has another master now", self._where)
                    link.cut()

    async def _open(self, link: _Link) -> None:
        loop = asyncio.get_running_loop()
        server = self._server = await self._found()
        if server is None:
            await loop.create_unix_connection(lambda: link, self._address.path)
        else:
            context = self._address.context() if self._address.tls else None
            await loop.create_connection(lambda: link, *server, ssl=context)

    def _greeting(self) -> list[bytes]:
        user, password = self._address.credentials.get("username"), self._address.credentials.get("password")
        commands = []
        if password:
            names = [user.encode()] if user else []
            commands.append(pack(b"AUTH", *names, password.encode()))
        if database := self._address.database:
            commands.append(pack(b"SELECT", b"%d" % database))
        return [*commands, pack(b"PING")]

    async def _ask(self, link: _Link, command: bytes) -> None:
        """ConnectionError when the server refuses a command of the greeting."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def answer(reply: Any) -> None:
            if not future.done():
                future.set_result(reply)

        link.send((command, answer, 0.0, None, False))
        if not await future:
            raise ConnectionError("the store refused the greeting")

    async def close(self) -> None:
        """What is pending is delivered None."""
        if self._loop is not None and not self._closed:
            LINES.open -= 1
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in (self._connecting, self._watching):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._link is not None:
            self._link.cut()
        if self._sentinels is not None:
            await self._sentinels.close()
