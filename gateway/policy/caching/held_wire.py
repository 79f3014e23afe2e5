"""A wire that keeps a reply before its client can know that it is complete: a retry then finds it."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core import chain as chains
from gateway.core.exchange import Exchange, Reply, Wire
from gateway.core.framing_send import Unsendable, bodyless
from gateway.policy.caching.standing_wires import Before

Keep = Callable[["bytes | None", bool, Callable[[], None]], None]
"""Of the whole body (None: it was cut, or it is too large, which is True), and what is called once when it is kept."""


class Held(Before):
    """Passes a streamed reply on at once, but for what ends it: its last piece where its length was told, the end of
    its last chunk, or all of a reply without a body. That waits until `keep` is done. Up to `limit` bytes are
    collected; a larger reply is not held."""

    __slots__ = ("_held", "_keep", "_length", "_limit", "_pieces", "_size")

    def __init__(self, wire: Wire, limit: int, keep: Keep) -> None:
        super().__init__(wire)
        self._limit = limit
        self._keep: Keep | None = keep
        self._pieces: list[bytes] = []
        self._size = 0
        self._length: int | None = None
        self._held: list[Callable[[], None]] = []

    def start(self, exchange: Exchange, reply: Reply, length: int | None) -> None:
        self._length = length
        if length is not None and length > self._limit:
            self._over(None, large=True)
        elif length == 0 or bodyless(exchange.head.method, reply.status):
            self._held.append(lambda: self._wire.start(exchange, reply, length))
            return
        self._wire.start(exchange, reply, length)

    def write(self, exchange: Exchange, data: bytes) -> None:
        if self._keep is not None:
            self._size += len(data)
            self._pieces.append(data)
            if self._size > self._limit:
                self._over(None, large=True)
            elif self._size == self._length:
                self._held.append(lambda: self._wire.write(exchange, data))
                return
        self._wire.write(exchange, data)

    def end(self, exchange: Exchange) -> None:
        whole = self._length is None or self._length == self._size or not self._size
        body = b"".join(self._pieces) if whole else None
        self._held.append(lambda: self._wire.end(exchange))
        self._over(body, then=lambda: self._let_go(exchange))

    def abort(self, exchange: Exchange) -> None:
        self._held = []
        self._over(None)
        self._wire.abort(exchange)

    def send(self, exchange: Exchange, reply: Reply) -> None:
        """An after put another reply in the place of the streamed one."""
        self._over(None)
        self._wire.send(exchange, reply)

    def _over(self, body: bytes | None, *, large: bool = False, then: Callable[[], None] | None = None) -> None:
        keep, self._keep, self._pieces = self._keep, None, []
        if keep is not None:
            keep(body, large, then or _nothing)
        elif then is not None:
            then()

    def _let_go(self, exchange: Exchange) -> None:
        held, self._held = self._held, []
        try:
            for step in held:
                if not exchange.done:  # its client may have left meanwhile
                    step()
        except Unsendable as error:
            exchange.wire = self._wire
            chains.send_instead(exchange, error)


class Until(Before):
    """Sends a whole reply once `go` was called."""

    __slots__ = ("_gone", "_waiting")

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._gone = False
        self._waiting: tuple[Exchange, Reply] | None = None

    def send(self, exchange: Exchange, reply: Reply) -> None:
        self._waiting = exchange, reply
        if self._gone:
            self._send()

    def go(self) -> None:
        self._gone = True
        if self._waiting is not None:
            self._send()

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting[0].done:  # its client may have left meanwhile
            waiting[0].wire = self._wire
            chains.send(*waiting)


class Gate:
    """What passes it waits until it is open."""

    __slots__ = ("_is_open", "_waiting")

    def __init__(self) -> None:
        self._is_open = False
        self._waiting: list[Callable[[], None]] = []

    def passes(self, then: Callable[[], None]) -> None:
        then() if self._is_open else self._waiting.append(then)

    def open(self) -> None:
        self._is_open = True
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()


def _nothing() -> None:
    """Nobody waits."""
