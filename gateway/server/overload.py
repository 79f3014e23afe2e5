"""What a worker takes on: connections, exchanges in flight, and work that its loop can do in time.

A request costs one comparison: `live.running >= live.ceiling`. The ceiling is the number of exchanges allowed, and 0
while something is the matter; then `refuses` looks closer. Health checks and the node's own probes are never refused.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum
from statistics import median
from typing import Final

from gateway.core.exchange import Head
from gateway.core.live import LiveCell

LOOK: Final = 0.1  # seconds between two measurements of the loop
WINDOW: Final = 3  # measurements that must agree: one long turn, of a collection or a swap, is no overload
MOST_SHED: Final = 0.95  # so that there is always something to measure
SPARE: Final = 64  # connections above the bound, on which health checks and probes alone are served
SPARE_HEAD: Final = 2.0  # seconds in which a request must have arrived there
AWAY: Final = 1024  # connections that are told at the same time that there are too many; more are just closed
AWAY_END: Final = 0.5  # seconds that they have to read it
_PROBE: Final = b"x-penstock-probe"

_BODY: Final = (
    b'{"type":"urn:penstock:problem:overloaded","title":"The gateway has more to do than it can","status":503,'
    b'"code":"overloaded"}'
)
REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: penstock\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
BARE_REFUSAL: Final = REFUSAL[: -len(_BODY)]  # the answer to HEAD


class Standing(IntEnum):
    """Of a new connection."""

    USUAL = 0
    SPARE = 1  # above the bound: for health checks and probes
    AWAY = 2  # told that there are too many, and closed
    CLOSED = 3  # closed


class Overload:
    """`shed` counts refused requests, `turned_away` refused connections. Times are seconds."""

    def __init__(self, live: LiveCell) -> None:
        self.live = live
        self.most = live.limits.connections
        self.open = 0  # connections, of the usual and the spare ones
        self.shed = 0
        self.turned_away = 0
        self.turn = 0.0  # of the loop, the median of the last few
        self.longest = 0.0  # of all measured turns
        self.share = 0.0  # of new requests that are refused for the loop's sake
        self._credit = 0.0
        self._extra = self._away = 0
        self._turns: list[float] = []
        self._timer: asyncio.TimerHandle | None = None
        self._set()

    def _set(self) -> None:
        self.live.ceiling = 0 if self.share or self._extra else self.live.limits.exchanges

    # connections

    def connected(self) -> Standing:
        """Of a new connection."""
        if self.open < self.most:
            self.open += 1
            return Standing.USUAL
        if self._extra < SPARE:
            self.open += 1
            self._extra += 1
            self._set()
            return Standing.SPARE
        self.turned_away += 1
        if self._away >= AWAY:
            return Standing.CLOSED
        self._away += 1
        return Standing.AWAY

    def closed(self, standing: Standing) -> None:
        """It is gone."""
        if standing <= Standing.SPARE:
            self.open -= 1
        if standing is Standing.SPARE:
            self._extra -= 1
            self._set()
        elif standing is Standing.AWAY:
            self._away -= 1

    @property
    def full(self) -> bool:
        """The spare connections are taken, too."""
        return self._extra >= SPARE

    # requests

    def refuses(self, head: Head, spare: bool) -> bool:
        """Called when the ceiling is reached. `spare`: on a connection above the bound."""
        live = self.live
        if head.path in live.own_paths or self._is_probe(head):
            return False
        if spare or live.running >= live.limits.exchanges or self._hits():
            self.shed += 1
            return True
        return False

    def _is_probe(self, head: Head) -> bool:
        return head.method == b"OPTIONS" and bool(self.live.run) and head.get(_PROBE) == self.live.run

    def _hits(self) -> bool:
        """Spreads the share evenly over the requests."""
        self._credit += self.share
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True

    # the loop

    def start(self) -> None:
        due = self.live.clock.monotonic() + LOOK
        self._timer = asyncio.get_running_loop().call_later(LOOK, self._look, due)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, due: float) -> None:
        """A request that arrives waits as long as this timer did, and at most one turn of the loop: what is longer
        tells more, as a timer comes early in a long turn or late."""
        loop, now = asyncio.get_running_loop(), self.live.clock.monotonic
        late = now() - due
        loop.call_soon(lambda: loop.call_soon(self._turned, late, now()))
        self.start()

    def _turned(self, late: float, began: float) -> None:
        self.measured(max(late, self.live.clock.monotonic() - began))

    def measured(self, turn: float) -> None:
        """Takes a turn into account. The share that is admitted changes by as much as the turn is off its bound."""
        self.longest = max(self.longest, turn)
        self._turns.append(turn)
        if len(self._turns) < WINDOW:
            return
        self.turn, self._turns = median(self._turns), []
        bound = self.live.limits.lag
        if not bound or (not self.share and self.turn <= bound):
            return
        admitted = (1.0 - self.share) * min(bound / max(self.turn, 1e-9), 1.5)
        self.share = min(max(1.0 - admitted, 0.0), MOST_SHED)
        self._set()
