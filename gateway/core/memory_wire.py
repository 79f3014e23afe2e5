"""The in-memory twin of the protocol class: the same framing rules, chain and endings, without a socket.

    answer = await MemoryWire.request(live, "POST", "/orders", [(b"Content-Type", b"application/json")], b"{}")

`open` gives the incremental form: `feed`, `end_body`, `head`, `read`, `disconnect`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Iterable, Sequence
from dataclasses import dataclass

from gateway.core import headers as blocks
from gateway.core.chain import run
from gateway.core.edge import begin, finish, refuse
from gateway.core.errors import Problem
from gateway.core.exchange import OWN_LINES, Exchange, Peer, Reply, Sink, Wait
from gateway.core.framing import Framed, frame
from gateway.core.framing_send import bodyless, reply_head
from gateway.core.intake import Intake
from gateway.core.live import LiveCell
from gateway.core.memory_tunnel import MemoryEnd
from gateway.core.tunnel import End, Tunnel

Fields = Sequence[tuple[bytes, bytes]]
Body = bytes | Iterable[bytes] | AsyncIterable[bytes]
PEER = Peer("127.0.0.1", 0, "http", "127.0.0.1")
_HIGH = 65_536  # bytes of reply that wait to be read before the sink is paused


class Cut(ConnectionError):
    """The reply was cut before its end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply. Header names are in lower case."""

    status: int
    headers: blocks.Fields
    body: bytes

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


class MemoryWire:
    """One request and its reply. Make it with `open` or `request`."""

    def __init__(self, live: LiveCell) -> None:
        self._live = live
        self._exchange: Exchange | None = None
        self._intake: Intake | None = None
        self._bodyless = False
        self._left: int | None = None
        self._status: tuple[int, blocks.Fields] | None = None
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._changed = asyncio.Event()
        self._over = False
        self._cut = False
        self.interim: list[tuple[int, blocks.Fields]] = []  # replies (1xx) before the final one
        self._tunnel_end: MemoryEnd | None = None
        self.continued = False  # 100 (Continue) would have been sent
        self.reading = True  # False while the sink has paused the request's body

    @classmethod
    async def request(
        cls, live: LiveCell, method: str, target: str, headers: Fields = (), body: Body = b"", *, peer: Peer = PEER
    ) -> Answer:
        """A whole request; the whole reply. `body` may come in pieces. Raises Cut."""
        if isinstance(body, bytes):
            wire = cls.open(live, method, target, headers, len(body), peer=peer, first=body)
        else:
            wire = cls.open(live, method, target, headers, -1, peer=peer)
            await wire._send_pieces(body)
        status, fields = await wire.head()
        return Answer(status, fields, await wire.rest())

    @classmethod
    def open(
        cls,
        live: LiveCell,
        method: str,
        target: str,
        headers: Fields = (),
        length: int = 0,
        *,
        peer: Peer = PEER,
        first: bytes = b"",
    ) -> MemoryWire:
        """Begins a request whose body has `length` bytes (-1: chunked); `first` came along with the head."""
        wire = cls(live)
        try:
            framed = frame(_head_bytes(method, target, headers, length), live.limits)
        except Problem as problem:
            refuse(live, wire, problem)
            return wire
        assert framed is not None
        wire._begin(framed, peer, first)
        return wire

    def _begin(self, framed: Framed, peer: Peer, first: bytes) -> None:
        head, _, _ = framed
        head.peer = peer
        self._exchange = exchange = begin(self._live, head, self)
        if head.length:
            self._intake = Intake(exchange)
            self.feed(first)
            if first and len(first) == head.length:
                self.end_body()
        run(exchange)

    async def _send_pieces(self, body: Iterable[bytes] | AsyncIterable[bytes]) -> None:
        if isinstance(body, AsyncIterable):
            async for piece in body:
                self.feed(piece)
        else:
            for piece in body:
                self.feed(piece)
        self.end_body()

    # the client's side

    def feed(self, data: bytes) -> None:
        """Request body bytes arrive, or those of a tunnel."""
        if self._tunnel_end is not None:
            self._tunnel_end.data_received(data)
        elif self._intake is not None and not self._over and data:
            self._intake.data(data)

    def end_body(self) -> None:
        """The request's body is complete."""
        if self._intake is not None and not self._over:
            self._intake.end()

    def disconnect(self) -> None:
        """The client goes away."""
        if self._tunnel_end is not None:
            self._tunnel_end.connection_lost(None)
        exchange = self._exchange
        if exchange is not None and not exchange.done:
            self._ended(exchange, cut=True)

    async def head(self) -> tuple[int, blocks.Fields]:
        """Status and fields, once the reply began. Raises Cut."""
        while self._status is None:
            await self._wait()
        return self._status

    async def read(self) -> bytes:
        """The next piece of the reply's body; empty at its end. Raises Cut."""
        while not self._pieces:
            if self._over and not self._cut:
                return b""
            await self._wait()
        piece = self._pieces.popleft()
        self._unread -= len(piece)
        if self._unread < _HIGH and (sink := self._sink) is not None:
            sink.resume()
        if self._unread < _HIGH and self._tunnel_end is not None:
            self._tunnel_end.flow(full=False)
        return piece

    async def rest(self) -> bytes:
        """All that is still to come of the reply's body."""
        pieces = []
        while piece := await self.read():
            pieces.append(piece)
        return b"".join(pieces)

    async def _wait(self) -> None:
        if self._cut:
            raise Cut("the reply was cut before its end")
        self._changed.clear()
        await self._changed.wait()

    # Wire

    def buffer(self, exchange: Exchange, limit: int) -> Wait | None:
        if self._intake is None:
            exchange.body = exchange.body or b""
            return None
        self.continued = True
        return self._intake.buffer(limit)

    def pipe(self, exchange: Exchange, sink: Sink) -> None:
        if self._intake is None:
            self._intake = Intake(exchange)
            self._intake.ended = True
        self.continued = True
        self._intake.pipe(sink)

    def send(self, exchange: Exchange, reply: Reply) -> None:
        body = reply.body or b""
        self._open_reply(exchange, reply, len(body))
        self._put(exchange, body)
        self._ended(exchange)

    def inform(self, exchange: Exchange, status: int, block: bytes) -> None:
        if not exchange.head.http10:
            self.interim.append((status, blocks.parse(block)))

    def start(self, exchange: Exchange, reply: Reply, length: int | None) -> None:
        self._open_reply(exchange, reply, length)

    def write(self, exchange: Exchange, data: bytes) -> None:
        if self._over:
            return
        if self._left is not None and not self._bodyless:
            self._left -= len(data)
            if self._left < 0:
                self.abort(exchange)
                return
        self._put(exchange, data)
        if self._unread > _HIGH and (sink := self._sink) is not None:
            sink.pause()

    def end(self, exchange: Exchange) -> None:
        self._ended(exchange, cut=bool(self._left) and not self._bodyless)

    def abort(self, exchange: Exchange) -> None:
        self._ended(exchange, cut=True)

    def upgrade(self, exchange: Exchange, reply: Reply, tunnel: Tunnel, upstream: End) -> None:
        self._open_reply(exchange, reply, None)
        self._bodyless = False

        def put(data: bytes) -> None:
            self._put(exchange, data)
            if self._unread > _HIGH and self._tunnel_end is not None:
                self._tunnel_end.flow(full=True)

        def ended(received: int, _passed: int) -> None:
            exchange.received += received
            self._ended(exchange)

        self._tunnel_end = client = MemoryEnd(tunnel, put, ended)
        self._intake = None
        tunnel.join(client, upstream, self._live.clock.monotonic(), lambda: None)

    def pause_body(self) -> None:
        self.reading = False

    def resume_body(self) -> None:
        self.reading = True

    @property
    def _sink(self) -> Sink | None:
        return None if self._exchange is None or self._over else self._exchange.sink

    def _open_reply(self, exchange: Exchange, reply: Reply, length: int | None) -> None:
        self._left = length
        self._bodyless = bodyless(exchange.head.method, reply.status)
        lines = blocks.line(b"X-Request-Id", exchange.id.encode())
        if exchange.notes is not None and OWN_LINES in exchange.notes:
            lines = blocks.dropper(exchange.notes[OWN_LINES])(lines)
        raw = reply_head(reply, lines)
        fields = blocks.parse(raw[raw.index(b"\r\n") : -4])
        if length is not None and (reply.status not in (204, 304)):
            fields.append((b"content-length", b"%d" % length))
        self._status = (reply.status, fields)
        self._changed.set()

    def _put(self, exchange: Exchange, data: bytes) -> None:
        if data and not self._bodyless:
            exchange.sent += len(data)
            self._unread += len(data)
            self._pieces.append(data)
            self._changed.set()

    def _ended(self, exchange: Exchange, cut: bool = False) -> None:
        if not self._over:
            self._over = True
            self._cut = cut
            self._changed.set()
            finish(self._live, exchange)


def _head_bytes(method: str, target: str, fields: Fields, length: int) -> bytes:
    names = {name.lower() for name, _ in fields}
    framing: blocks.Fields = [] if b"host" in names else [(b"Host", b"localhost")]
    if length < 0:
        framing.append((b"Transfer-Encoding", b"chunked"))
    elif length:
        framing.append((b"Content-Length", b"%d" % length))
    line = f"{method} {target} HTTP/1.1".encode()
    return line + blocks.block([*framing, *fields]) + b"\r\n\r\n"
