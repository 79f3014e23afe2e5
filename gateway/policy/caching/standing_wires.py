"""Wires that stand between a reply and its client: one that keeps a copy of what passes, one that sends something else,
and one that has no client at all."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core import chain as chains
from gateway.core.exchange import Edits, Exchange, Reply, Sink, Wait, Wire
from gateway.core.tunnel import End, Tunnel

Kept = Callable[["bytes | None", bool], None]  # the whole body; None: it was cut, or it is too large (True)


class Before:
    """In front of another wire; what is not told here goes on to that one."""

    __slots__ = ("_wire",)

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def buffer(self, exchange: Exchange, limit: int) -> Wait | None:
        return self._wire.buffer(exchange, limit)

    def pipe(self, exchange: Exchange, sink: Sink) -> None:
        self._wire.pipe(exchange, sink)

    def send(self, exchange: Exchange, reply: Reply) -> None:
        self._wire.send(exchange, reply)

    def inform(self, exchange: Exchange, status: int, block: bytes) -> None:
        self._wire.inform(exchange, status, block)

    def start(self, exchange: Exchange, reply: Reply, length: int | None) -> None:
        self._wire.start(exchange, reply, length)

    def write(self, exchange: Exchange, data: bytes) -> None:
        self._wire.write(exchange, data)

    def end(self, exchange: Exchange) -> None:
        self._wire.end(exchange)

    def abort(self, exchange: Exchange) -> None:
        self._wire.abort(exchange)

    def upgrade(self, exchange: Exchange, reply: Reply, tunnel: Tunnel, upstream: End) -> None:
        self._wire.upgrade(exchange, reply, tunnel, upstream)

    def pause_body(self) -> None:
        self._wire.pause_body()

    def resume_body(self) -> None:
        self._wire.resume_body()


class Copying(Before):
    """Passes a streamed reply on at once, and keeps up to `limit` bytes of it. One that is cut, on whatever side, is
    nothing that may be kept."""

    __slots__ = ("_kept", "_length", "_limit", "_pieces", "_size")

    def __init__(self, wire: Wire, limit: int, kept: Kept) -> None:
        super().__init__(wire)
        self._limit = limit
        self._kept: Kept | None = kept
        self._pieces: list[bytes] = []
        self._size = 0
        self._length: int | None = None

    def start(self, exchange: Exchange, reply: Reply, length: int | None) -> None:
        self._length = length
        if length is not None and length > self._limit:
            self._over(None, large=True)
        self._wire.start(exchange, reply, length)

    def write(self, exchange: Exchange, data: bytes) -> None:
        if self._kept is not None:
            self._size += len(data)
            self._pieces.append(data)
            if self._size > self._limit:
                self._over(None, large=True)
        self._wire.write(exchange, data)

    def end(self, exchange: Exchange) -> None:
        if self._kept is not None and not exchange.done:
            whole = self._length is None or self._length == self._size
            self._over(b"".join(self._pieces) if whole else None)
        self._wire.end(exchange)

    def abort(self, exchange: Exchange) -> None:
        self._over(None)
        self._wire.abort(exchange)

    def send(self, exchange: Exchange, reply: Reply) -> None:
        """An after put another reply in the place of the streamed one."""
        self._over(None)
        self._wire.send(exchange, reply)

    def _over(self, body: bytes | None, *, large: bool = False) -> None:
        kept, self._kept, self._pieces = self._kept, None, []
        if kept is not None:
            kept(body, large)


class Instead(Before):
    """Lets a streamed reply run out unheard, and sends what an after put in its place."""

    __slots__ = ("_reply",)

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._reply: Reply | None = None

    def start(self, exchange: Exchange, reply: Reply, length: int | None) -> None:
        self._reply = reply

    def write(self, exchange: Exchange, data: bytes) -> None:
        """Of no use."""

    def end(self, exchange: Exchange) -> None:
        reply, self._reply = self._reply, None
        if reply is not None and not exchange.done:
            self._wire.send(exchange, reply)

    def abort(self, exchange: Exchange) -> None:
        self.end(exchange)


class Nobody:
    """Of an exchange without a client, which fetches something anew. Runs `ended` once."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended: Callable[[], None] | None = ended

    def buffer(self, exchange: Exchange, limit: int) -> Wait | None:
        exchange.body = exchange.body or b""
        return None

    def pipe(self, exchange: Exchange, sink: Sink) -> None:
        exchange.sink = sink
        if exchange.body:
            sink.body(exchange.body)
        sink.body_end()

    def send(self, exchange: Exchange, reply: Reply) -> None:
        self.abort(exchange)

    def inform(self, exchange: Exchange, status: int, block: bytes) -> None:
        """Nobody listens."""

    def start(self, exchange: Exchange, reply: Reply, length: int | None) -> None:
        """Nobody listens."""

    def write(self, exchange: Exchange, data: bytes) -> None:
        exchange.sent += len(data)

    def end(self, exchange: Exchange) -> None:
        self.abort(exchange)

    def abort(self, exchange: Exchange) -> None:
        ended, self._ended = self._ended, None
        if ended is None:
            return
        chains.close(exchange)
        sink, exchange.sink = exchange.sink, None
        if sink is not None:
            sink.client_gone()
        ended()

    def upgrade(self, exchange: Exchange, reply: Reply, tunnel: Tunnel, upstream: End) -> None:
        self.abort(exchange)

    def pause_body(self) -> None:
        """There is no body that could wait."""

    def resume_body(self) -> None:
        """See `pause_body`."""


def in_background(exchange: Exchange, edits: Edits) -> Exchange:
    """The same request once more, from behind the step that stands where this exchange is, for nobody. The afters of
    the steps before do not run. `core.chain.run` starts it."""
    router = exchange.router
    wire = Nobody(router.leave if router is not None else _nothing)
    again = Exchange(exchange.id, exchange.head, wire, exchange.chain, exchange.started_at)
    again.params, again.identity, again.body = exchange.params, exchange.identity, exchange.body
    again.operation, again.parsed = exchange.operation, exchange.parsed
    again.notes = dict(exchange.notes or {})
    again.edited = edits
    again.skipped = exchange.skipped | ((1 << exchange.at) - 1)
    again.at = exchange.at + 1
    if router is not None:
        router.enter()
    return again


def _nothing() -> None:
    """No router is held."""
