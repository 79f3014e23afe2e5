"""A copy of a request: run on a chain as the request itself is, with nobody who waits for its reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.core.chain import close, run
from gateway.core.errors import ContentTooLarge
from gateway.core.exchange import Edits, Exchange, Reply, Sink, Wait

if TYPE_CHECKING:
    from gateway.core.chain import Chain
    from gateway.core.exchange import Head
    from gateway.core.identity import Identity
    from gateway.core.live import Router
    from gateway.core.tunnel import End, Tunnel

Told = Callable[[int], None]


class Discarding:
    """The wire of a copy. `answered` hears once of its status, as soon as that is known; `ended` once, when all is
    over: the reply is whole, or was cut, or `seconds` have passed."""

    def __init__(self, answered: Told, ended: Callable[[], None]) -> None:
        self._answered = answered
        self._ended = ended
        self._exchange: Exchange | None = None
        self._body = b""
        self._notes: dict[object, Any] = {}
        self._timer: asyncio.TimerHandle | None = None

    def go(
        self,
        original: Exchange,
        head: Head,
        body: bytes,
        found: tuple[Chain, tuple[bytes, ...]],
        identity: Identity | None,
        seconds: float,
        edits: Edits | None = None,
    ) -> None:
        """Runs the copy. The router of the original holds what its chain needs, and is entered once more. `edits`: what
        steps changed already."""
        chain, params = found
        self._exchange = exchange = Exchange(original.id, head, self, chain, original.started_at)
        exchange.params, exchange.identity, exchange.edited = params, identity, edits
        self._body = body
        exchange.notes = self._notes
        exchange.router = router = original.router
        _enter(router)
        self._timer = asyncio.get_running_loop().call_later(seconds, self.cut)
        run(exchange)

    def has(self, note: object) -> bool:
        """Whether something of the copy's chain left that note."""
        return note in self._notes

    def cut(self) -> None:
        if self._exchange is not None:
            self._end(self._exchange)

    def buffer(self, exchange: Exchange, limit: int) -> Wait | None:
        if exchange.body is None:
            exchange.body = self._body
        if len(exchange.body) > limit:
            raise ContentTooLarge(f"The body may have at most {limit} bytes.")
        return None

    def pipe(self, exchange: Exchange, sink: Sink) -> None:
        exchange.sink = sink
        body = self._body if exchange.body is None else exchange.body
        if body:
            sink.body(body)
        if not exchange.done:
            sink.body_end()

    def send(self, exchange: Exchange, reply: Reply) -> None:
        self._answered(reply.status)
        self._end(exchange)

    def start(self, _exchange: Exchange, reply: Reply, _length: int | None) -> None:
        self._answered(reply.status)

    def end(self, exchange: Exchange) -> None:
        self._end(exchange)

    def abort(self, exchange: Exchange) -> None:
        self._end(exchange)

    def upgrade(self, exchange: Exchange, reply: Reply, _tunnel: Tunnel, _upstream: End) -> None:
        self._answered(reply.status)
        self._end(exchange)

    def inform(self, _exchange: Exchange, _status: int, _block: bytes) -> None:
        """Nobody waits for it."""

    def write(self, _exchange: Exchange, _data: bytes) -> None:
        """Thrown away."""

    def pause_body(self) -> None:
        """It is at hand as a whole."""

    def resume_body(self) -> None:
        """See `pause_body`."""

    def _end(self, exchange: Exchange) -> None:
        if exchange.done:
            return
        self._exchange = None
        if self._timer is not None:
            self._timer.cancel()
        close(exchange)
        sink, exchange.sink = exchange.sink, None
        if sink is not None:
            sink.client_gone()
        if exchange.router is not None:
            exchange.router.leave()
        self._ended()


def _enter(router: Router | None) -> None:
    if router is not None:
        router.enter()
