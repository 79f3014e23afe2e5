"""One connection to an upstream: writes a request, reads its response by our own framing, and says whether the
connection can serve another."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol, cast

from gateway.core.errors import BadGateway, GatewayTimeout, Problem
from gateway.core.framing_body import Scanner, UntilClose
from gateway.core.framing_reply import ReplyHead, frame_reply

if TYPE_CHECKING:
    from gateway.relay.settings import Settings
    from gateway.relay.target import Pool

log: Final = logging.getLogger("gateway.relay")
WRITE_BUFFER: Final = 262_144
REMEMBERED: Final = 8192  # bytes of the largest response head that a connection keeps
EXACT: Final = 1.0  # seconds, below which a time is counted from now, not from the sweep before
_NEVER: Final = float("inf")


class Receiver(Protocol):
    """Who sent the request. After `ended` or `failed` the connection is no longer its own. `settings`: how long it
    waits."""

    @property
    def settings(self) -> Settings: ...

    def whole(self, head: ReplyHead, body: bytes) -> None:
        """The usual response: all of it came in one read. Nothing else follows."""
        ...

    def informed(self, head: ReplyHead) -> None:
        """An interim response (1xx); another follows. Not 100: nobody asked for it, as Expect never goes on."""
        ...

    def replied(self, head: ReplyHead, has_body: bool) -> None:
        """The head of one that goes on, perhaps with a body: `data` and `ended` follow."""
        ...

    def data(self, data: bytes) -> None: ...

    def ended(self) -> None: ...

    def failed(self, problem: Problem, silent: bool) -> None:
        """`silent`: not one byte of a response had come, and nobody waited too long for it."""
        ...

    def switched(self, connection: Connection, head: ReplyHead, rest: bytes) -> None:
        """101 (Switching Protocols), and what came behind it. BadGateway when that was not asked for."""
        ...

    def quiet(self) -> float:
        """Seconds by which the response may be silent for longer than `idle_timeout`."""
        ...

    def full(self) -> None:
        """The connection takes no more for now."""
        ...

    def drained(self) -> None: ...


class Connection(asyncio.Protocol):
    """Belongs to a pool; `reused` tells that it has served before, so that it may have gone stale unseen."""

    __slots__ = (
        "_buffer",
        "_chunked",
        "_heard",
        "_keep",
        "_last",
        "_method",
        "_pool",
        "_reading_paused",
        "_receiver",
        "_scanner",
        "_sent_all",
        "_transport",
        "_unsent",
        "deadline",
        "reused",
    )

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._receiver: Receiver | None = None
        self._buffer = b""
        self._scanner: Scanner | None = None
        self._last: ReplyHead | None = None  # of the response before
        self._keep = self._heard = self._sent_all = self._reading_paused = self._chunked = False
        self._method = self._unsent = b""
        self.reused = False
        self.deadline = _NEVER

    @property
    def closed(self) -> bool:
        return self._transport.is_closing()

    # the request

    def send(self, receiver: Receiver, method: bytes, message: bytes) -> None:
        """Sends a whole request."""
        self._receiver = receiver
        self._method = method
        self._heard = False
        self._sent_all = True
        self._expect(receiver.settings.timeout)
        self._transport.write(message)

    def _expect(self, seconds: float) -> None:
        """More must come by then."""
        pool = self._pool
        deadlines = pool.deadlines
        now = deadlines.now if seconds >= EXACT else deadlines.clock.monotonic()
        self.deadline = deadline = now + seconds
        if seconds < pool.soonest:
            pool.look = min(pool.look, deadline)

    def begin(self, receiver: Receiver, method: bytes, head: bytes, chunked: bool) -> None:
        """Begins a request; `write` and `finish` send its body. The head leaves with the first of it, as one write
        costs less than two, or with `flush`."""
        self._receiver = receiver
        self._method = method
        self._chunked = chunked
        self._heard = self._sent_all = False
        self._unsent = head

    def write(self, data: bytes) -> None:
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._unsent:
            data, self._unsent = self._unsent + data, b""
        self._transport.write(data)

    def flush(self) -> None:
        """Sends the head if it has not left: there is no body yet."""
        if self._unsent:
            head, self._unsent = self._unsent, b""
            self._transport.write(head)

    def finish(self) -> None:
        """The request is complete: from now on the upstream may be late."""
        self._sent_all = True
        if not self._answering and self._receiver is not None:
            self._expect(self._receiver.settings.timeout)
        last = self._unsent + b"0\r\n\r\n" if self._chunked else self._unsent
        self._unsent = b""
        if last:
            self._transport.write(last)

    @property
    def _answering(self) -> bool:
        """The response's body arrives. A part of its head, or an interim one, is no answer yet."""
        return self._scanner is not None

    def pause(self) -> None:
        """Stops reading the response; its sender is not late meanwhile."""
        if not self._reading_paused:
            self._reading_paused = True
            self.deadline = _NEVER
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._reading_paused and not self._transport.is_closing():
            self._reading_paused = False
            if self._receiver is not None:
                self._expect(self._receiver.settings.idle_timeout)
            self._transport.resume_reading()

    def retire(self) -> None:
        """It serves no other request after this one."""
        self._sent_all = False

    def hand_over(self) -> asyncio.Transport:
        """Its transport, for another protocol, which tells `connection_lost` here; it counts in the pool until then."""
        self._receiver = None
        self.deadline = _NEVER
        return self._transport

    def drop(self) -> None:
        """Ends the connection; its receiver hears nothing more."""
        self._receiver = None
        self._unsent = b""
        self._pool.forget(self)
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_BUFFER)

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:
            self.drop()  # bytes that nobody asked for
            return
        try:
            if self._scanner is None:
                self._head(receiver, data)
            else:
                self._expect(receiver.settings.idle_timeout)
                self._body(receiver, self._scanner, data)
        except Exception as error:
            self._broke(receiver, error)

    def _broke(self, receiver: Receiver, error: Exception) -> None:
        """The upstream's mistake, or ours while its response was handed on: who waits for that must hear, also when the
        connection already serves another."""
        if self._receiver is receiver:
            self.drop()
        if not isinstance(error, BadGateway):
            log.error("a response could not be handed on", exc_info=error)
            error = BadGateway("The upstream's response could not be handed on.")
        receiver.failed(error, False)

    def _head(self, receiver: Receiver, data: bytes) -> None:
        self._heard = True
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        head = frame_reply(data, self._last)
        while head is not None and head.status < 200:
            if head.status == 101:  # no interim response: nothing of it may reach the client before it is checked
                receiver.switched(self, head, data[head.end :])
                return
            if head.status != 100:
                receiver.informed(head)
            data = data[head.end :]
            head = frame_reply(data) if data else None
        if head is None:
            self._buffer = data
            return
        self._last = head if head.end <= REMEMBERED else None
        self._keep = head.keep
        if not self.reused:
            self._pool.learn(self, head.block)
        if len(data) - head.end == head.length and self._method != b"HEAD" and not head.bodyless:
            self._finished()
            receiver.whole(head, data[head.end :])
        else:
            self._goes_on(receiver, head, data[head.end :])

    def _goes_on(self, receiver: Receiver, head: ReplyHead, rest: bytes) -> None:
        """A response that did not come whole, or not counted."""
        self._expect(receiver.settings.idle_timeout)
        pieces: list[bytes] = []
        scanner = head.scanner(self._method)
        self._keep = self._keep and not isinstance(scanner, UntilClose)
        end = 0 if scanner is None else scanner.feed(rest, pieces)
        if 0 <= end < len(rest):
            raise BadGateway("The upstream sent more than its response.")
        if end >= 0 and scanner is not None:
            self._finished()
            receiver.whole(head, pieces[0] if len(pieces) == 1 else b"".join(pieces))
            return
        self._scanner = scanner
        receiver.replied(head, scanner is not None)
        self._hand_over(receiver, pieces, end >= 0)

    def _body(self, receiver: Receiver, scanner: Scanner, data: bytes) -> None:
        pieces: list[bytes] = []
        end = scanner.feed(data, pieces)
        if 0 <= end < len(data):
            self._keep = False
        self._hand_over(receiver, pieces, end >= 0)

    def _hand_over(self, receiver: Receiver, pieces: list[bytes], complete: bool) -> None:
        if pieces and self._receiver is receiver:
            receiver.data(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if complete and self._receiver is receiver:
            self._finished()
            receiver.ended()

    def _finished(self) -> None:
        """The response is complete: back to the pool first, as its receiver may want a connection at once."""
        self._receiver = None
        self._scanner = None
        if self._keep and self._sent_all and not self._transport.is_closing():
            if self._reading_paused:
                self.resume()
            self.deadline = _NEVER
            self.reused = True
            self._pool.release(self)
        else:
            self._pool.forget(self)
            self._transport.abort()

    def eof_received(self) -> None:
        """An unused one serves nobody any more: that it is lost is told a turn of the loop later."""
        if self._receiver is None:
            self._pool.forget(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.forget(self)
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        if exc is None and isinstance(self._scanner, UntilClose):
            receiver.ended()
        elif self._scanner is not None:
            receiver.failed(BadGateway("The upstream's response was cut."), False)
        else:
            receiver.failed(BadGateway("The upstream closed the connection without a response."), not self._heard)

    def _fail(self, problem: Problem, silent: bool) -> None:
        receiver = self._receiver
        self.drop()
        if receiver is not None:
            receiver.failed(problem, silent)

    def pause_writing(self) -> None:
        """An upstream that does not read is late as well."""
        if self._receiver is not None:
            if not self._answering:
                self._expect(self._receiver.settings.timeout)
            self._receiver.full()

    def resume_writing(self) -> None:
        if self._receiver is not None:
            if not self._answering and not self._sent_all:
                self.deadline = _NEVER
            self._receiver.drained()

    def check(self, now: float) -> None:
        """Called by the pool's sweep."""
        if now > self.deadline and (self._receiver is None or now > self.deadline + self._receiver.quiet()):
            self._fail(GatewayTimeout("The upstream took too long to answer."), silent=False)
