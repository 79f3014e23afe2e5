"""One copy of a request for `mirror`: from the moment it is picked until its own answer came, or was not worth waiting
for. It holds its place among those in flight as long, so that bodies that are held are bounded, too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.core.clock import Clock
from gateway.core.exchange import Exchange, Watching
from gateway.policy.mirroring.mark import Marker
from gateway.policy.mirroring.onward import Onward
from gateway.telemetry.mirrors import Mirrors

log: Final = logging.getLogger("gateway")

Send = Callable[["Copy", Exchange, bytes], None]


@dataclass(eq=False)
class Mirroring:
    """What the copies of one step share."""

    to: str
    marker: Marker
    onward: Onward
    send: Send
    timeout: float
    max_body: int
    clock: Clock
    counts: Mirrors
    in_flight: int = 0
    running: set[object] = field(default_factory=set)  # tasks and wires, which nobody else holds

    def drop(self, exchange: Exchange, why: str) -> None:
        self.counts.of(exchange.chain.facts, self.to).dropped[why] += 1

    def tap(self, exchange: Exchange) -> Watching | None:
        """Looks at the body of a request that was picked, as it goes to the upstream."""
        copy: Copy | None = exchange.notes.get(self) if exchange.notes is not None else None
        return None if copy is None or exchange.body is not None else copy.watch(exchange)


class Copy:
    """`answered` and the end of the body may come in either order; the copy goes when both are there."""

    __slots__ = ("_body", "_seconds", "_size", "_status", "_taken", "_whole", "facts", "mirroring")

    def __init__(self, mirroring: Mirroring, exchange: Exchange) -> None:
        self.mirroring = mirroring
        self.facts = exchange.chain.facts
        self._body: list[bytes] = []
        self._size = 0
        self._whole = not exchange.head.length
        self._status = 0
        self._seconds = 0.0
        self._taken = True
        mirroring.in_flight += 1
        exchange.note(mirroring, self)
        exchange.on_close(self._closed)

    def watch(self, exchange: Exchange) -> Watching:
        return _Body(self, exchange)

    def take(self, exchange: Exchange, data: bytes, last: bool) -> None:
        self._size += len(data)
        if self._size > self.mirroring.max_body:
            self._body = []
        elif data:
            self._body.append(data)
        if last:
            self._whole = True
            self._go(exchange)

    def answered(self, exchange: Exchange, status: int) -> None:
        """The original's reply begins. What a step answered or refused never came to the backend, and is not copied."""
        if exchange.at < len(exchange.chain.steps) - 1:
            self.release()
            return
        self.facts = exchange.chain.facts
        self._status = status
        self._seconds = self.mirroring.clock.monotonic() - (exchange.upstream_at or exchange.started_at)
        self._go(exchange)

    def _go(self, exchange: Exchange) -> None:
        body = exchange.body
        if not self._taken or not self._status or not (self._whole or body is not None):
            return
        self._taken = False  # from now on the copy ends by itself
        if max(self._size, len(body or b"")) > self.mirroring.max_body:
            self.dropped("too_large")
            return
        whole = b"".join(self._body) if body is None else body
        self._body = []
        try:
            self.mirroring.send(self, exchange, whole)
        except Exception as error:
            log.warning("a copy of the request %s could not be made: %r", exchange.id, error)
            self.dropped("failed")

    def _closed(self, _exchange: Exchange) -> None:
        """The exchange is over, and its request never came whole, or no reply began."""
        if self._taken:
            self.dropped("incomplete")

    def compared(self, status: int, seconds: float) -> None:
        self._found.compared(self._status, status, (self._seconds, seconds))

    def dropped(self, why: str) -> None:
        self._found.dropped[why] += 1
        self.release()

    def release(self) -> None:
        self._taken = False
        self._body = []
        self.mirroring.in_flight -= 1

    @property
    def _found(self) -> Any:
        return self.mirroring.counts.of(self.facts, self.mirroring.to)


class _Body(Watching):
    __slots__ = ("_copy", "_exchange")

    def __init__(self, copy: Copy, exchange: Exchange) -> None:
        self._copy, self._exchange = copy, exchange

    def __call__(self, data: bytes, last: bool) -> bytes:
        self._copy.take(self._exchange, data, last)
        return data
