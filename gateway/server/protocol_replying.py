"""How a client connection is answered: the `Wire` methods of the reply, and what becomes of the connection behind
it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Final

from gateway.core.edge import finish
from gateway.core.exchange import OWN_LINES, Exchange, Reply
from gateway.core.framing_body import Scanner
from gateway.core.framing_send import interim_head
from gateway.core.headers import dropper
from gateway.core.intake import Intake
from gateway.core.live import LiveCell
from gateway.core.tunnel import End, Tunnel
from gateway.server.protocol_connection import NEVER, Connection
from gateway.server.protocol_reply import Overrun, ReplyFraming
from gateway.server.protocol_shared import SERVER
from gateway.server.protocol_tunnel import ClientEnd

DRAINED: Final = 65_536  # rest of a body that is read and dropped to keep the connection
LINGER: Final = 2.0  # seconds that a refused client has to read its refusal
ENDED: Final = 1.0  # seconds that a reply may take to begin, or to go on, for a client that has ended its side

# What a connection's bytes mean now; plain numbers, as they are compared for every read.
HEAD: Final = 0  # between messages, or within a head
BODY: Final = 1  # an exchange runs, its body is arriving
BUSY: Final = 2  # an exchange runs, its body is complete
DRAIN: Final = 3  # answered; the rest of the body is dropped, then the next request
LINGERING: Final = 4  # answered and closing; what still arrives is dropped
CLOSED: Final = 5


class Replying(Connection):
    """`_ahead`: bytes of later requests; `_taking`: requests are being taken from it, by a loop that goes on;
    `_closing`: the next reply is the last one; `_ended`: the client sends no more; `_expects`: it waits for 100
    (Continue), None before its first request."""

    __slots__ = (
        "_ahead",
        "_closing",
        "_ended",
        "_exchange",
        "_expects",
        "_framing",
        "_intake",
        "_live",
        "_phase",
        "_scanner",
        "_taking",
    )

    def __init__(self, server_state: Any, app_state: dict[str, Any]) -> None:
        super().__init__(server_state, app_state)
        self._live: LiveCell
        self._phase = CLOSED
        self._ahead = b""
        self._exchange: Exchange | None = None
        self._intake: Intake | None = None
        self._scanner: Scanner | None = None
        self._framing = ReplyFraming()
        self._taking = self._closing = self._ended = False
        self._expects: bool | None = None

    @abstractmethod
    def _take_ahead(self) -> None:
        """Serves what has arrived of later requests."""

    # Wire: the reply

    def send(self, exchange: Exchange, reply: Reply) -> None:
        body = reply.body or b""
        head = self._head(exchange, reply, len(body))
        if self._framing.empty:
            body = b""
        exchange.sent = len(body)
        self._transport.write(head + body)
        self._finish(exchange)

    def inform(self, exchange: Exchange, status: int, block: bytes) -> None:
        if not exchange.head.http10:
            self._transport.write(interim_head(status, block))

    def start(self, exchange: Exchange, reply: Reply, length: int | None) -> None:
        self._transport.write(self._head(exchange, reply, length))

    def write(self, exchange: Exchange, data: bytes) -> None:
        if exchange.done or not data:
            return
        try:
            framed = self._framing.piece(data)
        except Overrun:
            self.abort(exchange)
            return
        if framed:
            exchange.sent += len(data)
            self._transport.write(framed)
        if self._ended:
            self._read_by = self._in(ENDED)

    def end(self, exchange: Exchange) -> None:
        if exchange.done:
            return
        last = self._framing.last()
        if last is None:
            self.abort(exchange)
            return
        if last:
            self._transport.write(last)
        self._finish(exchange)

    def upgrade(self, exchange: Exchange, reply: Reply, tunnel: Tunnel, upstream: End) -> None:
        assert self._shared is not None
        self._closing = False  # it does not say so: the connection goes on
        self._transport.write(self._head(exchange, reply, None))
        early, self._ahead = self._ahead, b""
        self._exchange = self._intake = None
        self._phase = CLOSED
        ClientEnd(tunnel, self, exchange, self._shared).begin(upstream, early, self._ended)

    def abort(self, exchange: Exchange) -> None:
        if exchange.done:
            return
        finish(self._live, exchange)
        self._exchange = None
        self._phase = CLOSED
        if self._framing.ends_with_connection or self._write_paused:
            self._reset()
        else:
            self._write_by = self._in(LINGER)
            self._transport.close()

    def _head(self, exchange: Exchange, reply: Reply, length: int | None) -> bytes:
        """The reply's head. Decides whether the connection goes on."""
        if self._phase == BODY and not self._drainable():
            self._closing = True
        assert self._shared is not None
        block = reply.block
        dated = b"\r\nDate:" in block or b"\r\ndate:" in block.lower()
        lines = SERVER if dated else self._shared.common()
        if self._closing:
            lines += b"\r\nConnection: close"
        lines += b"\r\nX-Request-Id: " + exchange.id.encode()
        if exchange.notes is not None and OWN_LINES in exchange.notes:
            lines = dropper(exchange.notes[OWN_LINES])(lines)
        return self._framing.head(exchange.head, reply, length, lines)

    def _drainable(self) -> bool:
        """The rest of an unwanted body is small and will come."""
        scanner = self._scanner
        return scanner is not None and not self._expects and 0 <= scanner.left <= DRAINED

    def _finish(self, exchange: Exchange) -> None:
        finish(self._live, exchange)
        self._exchange = self._intake = None
        self._server_state.total_requests += 1
        if self._closing or (self._ended and not self._ahead):
            self._hang_up()
        elif self._phase == BODY:
            self._phase = DRAIN
            self._read_by = self._in(LINGER)
            self._resume_reading()
        else:
            self._next()

    def _next(self) -> None:
        self._phase = HEAD
        self._scanner = None
        self._read_by = self._in(self._live.limits.keep_alive)
        if self._taking or self._write_paused:
            return
        if self._read_paused:
            self._resume_reading()
        if self._ahead:
            self._take_ahead()

    def _hang_up(self) -> None:
        """Closes. A client that still sends would take the close for a reset and lose the reply: it is read for a
        while, unheard (RFC 9112 section 9.6). One that reads slowly still gets all of its reply."""
        self._unsent = self._transport.get_write_buffer_size()
        self._write_by = self._in(self._patience if self._unsent else LINGER)
        self._read_by = NEVER
        sends = not self._ended and (self._phase == BODY or self._ahead or self._unread())
        self._ahead = b""
        if sends and self._transport.can_write_eof():
            self._phase = LINGERING
            self._resume_reading()
            self._transport.write_eof()
        else:
            self._phase = CLOSED
            self._transport.close()

    def _give_up(self, exchange: Exchange) -> None:
        """Its client has most likely gone: nothing runs on for it."""
        if not exchange.started:
            exchange.status = 499
        self.abort(exchange)
