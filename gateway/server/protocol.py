"""The gateway's own HTTP/1.1 protocol class, given to uvicorn as `http=`: uvicorn's constructor, `shutdown()`, and
`server_state.connections` are the contract with it.

A connection serves its requests one at a time, in order. `phase` says what the connection's bytes mean now; the
exchange that runs talks back through the `Wire` methods. Bytes of later requests wait in `_ahead`. Requests are read
here; `protocol_replying` answers them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from gateway.core.chain import fail, run
from gateway.core.edge import begin, finish, refused
from gateway.core.errors import BadRequest, Problem, RequestTimeout, Unauthorized
from gateway.core.exchange import Exchange, Head, Sink, Wait
from gateway.core.framing import Framed, HeadReader
from gateway.core.framing_body import Chunked, Counted, Scanner
from gateway.core.ids import named_id
from gateway.core.intake import Intake
from gateway.core.leaving import Leaving
from gateway.server.overload import BARE_REFUSAL, REFUSAL
from gateway.server.protocol_connection import NEVER
from gateway.server.protocol_replying import BODY, BUSY, CLOSED, DRAIN, ENDED, HEAD, LINGERING, Replying
from gateway.server.protocol_shared import Shared

log: Final = logging.getLogger("gateway")
HELD: Final = 65_536  # bytes of a body nobody wants yet, or of later requests, before reading is paused
TURN: Final = 16  # pipelined requests that are served before other connections have their turn
FIRST: Final = 1.0  # seconds that the first request of a connection has when the worker ends
LINGERED: Final = 4_194_304  # bytes that are read and dropped of a client that has been refused
UNUSED: Final = 1.0  # seconds for which a connection has not been used when it closes because the worker ends
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class GatewayProtocol(Replying):
    """One client connection. Implements `core.exchange.Wire`."""

    __slots__ = ("_dropped", "_leaving", "_reader")

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(server_state, app_state)
        self._leaving = False
        self._dropped = 0

    # asyncio.Protocol and uvicorn

    def _opened(self, shared: Shared) -> None:
        self._live = shared.live
        self._reader = HeadReader(shared.live.limits)
        self._phase = HEAD
        self._closing = self._standing > 0

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase == HEAD:
            if self._write_paused or self._taking:
                self._later(data)
            else:
                self._take(data)
        elif phase in (BODY, DRAIN):
            self._body(data)
        elif phase == BUSY:
            self._later(data)
        elif phase == LINGERING:
            self._dropped += len(data)
            if self._dropped > LINGERED:
                self._transport.abort()

    def eof_received(self) -> bool:
        """The client sends no more. What it has sent whole is answered if that begins soon, as a client may end its
        side and read on (RFC 9112 section 9.6); most that end are gone, and nothing may run on for them. False: the
        connection closes."""
        if not self._transport.can_write_eof() or not (self._phase == BUSY or (self._phase == HEAD and self._ahead)):
            return False
        self._ended = True
        self._read_by = self._in(ENDED)
        return True

    def _lost(self) -> None:
        self._phase = CLOSED
        exchange = self._exchange
        if exchange is not None and not exchange.done:
            if not exchange.started:
                exchange.status = 499
            finish(self._live, exchange)
        self._exchange = self._intake = None
        self._ahead = b""

    @property
    def _sink(self) -> Sink | None:
        return None if self._exchange is None else self._exchange.sink

    def pause_writing(self) -> None:
        super().pause_writing()
        if (sink := self._sink) is not None:
            sink.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if (sink := self._sink) is not None:
            sink.resume()
        elif self._phase == HEAD and not self._taking:
            self._resume_reading()
            self._take_ahead()

    def shutdown(self) -> None:
        """uvicorn stops: the next reply closes the connection. One whose client asks again and again is not closed
        before that, as its next request may be under way, nor is a new one; one that is not used closes. What has no
        end is ended."""
        self._closing = True
        if self._phase == HEAD and not (self._taking or self._ahead or self._reader.partial):
            used = self._read_by - self._live.limits.keep_alive
            self._read_by = min(self._read_by, self._in(FIRST) if self._expects is None else used + UNUSED)
            self._leaving = True
            self.check(self._in(0.0))
        elif (sink := self._sink) is not None:
            sink.leave(Leaving.DRAINING)

    @property
    def exchange(self) -> Exchange | None:
        return self._exchange

    def end_early(self, why: Leaving) -> None:
        """The identity holds no more: what goes on is ended; a request that waits for its reply will have it."""
        if self._exchange is None or self._exchange.done:
            return
        if self._exchange.started:
            if (sink := self._sink) is not None:
                sink.leave(why)
        elif self._phase == BODY:
            fail(self._exchange, Unauthorized("The credential stopped being valid while the request was arriving."))

    # requests

    def _take_ahead(self) -> None:
        if self._ahead:
            data, self._ahead = self._ahead, b""
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Serves what arrived, request after request: a loop, as replies are sent from within it."""
        self._taking, served, rest = True, 0, False
        try:
            while data:
                framed = self._reader.feed(data)
                if framed is None:
                    self._await_head()
                    break
                self._begin(framed, self._reader.data)
                if self._phase != HEAD or self._write_paused:
                    return
                served += 1
                if rest := served == TURN and bool(self._ahead):
                    self._take_later()
                    return
                data, self._ahead = self._ahead, b""
        except Problem as problem:
            self._refuse(problem)
        except Exception:  # a mistake of ours, perhaps met on another connection's turn: nobody must wait for ever
            log.exception("a connection is given up")
            self._hang_up()
        finally:
            self._taking = rest
            if self._ended and self._exchange is not None:
                self._read_by = self._in(ENDED)
        if self._phase == HEAD and self._ended:
            self._hang_up()  # no more will come of the head that has begun
        elif self._phase == HEAD and not self._write_paused:
            self._resume_reading()

    def _take_later(self) -> None:
        """One client's pipeline must not hold the loop: what follows waits, as if it had not been read."""
        self._later(b"")
        asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._taking = False
        if self._phase == HEAD and not self._write_paused:
            self._take_ahead()

    def _await_head(self) -> None:
        """The deadline of a head counts from its first byte and is not moved by later ones."""
        limit = self._in(self._live.limits.head_timeout)
        if self._reader.partial and (self._leaving or self._read_by > limit):
            self._leaving = False
            self._read_by = limit

    def _begin(self, framed: Framed, data: bytes) -> None:
        head, decided, end = framed
        live, shared = self._live, self._shared
        assert shared is not None
        if live.running >= live.ceiling and shared.overload.refuses(head, self._standing > 0):
            self._shed(head, len(data) > end)
            return
        head.peer = shared.trust.believe(self._peer, head) if self._trusted else self._peer
        if decided.close or live.draining:
            self._closing = True
        self._expects = decided.expects
        self._read_by = NEVER
        self._exchange = exchange = begin(live, head, self)
        if self._trusted:
            exchange.id = named_id(head) or exchange.id
        self._reader.data = b""
        if head.length == 0:
            self._phase = BUSY
            self._intake = self._scanner = None
            self._ahead = data[end:]
        else:
            self._phase = BODY
            self._intake = Intake(exchange)
            self._scanner = _scanner(head, live.limits.extensions)
            if len(data) > end:
                self._body(data[end:])
        if not exchange.done:
            run(exchange)

    def _shed(self, head: Head, rest: bool) -> None:
        """Too much to do: the cheapest answer there is, before routing, and no exchange of it."""
        self._transport.write(BARE_REFUSAL if head.method == b"HEAD" else REFUSAL)
        self._phase = BODY if head.length or rest else BUSY  # what is unread must not turn the answer into a reset
        self._hang_up()

    def _refuse(self, problem: Problem) -> None:
        """What arrives cannot be read as a message: answer, and close."""
        self._closing = True
        self._phase = BODY
        self._intake = self._scanner = None
        self._exchange = refused(self._live, self, self._reader.method)
        fail(self._exchange, problem)

    def _body(self, data: bytes) -> None:
        assert self._scanner is not None
        pieces: list[bytes] = []
        try:
            end = self._scanner.feed(data, pieces)
        except Problem as problem:
            self._bad_body(problem)
            return
        exchange, intake = self._exchange, self._intake
        if end >= 0:
            self._ahead = data[end:]
            self._read_by = NEVER
        if exchange is None or intake is None:
            if end >= 0:
                self._next()
                if self._closing:  # it was told to shut down meanwhile
                    self.shutdown()
            return
        self._deliver(exchange, intake, pieces, end >= 0)

    def _deliver(self, exchange: Exchange, intake: Intake, pieces: list[bytes], complete: bool) -> None:
        if complete:
            self._phase = BUSY
        elif intake.wanted:
            self._body_came(exchange.received)
        if pieces:
            intake.data(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if exchange.done:
            return
        if complete:
            intake.end()
        elif not intake.wanted and intake.held > HELD:
            self._pause_reading()

    def _bad_body(self, problem: Problem) -> None:
        """The request's framing broke: nothing behind it can be read as a message."""
        self._closing = True
        self._scanner = None
        if self._exchange is None:
            self._hang_up()
        else:
            self._phase = BODY
            fail(self._exchange, problem)

    def _later(self, data: bytes) -> None:
        self._ahead += data
        if len(self._ahead) > HELD:
            self._pause_reading()

    # Wire: the request's body

    def buffer(self, exchange: Exchange, limit: int) -> Wait | None:
        if self._intake is None:
            exchange.body = exchange.body or b""
            return None
        wait = self._intake.buffer(limit)
        if wait is not None:
            self._want_body()
        return wait

    def pipe(self, exchange: Exchange, sink: Sink) -> None:
        if self._intake is None:
            self._intake = Intake(exchange)
            self._intake.ended = True
        self._want_body()
        self._intake.pipe(sink)

    def _want_body(self) -> None:
        if self._phase != BODY:
            return
        if self._expects:
            self._expects = False
            self._transport.write(_CONTINUE)
        self.resume_body()

    def pause_body(self) -> None:
        self._read_by = NEVER
        self._pause_reading()

    def resume_body(self) -> None:
        if self._phase == BODY and self._exchange is not None:
            self._expect_body(self._exchange.received)
        self._resume_reading()

    def _late(self) -> None:
        if self._ended and self._write_paused:
            self._read_by = self._in(ENDED)  # it reads on, slowly: that has its own deadline
        elif self._ended and self._exchange is not None:
            self._give_up(self._exchange)
        elif self._phase == BODY and self._exchange is not None:
            self._closing = True
            self._scanner = None
            fail(self._exchange, RequestTimeout("The request's body stopped arriving."))
        elif self._phase == HEAD and self._reader.partial:
            self._refuse(RequestTimeout("The request's head did not arrive in time."))
        elif self._transport.get_write_buffer_size() and not self._leaving:
            self._transport.abort()
        elif self._phase == HEAD and self._unread():
            self._read_by = self._in(self._live.limits.head_timeout)
        else:
            self._hang_up()


def _scanner(head: Head, extensions: int) -> Scanner:
    return Chunked(BadRequest, extensions) if head.length < 0 else Counted(head.length)
