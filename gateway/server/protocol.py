"""The gateway's own HTTP/1.1 protocol class, given to uvicorn as `http=`: uvicorn's constructor, `shutdown()`, and
`server_state.connections` are the contract with it.

A connection serves its requests one at a time, in order. `phase` says what the connection's bytes mean now; the
exchange that runs talks back through the `Wire` methods. Bytes of later requests wait in `_ahead`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final, cast

from gateway.core.chain import fail, run
from gateway.core.edge import begin, finish, refused
from gateway.core.errors import BadRequest, Problem, RequestTimeout
from gateway.core.exchange import Exchange, Head, Peer, Reply, Sink, Wait
from gateway.core.framing import Framed, HeadReader
from gateway.core.framing_body import Chunked, Counted, Scanner
from gateway.core.framing_send import bodyless, reply_head
from gateway.core.intake import Intake
from gateway.server.protocol_shared import Shared

HELD: Final = 65_536  # bytes of a body nobody wants yet, or of later requests, before reading is paused
DRAINED: Final = 65_536  # rest of a body that is read and dropped to keep the connection
LINGER: Final = 2.0  # seconds that a refused client has to read its refusal
LINGERED: Final = 4_194_304  # bytes that are read and dropped meanwhile
WRITE_BUFFER: Final = 262_144
_NEVER: Final = float("inf")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_NOT_LIVE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


# What a connection's bytes mean now; plain numbers, as they are compared for every read.
HEAD: Final = 0  # between messages, or within a head
BODY: Final = 1  # an exchange runs, its body is arriving
BUSY: Final = 2  # an exchange runs, its body is complete
DRAIN: Final = 3  # answered; the rest of the body is dropped, then the next request
LINGERING: Final = 4  # answered and closing; what still arrives is dropped
CLOSED: Final = 5


class GatewayProtocol(asyncio.Protocol):
    """One client connection. Implements `core.exchange.Wire`."""

    __slots__ = (
        "_ahead",
        "_close_delimited",
        "_closing",
        "_connections",
        "_dropped",
        "_exchange",
        "_expects",
        "_intake",
        "_left",
        "_mode",
        "_peer",
        "_phase",
        "_read_by",
        "_read_paused",
        "_reader",
        "_scanner",
        "_server_state",
        "_shared",
        "_state",
        "_taking",
        "_transport",
        "_trusted",
        "_unsent",
        "_write_by",
        "_write_paused",
    )

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._state = app_state
        self._server_state = server_state
        self._connections = server_state.connections
        self._phase = HEAD
        self._ahead = b""
        self._exchange: Exchange | None = None
        self._intake: Intake | None = None
        self._scanner: Scanner | None = None
        self._taking = self._closing = self._expects = self._read_paused = self._write_paused = False
        self._dropped = 0
        self._read_by = self._write_by = _NEVER
        self._unsent = 0
        self._mode = _WHOLE
        self._left = 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        shared = Shared.of(self._state)
        if shared is None:
            self._transport.write(_NOT_LIVE)
            self._phase = CLOSED
            self._transport.close()
            return
        self._shared = shared
        self._transport.set_write_buffer_limits(WRITE_BUFFER)
        self._reader = HeadReader(shared.live.limits)
        self._peer = _peer(self._transport)
        self._trusted = self._peer.address in shared.trust
        shared.deadlines.add(self)
        self._read_by = shared.deadlines.now + shared.live.limits.head_timeout

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

    def eof_received(self) -> None:
        """The client sends no more, which is how most of them go away: the connection closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._phase = CLOSED
        if hasattr(self, "_shared"):
            self._shared.deadlines.discard(self)
        exchange = self._exchange
        if exchange is not None and not exchange.done:
            if not exchange.started:
                exchange.status = 499
            self._gone(exchange)
        self._exchange = None
        self._ahead = b""

    def _gone(self, exchange: Exchange) -> None:
        if self._intake is not None and self._intake.sink is not None:
            self._intake.sink.client_gone()
        finish(self._shared.live, exchange)

    def pause_writing(self) -> None:
        self._write_paused = True
        self._unsent = self._transport.get_write_buffer_size()
        self._write_by = self._shared.deadlines.now + self._shared.live.limits.body_timeout
        if self._exchange is not None and self._intake is not None and self._intake.sink is not None:
            self._intake.sink.pause()

    def resume_writing(self) -> None:
        self._write_paused = False
        self._write_by = _NEVER
        if self._exchange is not None and self._intake is not None and self._intake.sink is not None:
            self._intake.sink.resume()
        elif self._phase == HEAD and not self._taking:
            self._resume_reading()
            self._take_ahead()

    def shutdown(self) -> None:
        """uvicorn stops: an idle connection closes, the others after their reply."""
        self._closing = True
        if self._phase == HEAD and self._exchange is None:
            self._hang_up()

    # requests

    def _take_ahead(self) -> None:
        if self._ahead:
            data, self._ahead = self._ahead, b""
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Serves what arrived, request after request: a loop, as replies are sent from within it."""
        self._taking = True
        try:
            while data:
                framed = self._reader.feed(data)
                if framed is None:
                    self._await_head()
                    break
                self._begin(framed, self._reader.data[framed.end :])
                if self._phase != HEAD or self._write_paused:
                    return
                data, self._ahead = self._ahead, b""
        except Problem as problem:
            self._refuse(problem)
        finally:
            self._taking = False
        if self._phase == HEAD and not self._write_paused:
            self._resume_reading()

    def _await_head(self) -> None:
        """The deadline of a head counts from its first byte and is not moved by later ones."""
        limit = self._shared.deadlines.now + self._shared.live.limits.head_timeout
        if self._reader.partial and self._read_by > limit:
            self._read_by = limit

    def _begin(self, framed: Framed, rest: bytes) -> None:
        head, live = framed.head, self._shared.live
        head.peer = self._shared.trust.believe(self._peer, head) if self._trusted else self._peer
        self._closing = self._closing or framed.close or live.draining
        self._expects = framed.expects
        self._read_by = _NEVER
        self._exchange = exchange = begin(live, head, self)
        if head.length == 0:
            self._phase = BUSY
            self._intake = self._scanner = None
            self._ahead = rest
        else:
            self._phase = BODY
            self._intake = Intake(exchange)
            self._scanner = _scanner(head, live.limits.extensions)
            if rest:
                self._body(rest)
        if not exchange.done:
            run(exchange)

    def _refuse(self, problem: Problem) -> None:
        """What arrives cannot be read as a message: answer, and close."""
        self._closing = True
        self._phase = BODY
        self._intake = self._scanner = None
        self._exchange = refused(self._shared.live, self)
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
            self._read_by = _NEVER
        if exchange is None or intake is None:
            if end >= 0:
                self._next()
            return
        self._deliver(exchange, intake, pieces, end >= 0)

    def _deliver(self, exchange: Exchange, intake: Intake, pieces: list[bytes], complete: bool) -> None:
        if complete:
            self._phase = BUSY
        elif intake.wanted:
            self._read_by = self._shared.deadlines.now + self._shared.live.limits.body_timeout
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
        self._read_by = _NEVER
        self._pause_reading()

    def resume_body(self) -> None:
        if self._phase == BODY:
            self._read_by = self._shared.deadlines.now + self._shared.live.limits.body_timeout
        self._resume_reading()

    def _pause_reading(self) -> None:
        if not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_paused and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()

    # Wire: the reply

    def send(self, exchange: Exchange, reply: Reply) -> None:
        body = reply.body or b""
        head = self._head(exchange, reply, len(body))
        if self._mode == _NOTHING:
            body = b""
        exchange.sent = len(body)
        self._transport.write(head + body)
        self._finish(exchange)

    def start(self, exchange: Exchange, reply: Reply, length: int | None) -> None:
        self._transport.write(self._head(exchange, reply, length))

    def write(self, exchange: Exchange, data: bytes) -> None:
        if exchange.done or not data:
            return
        if self._mode == _CHUNKS:
            data = b"%x\r\n%b\r\n" % (size := len(data), data)
        elif self._mode == _NOTHING:
            return
        else:
            size = len(data)
            if self._mode == _WHOLE:
                self._left -= size
                if self._left < 0:
                    self.abort(exchange)
                    return
        exchange.sent += size
        self._transport.write(data)

    def end(self, exchange: Exchange) -> None:
        if exchange.done:
            return
        if self._mode == _WHOLE and self._left:
            self.abort(exchange)
            return
        if self._mode == _CHUNKS:
            self._transport.write(b"0\r\n\r\n")
        self._finish(exchange)

    def abort(self, exchange: Exchange) -> None:
        if exchange.done:
            return
        finish(self._shared.live, exchange)
        self._exchange = None
        self._phase = CLOSED
        if self._mode == _UNTIL_CLOSE or self._write_paused:
            _reset(self._transport)
        else:
            self._write_by = self._shared.deadlines.now + LINGER
            self._transport.close()

    def _head(self, exchange: Exchange, reply: Reply, length: int | None) -> bytes:
        """The reply's head. Decides how its body ends and whether the connection goes on."""
        if self._phase == BODY and not self._drainable():
            self._closing = True
        head = exchange.head
        if bodyless(head.method, reply.status):
            mode = _NOTHING
            framing = b"" if length is None or reply.status < 200 or reply.status == 204 else _content_length(length)
            if reply.status == 304 and not length:
                framing = b""
        elif length is not None:
            mode, framing = _WHOLE, _content_length(length)
        elif head.http10:
            mode, framing = _UNTIL_CLOSE, b""
        else:
            mode, framing = _CHUNKS, b"\r\nTransfer-Encoding: chunked"
        close = b"\r\nConnection: close" if self._closing else b""
        common = self._shared.common() if b"\r\ndate:" not in reply.block.lower() else b"\r\nServer: penstock"
        data = reply_head(reply, b"%b%b%b\r\nX-Request-Id: %b" % (framing, common, close, exchange.id.encode()))
        self._mode, self._left = mode, length or 0
        return data

    def _drainable(self) -> bool:
        """The rest of an unwanted body is small and will come."""
        scanner = self._scanner
        return scanner is not None and not self._expects and 0 <= scanner.left <= DRAINED

    def _finish(self, exchange: Exchange) -> None:
        finish(self._shared.live, exchange)
        self._exchange = self._intake = None
        self._server_state.total_requests += 1
        if self._closing:
            self._hang_up()
        elif self._phase == BODY:
            self._phase = DRAIN
            self._read_by = self._shared.deadlines.now + LINGER
            self._resume_reading()
        else:
            self._next()

    def _next(self) -> None:
        self._phase = HEAD
        self._scanner = None
        self._read_by = self._shared.deadlines.now + self._shared.live.limits.keep_alive
        if self._taking or self._write_paused:
            return
        self._resume_reading()
        self._take_ahead()

    def _hang_up(self) -> None:
        """Closes. A client that still sends would take the close for a reset and lose the reply: it is read for a
        while, unheard (RFC 9112 section 9.6)."""
        self._write_by = self._shared.deadlines.now + LINGER
        self._read_by = _NEVER
        self._ahead = b""
        if self._phase == BODY and self._transport.can_write_eof():
            self._phase = LINGERING
            self._resume_reading()
            self._transport.write_eof()
        else:
            self._phase = CLOSED
            self._transport.close()

    # deadlines

    def check(self, now: float) -> None:
        """Called by the sweep."""
        if now > self._write_by:
            self._stalled(now)
        elif now > self._read_by:
            self._read_by = _NEVER
            self._late()

    def _stalled(self, now: float) -> None:
        """The client reads nothing; one that reads slowly goes on."""
        unsent = self._transport.get_write_buffer_size()
        if self._phase != LINGERING and 0 < unsent < self._unsent:
            self._unsent = unsent
            self._write_by = now + self._shared.live.limits.body_timeout
            return
        self._write_by = _NEVER
        self._transport.abort()

    def _late(self) -> None:
        if self._phase == BODY and self._exchange is not None:
            self._closing = True
            self._scanner = None
            fail(self._exchange, RequestTimeout("The request's body stopped arriving."))
        elif self._phase == HEAD and self._reader.partial:
            self._refuse(RequestTimeout("The request's head did not arrive in time."))
        elif self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._hang_up()


_WHOLE, _CHUNKS, _UNTIL_CLOSE, _NOTHING = range(4)  # how a reply's body ends


def _content_length(length: int) -> bytes:
    return b"\r\nContent-Length: %d" % length


def _scanner(head: Head, extensions: int) -> Scanner:
    return Chunked(BadRequest, extensions) if head.length < 0 else Counted(head.length)


def _peer(transport: asyncio.Transport) -> Peer:
    name = transport.get_extra_info("peername")
    address, port = (name[0], name[1]) if isinstance(name, tuple) and len(name) >= 2 else ("", 0)
    if address.lower().startswith("::ffff:"):
        address = address[7:]
    tls = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert() if tls is not None else None
    return Peer(address, port, "http" if tls is None else "https", address, certificate or None)


def _reset(transport: asyncio.Transport) -> None:
    """Ends a connection by a reset, as its plain end would look like the reply's end."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
