"""A gateway's connection to one process of a runtime: many calls at once, each answered by its number."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import orjson

from gateway.core.errors import ContentTooLarge, GatewayTimeout, Overloaded
from gateway.core.findings import DocumentsRefused
from gateway.core.secrets import Secret
from gateway.runtime import proving
from gateway.runtime.fitting import Signed
from gateway.runtime.frames import BadFrame, Frame, Frames, pack

PING: Final = 5.0  # seconds between two signs of life
SILENCE: Final = 15.0  # seconds without one after which the other side counts as gone
SWEEP: Final = 0.25  # seconds between looks at what is late
MOST: Final = 1000  # calls that one process of a runtime has at a time from here
UNREAD: Final = 64 * 1024 * 1024  # bytes that it has not read yet
GREETING: Final = 64 * 1024 * 1024  # bytes of what it tells of its processes


class NotGreeted(Exception):
    """The connection came to nothing; the text says why, as an operator can use it."""


class Lost(Exception):
    """The connection ended while a call was under way, which may have run or not."""


class NotSent(Lost):
    """It ended before, so that the call did not run."""


class Link(asyncio.Protocol):
    """`limit` bounds one output in bytes; `changed` is called when it takes calls no more, and when it is gone."""

    def __init__(self, token: Secret | None, limit: int, changed: Callable[[], None]) -> None:
        self._token = token
        self._limit = limit
        self._changed = changed
        self._nonce = proving.new_nonce()
        self._theirs = ""
        self._frames = Frames(GREETING, proving.GREETING)
        self._transport: asyncio.Transport | None = None
        self._greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending: dict[int, tuple[asyncio.Future[Frame], float]] = {}
        self._number = 0
        self._heard = 0.0
        self._timers: list[asyncio.TimerHandle] = []
        self.gone = asyncio.Event()
        self.is_open = False  # for calls
        self.told: Mapping[str, Any] = {}
        self.described: Mapping[str, Mapping[str, Any]] = {}
        self.signed: Mapping[str, Signed] = {}

    @property
    def under_way(self) -> int:
        return len(self._pending)

    # the connection

    async def greeted(self) -> None:
        """Until both sides know each other. NotGreeted."""
        try:
            async with asyncio.timeout(proving.PATIENCE):
                await self._greeted
        except TimeoutError:
            self.abort()
            raise NotGreeted(f"it said nothing within {proving.PATIENCE:g} s; is that a runtime's port?") from None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        try:
            for told, body in self._frames.feed(data):
                self._take(told, body)
                if self._transport is None or self._transport.is_closing():
                    return
        except (BadFrame, KeyError, TypeError, ValueError) as error:
            self._refuse(f"it is no runtime that this release understands ({type(error).__name__}: {error})")

    def connection_lost(self, error: Exception | None) -> None:
        self._refuse(f"it closed the connection{f' ({error})' if error else ''}")
        self._transport = None
        self.is_open = False
        for timer in self._timers:
            timer.cancel()
        pending, self._pending = self._pending, {}
        for answer, _ in pending.values():
            if not answer.done():
                answer.set_exception(Lost())
        self.gone.set()
        self._changed()

    def _refuse(self, reason: str) -> None:
        if not self._greeted.done():
            self._greeted.set_exception(NotGreeted(reason))
        self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def leave(self) -> None:
        """No more calls; it closes when those under way are answered."""
        was_open, self.is_open = self.is_open, False
        if was_open:
            self._changed()
        self._close_when_done()

    def _close_when_done(self) -> None:
        if not self.is_open and not self._pending and self._greeted.done() and self._transport is not None:
            self._transport.close()

    # what comes

    def _take(self, told: Mapping[str, Any], body: bytes) -> None:
        if "id" in told:
            found = self._pending.pop(told["id"], None)
            if found is not None and not found[0].done():
                found[0].set_result((dict(told), body))
            self._close_when_done()
        elif "going" in told:
            self.leave()
        elif "penstock" in told:
            self._prove(told)
        elif "proof" in told:
            self._learn(told, body)
        elif "refused" in told:
            self._refuse("it does not know this gateway's runtime_token: give both the same")

    def _prove(self, told: Mapping[str, Any]) -> None:
        if told["penstock"] != proving.PROTOCOL:
            self._refuse(f"it speaks protocol {told['penstock']}, this gateway {proving.PROTOCOL}: upgrade one of them")
            return
        self._theirs = str(told["nonce"])
        proof = proving.proof(self._token, proving.GATEWAY, self._theirs, self._nonce)
        self._write(pack({"nonce": self._nonce, "proof": proof}))

    def _learn(self, told: Mapping[str, Any], body: bytes) -> None:
        """Who is there, and what it hosts."""
        if self._greeted.done():  # nobody waits for it any more
            self.abort()
            return
        expected = proving.proof(self._token, proving.RUNTIME, self._theirs, self._nonce)
        if not self._theirs or not proving.holds(told["proof"], expected):
            self._refuse("it does not prove that it knows runtime_token: no input may be sent there")
            return
        self.told = {name: told[name] for name in ("runtime", "release", "started", "limit")}
        self.described = orjson.loads(body)
        try:
            self.signed = {name: Signed.read(name, each) for name, each in self.described.items()}
        except DocumentsRefused as refused:
            self._refuse(f"its contracts cannot be read: {refused}")
            return
        self._frames.limit = self._frames.json_limit = self._limit
        self.is_open = not told["draining"]
        self._every(PING, self._ping)
        self._every(SWEEP, self._sweep)
        self._greeted.set_result(None)
        self._changed()
        self._close_when_done()  # one that is draining already

    # what goes

    async def ask(self, message: Mapping[str, Any], body: bytes, seconds: float) -> Frame:
        """One call's answer. Lost when the connection ends first, NotSent when it ended already, GatewayTimeout after
        so many `seconds`, Overloaded when too much waits there, ContentTooLarge for more than the runtime takes. Who
        stops waiting takes the call back."""
        self._number += 1
        number = self._number
        frame = pack({"id": number, "do": "call", **message}, body)
        if len(frame) > int(self.told["limit"]):
            raise ContentTooLarge(f"The call is {len(frame)} bytes; its runtime takes {self.told['limit']}.")
        transport = self._transport
        if transport is None or transport.is_closing():
            raise NotSent
        if len(self._pending) >= MOST or transport.get_write_buffer_size() >= UNREAD:
            raise Overloaded("Too many calls wait for the runtime.", headers=[(b"retry-after", b"1")])
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Frame] = loop.create_future()
        self._pending[number] = answer, loop.time() + seconds
        transport.write(frame)
        try:
            return await answer
        finally:
            if self._pending.pop(number, None) is not None:  # late, or nobody waits any more
                self._write(pack({"id": number, "do": "cancel"}))
                self._close_when_done()

    def _write(self, frame: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    def _every(self, seconds: float, do: Callable[[], None]) -> None:
        def turn() -> None:
            if not self.gone.is_set():
                self._timers[at] = loop.call_later(seconds, turn)
                do()

        loop, at = asyncio.get_running_loop(), len(self._timers)
        self._timers.append(loop.call_later(seconds, turn))

    def _ping(self) -> None:
        if asyncio.get_running_loop().time() - self._heard > SILENCE:
            self.abort()  # it hangs, or the way to it is broken: waiting would take as long as a call may
        else:
            self._write(pack({"do": "ping"}))

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for answer, deadline in self._pending.values():
            if deadline <= now and not answer.done():
                answer.set_exception(GatewayTimeout("The runtime did not answer in time."))


async def connect(
    link: Callable[[], Link], place: str | tuple[str, int], tls: ssl.SSLContext | None, server_name: str | None
) -> Link:
    """Opens and greets. `place` is the path of a unix socket, or address and port. NotGreeted, OSError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(proving.PATIENCE):
        if isinstance(place, str):
            _, made = await loop.create_unix_connection(link, place)
        else:
            host, port = place
            name = server_name if tls is not None else None
            _, made = await loop.create_connection(link, host, port, ssl=tls, server_hostname=name)
    try:
        await made.greeted()
    except BaseException:
        made.abort()
        raise
    return made
