"""Where a request's body goes as it arrives: held until somebody wants it, collected for a step, or piped to a sink."""

from __future__ import annotations

from typing import Any

from gateway.core.errors import ContentTooLarge, Problem
from gateway.core.exchange import Exchange, Sink, Wait


class Intake:
    """The body of one request, already without its framing."""

    __slots__ = ("_exchange", "_held", "_limit", "_size", "_wait", "ended", "wanted")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._held: list[bytes] = []
        self._size = 0
        self._limit = 0
        self._wait: Wait | None = None
        self.ended = False
        self.wanted = False  # a step or a sink takes the body

    @property
    def held(self) -> int:
        """Bytes that nobody has taken."""
        return self._size

    def data(self, piece: bytes) -> None:
        self._exchange.received += len(piece)
        if self._exchange.sink is not None:
            self._exchange.sink.body(piece)
            return
        self._held.append(piece)
        self._size += len(piece)
        if self._wait is not None and self._size > self._limit:
            self._deliver(_too_large(self._limit))

    def end(self) -> None:
        self.ended = True
        if self._exchange.sink is not None:
            self._exchange.sink.body_end()
        elif self._wait is not None:
            self._collected()
            self._deliver(None)

    def buffer(self, limit: int) -> Wait | None:
        """Collects the body into `exchange.body`; ContentTooLarge beyond `limit` bytes. None: it is there."""
        exchange = self._exchange
        if max(exchange.head.length, self._size, len(exchange.body or b"")) > limit:
            raise _too_large(limit)
        if exchange.body is not None:
            return None
        if self.ended:
            self._collected()
            return None
        self._limit = limit
        self.wanted = True
        self._wait = Wait(exchange, _go_on)
        return self._wait

    def pipe(self, sink: Sink) -> None:
        """Gives the sink what is there, and all that follows."""
        self._exchange.sink = sink
        self.wanted = True
        there = self._exchange.body
        if there is None:
            there = b"".join(self._held)
            self._forget()
        if there:
            sink.body(there)
        if self.ended and not self._exchange.done:
            sink.body_end()

    def _collected(self) -> None:
        self._exchange.body = b"".join(self._held)
        self._forget()

    def _forget(self) -> None:
        self._held = []
        self._size = 0

    def _deliver(self, value: Problem | None) -> None:
        wait, self._wait = self._wait, None
        if wait is not None:
            wait.deliver(value)


def _too_large(limit: int) -> ContentTooLarge:
    return ContentTooLarge(f"The body may have at most {limit} bytes.")


def _go_on(_exchange: Exchange, value: Any) -> None:
    if isinstance(value, Problem):
        raise value
