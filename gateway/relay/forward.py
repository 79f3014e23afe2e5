"""The relay: an exchange's request streamed to an upstream, the response streamed back, flow control both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.core import chain as chains
from gateway.core.bodies import ReplyLimit, Streamed, limit_of
from gateway.core.errors import BadGateway, Problem
from gateway.core.exchange import Exchange, Reply, Tap, Watching
from gateway.core.framing_reply import ReplyHead
from gateway.core.leaving import Leaving
from gateway.core.outgoing import reads
from gateway.core.trace import sampled
from gateway.relay import hygiene
from gateway.relay.connection import Connection
from gateway.relay.event_stream import EventStream, is_event_stream
from gateway.relay.rotation import Rotation
from gateway.relay.sending import Sending

REPLAY: Final = 65_536  # bytes of a streamed body that are kept for another attempt

Pieces = Callable[[bytes, bool], bytes]


class Forwarding(Sending):
    """One exchange's last step. Sink of the request's body, receiver of the response."""

    __slots__ = (
        "_collected",
        "_done_request",
        "_exchange",
        "_kept",
        "_piped",
        "_reply",
        "_size",
        "_tap",
        "_target",
        "_up",
    )

    def __init__(self, exchange: Exchange, rotation: Rotation, target: bytes) -> None:
        trace = exchange.trace
        Sending.__init__(self, rotation, exchange.head.method, None if trace is None else sampled(trace))
        self._exchange = exchange
        self._target = target
        taps = exchange.chain.request_taps
        self._up = tapped(exchange, taps) if taps else None
        self._tap: Pieces | None = None
        self._reply: Reply | None = None
        self._collected: list[bytes] | None = None
        self._size = 0
        self._piped = self._done_request = False
        self._kept: list[bytes] | None = []  # None: too much to send again
        if exchange.chain.collect is not None and reads(exchange):
            hygiene.ask_whole(exchange.edits)

    def go(self) -> None:
        Sending.go(self)
        if self._asking:  # no connection is free: until there is one, nobody else tells of the client's end
            self._exchange.on_close(self._closed)

    def _closed(self, _exchange: Exchange) -> None:
        self.withdraw()

    # the request

    def transmit(self, connection: Connection, target_authority: bytes, prefix: bytes) -> None:
        exchange = self._exchange
        exchange.upstream_at = self._at = self._rotation.monotonic()
        exchange.upstream = self._pool.label
        exchange.attempts += 1
        try:
            if self._trace is not None and self._span is not None:
                self._trace.inject(exchange, self._span)
            length = self._length()
            head = hygiene.request_head(exchange, prefix + self._target, target_authority, length)
            if length:
                self._transmit(connection, head, length < 0)
                return
            exchange.sink = self
            self._done_request = True
            connection.send(self, self._method, head)
        except Exception as error:  # what a step left on the exchange is no request: the pool must not suffer
            self.withdraw()
            chains.fail(exchange, error)

    def _transmit(self, connection: Connection, head: bytes, chunked: bool) -> None:
        """A request with a body."""
        connection.begin(self, self._method, head, chunked)
        if not self._piped:
            self._piped = True
            self._exchange.wire.pipe(self._exchange, self)
        else:
            self._repeat(connection)
        connection.flush()

    def _repeat(self, connection: Connection) -> None:
        """What the attempt before had sent of the body."""
        for piece in self._kept or ():
            connection.write(piece)
        if self._done_request:
            connection.finish()
        else:
            self._exchange.wire.resume_body()

    def _length(self) -> int:
        """Of the request's body as it goes out."""
        exchange = self._exchange
        length = exchange.head.length if exchange.body is None else len(exchange.body)
        return -1 if length and self._up is not None and not isinstance(self._up, Watching) else length

    def replayable(self) -> bool:
        return self._kept is not None and not self._exchange.started

    def body(self, data: bytes) -> None:
        data = self._through(self._up, data, False)
        if data:
            self._send(data)

    def body_end(self) -> None:
        rest = self._through(self._up, b"", True) if self._length() else b""
        if rest:
            self._send(rest)
        self._done_request = True
        if self._connection is not None:
            self._connection.finish()

    def _through(self, tap: Pieces | None, data: bytes, last: bool) -> bytes:
        """A tap's output; a tap that refuses or fails ends the exchange."""
        if tap is None or self._exchange.done:
            return data
        try:
            return tap(data, last)
        except Exception as error:
            chains.fail(self._exchange, error)
            return b""

    def _send(self, data: bytes) -> None:
        if self._kept is not None:
            self._size += len(data)
            self._kept.append(data)
            if self._size > REPLAY and self._exchange.body is None:
                self._kept = None
        if self._connection is not None:
            self._connection.write(data)

    def failed(self, problem: Problem, silent: bool) -> None:
        if not self._done_request and not self._exchange.done:
            self._exchange.wire.pause_body()  # until another attempt takes it
        super().failed(problem, silent)

    def client_gone(self) -> None:
        self._tap = None  # an event stream's knows this object, which would stand in a circle
        self.withdraw()

    def leave(self, why: Leaving) -> None:
        exchange = self._exchange
        if isinstance(self._tap, EventStream):
            self._tap.leave()
        elif exchange.started and why is Leaving.REVOKED:
            exchange.wire.abort(exchange)
        else:
            exchange.note(Leaving, why)  # the reply may yet turn out to be an event stream

    def quiet(self) -> float:
        settings = self.settings
        return max(0.0, settings.stream_idle - settings.idle_timeout) if isinstance(self._tap, EventStream) else 0.0

    def pause(self) -> None:
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        if self._connection is not None:
            self._connection.resume()

    # the response

    def whole(self, head: ReplyHead, body: bytes) -> None:
        exchange = self._exchange
        chain = exchange.chain
        self._connection = None
        reply = Reply(head.status, None, body, hygiene.reply_block(head))
        watched = bool(chain.response_taps) and self._looked_at(reply, len(body))
        if watched or chain.collect is not None:
            reply.body = None
            self._begin(reply, head, True)
            self.data(body)
            self.ended()
            return
        self._heard_of(head.status)
        exchange.sink = None
        chains.answer(exchange, reply)

    def informed(self, head: ReplyHead) -> None:
        self._exchange.wire.inform(self._exchange, head.status, hygiene.reply_block(head))

    def replied(self, head: ReplyHead, has_body: bool) -> None:
        reply = Reply(head.status, body=None, block=hygiene.reply_block(head))
        if has_body and self._exchange.chain.response_taps:
            self._looked_at(reply, head.length)
        self._begin(reply, head, has_body)

    def _looked_at(self, reply: Reply, length: int | None) -> bool:
        """Whether a tap wants to see the bytes of this reply's body."""
        exchange = self._exchange
        exchange.note(Streamed, (reply, length))
        self._tap = tapped(exchange, exchange.chain.response_taps)
        return self._tap is not None

    def _begin(self, reply: Reply, head: ReplyHead, has_body: bool) -> None:
        self._kept = None
        exchange = self._exchange
        self._heard_of(head.status)
        chain = exchange.chain
        events = has_body and is_event_stream(head.block)
        if has_body and chain.collect is not None and reads(exchange):
            if refusal := self._not_whole(head, events):
                self.withdraw()
                self.give_up(refusal)
                return
            self._collected, self._reply, self._size = [], reply, 0
            return
        if events:
            self._tap = EventStream(head.block, self._tap, self._end, self._cut)
        chains.start(exchange, reply, head.length if self._tap is None else None)
        if isinstance(self._tap, EventStream) and exchange.notes is not None and Leaving in exchange.notes:
            self._tap.leave()

    def _not_whole(self, head: ReplyHead, events: bool) -> BadGateway | None:
        """Why a step that needs the whole response cannot have it."""
        if events:
            return BadGateway("A step needs the whole response, and an event stream has no end.")
        if head.status == 206:
            return BadGateway("A step needs the whole response, and the upstream sent a part that nobody asked for.")
        if (head.length or 0) > self._most():
            return self._too_large()
        return None

    def _most(self) -> int:
        """Bytes of a response that are collected."""
        return limit_of(self._exchange, ReplyLimit, self._exchange.chain.collect or 0)

    def _too_large(self) -> BadGateway:
        return BadGateway(f"A step needs the whole response, and it is larger than {self._most()} bytes.")

    def data(self, data: bytes) -> None:
        self._pass_on(self._through(self._tap, data, False))

    def _pass_on(self, data: bytes) -> None:
        if not data or self._exchange.done:
            return
        if self._collected is None:
            self._exchange.wire.write(self._exchange, data)
            return
        self._collected.append(data)
        self._size += len(data)
        if self._size > self._most():
            self.withdraw()
            self.give_up(self._too_large())

    def ended(self) -> None:
        self._connection = None
        exchange = self._exchange
        if exchange.done:
            return
        if self._tap is not None:
            self._pass_on(self._through(self._tap, b"", True))
            self._tap = None
        if not self._exchange.done:  # a tap may have ended it
            exchange.sink = None
            self._complete(exchange)

    def _end(self) -> None:
        """Early, though at a good place: the upstream's connection is dropped."""
        if not self._exchange.done:
            self._exchange.wire.end(self._exchange)

    def _cut(self) -> None:
        self._exchange.wire.abort(self._exchange)

    def _complete(self, exchange: Exchange) -> None:
        if self._collected is None:
            exchange.wire.end(exchange)
        elif self._reply is not None:
            if not self._done_request:
                exchange.wire.pause_body()  # nobody takes it, and the reply may wait for a step
            self._reply.body = b"".join(self._collected)
            chains.answer(exchange, self._reply)

    def give_up(self, problem: Problem) -> None:
        self._exchange.sink = None
        chains.fail(self._exchange, problem)

    def full(self) -> None:
        if not self._done_request:
            self._exchange.wire.pause_body()

    def drained(self) -> None:
        if not self._done_request:
            self._exchange.wire.resume_body()


def tapped(exchange: Exchange, taps: tuple[Tap, ...]) -> Pieces | None:
    """The taps as one function, each fed by the one before it; None without any."""
    if len(taps) == 1:
        return taps[0](exchange)
    opened = [pieces for tap in taps if (pieces := tap(exchange)) is not None]
    if not opened:
        return None
    if len(opened) == 1:
        return opened[0]

    def through(data: bytes, last: bool) -> bytes:
        for tap in opened:
            data = tap(data, last)
        return data

    return _Watched(through) if all(isinstance(tap, Watching) for tap in opened) else through


class _Watched(Watching):
    """Several that watch."""

    __slots__ = ("_through",)

    def __init__(self, through: Pieces) -> None:
        self._through = through

    def __call__(self, data: bytes, last: bool) -> bytes:
        return self._through(data, last)
