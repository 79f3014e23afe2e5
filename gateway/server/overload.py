"""What a worker takes on: connections, exchanges in flight, and work that its loop can do in time.

A request costs one comparison: `live.running >= live.ceiling`. The ceiling is the number of exchanges allowed, and 0
while something is the matter; then `refuses` looks closer. A loop that has more to do than it can takes long for a
turn, in which its timer is overdue. From then on requests are refused that it comes to when it is too late already, and
those above the number that it got done in time lately. Health checks and the node's own probes are never refused.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from gateway.core.exchange import Head
from gateway.core.live import LiveCell

LOOK: Final = 0.1  # seconds between two looks at the loop
SOON: Final = 0.005  # at least so many while it lags
FIRST: Final = 64.0  # may be begun at least, or four times what was, after the first: it may be the only one
LEAST: Final = 40.0  # a second that may be begun however late: a starved machine with little to do refuses nobody
GROWTH: Final = 1.2  # of what may be begun, from one look to the next that is in time
CALM: Final = 1.0  # seconds without lag until it counts as well again
SPARE: Final = 64  # connections above the bound, on which health checks and probes alone are served
SPARE_HEAD: Final = 2.0  # seconds in which a request must have arrived there
AWAY: Final = 1024  # connections that are told at the same time that there are too many; more are just closed
AWAY_END: Final = 0.5  # seconds that they have to read it
CROWDED: Final = (0.7, 0.8, 0.9)  # shares of the exchanges allowed, from which the pressure is 1, 2, 3
TAKEN: Final = (0.5, 0.8)  # shares of the room of a loop that lags, from which it is 2, 3
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
        self.lag = 0.0  # the longest that the loop was late, since somebody took it
        self.alert = False  # it was late a moment ago
        self.served: Callable[[], int] = lambda: 0  # requests so far
        self._served = self._admitted = 0  # at the last look; since then
        self._room = float("inf")  # requests that may be begun between two looks
        self._calm_at = float("-inf")
        self._due = float("inf")
        self._extra = self._away = 0
        self._timer: asyncio.TimerHandle | None = None
        self._set()

    def _set(self) -> None:
        self.live.ceiling = 0 if self.alert or self._extra else self.live.limits.exchanges

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

    def is_full(self, pending: int) -> bool:
        """The spare connections are taken, too, or would be by those whose handshake runs."""
        return self._extra >= SPARE or self.open + pending >= self.most + SPARE

    # requests

    def refuses(self, head: Head, spare: bool) -> bool:
        """Called when the ceiling is reached. `spare`: on a connection above the bound."""
        live = self.live
        if head.path in live.own_paths or self._is_probe(head):
            return False
        if spare or live.running >= live.limits.exchanges or (self.alert and self._has_no_room()):
            self.shed += 1
            return True
        self._admitted += 1
        return False

    def _has_no_room(self) -> bool:
        if self._admitted < self._least:
            return False
        return self._admitted >= self._room or self._late > self.live.limits.lag

    def _is_probe(self, head: Head) -> bool:
        return head.method == b"OPTIONS" and bool(self.live.run) and head.get(_PROBE) == self.live.run

    def pressure(self) -> int:
        """`core.pressure.Pressure`: by the exchanges in flight, and while the loop lags by how much of what it gets
        done in time is taken already."""
        live = self.live
        level = bisect_right(CROWDED, live.running / live.limits.exchanges)
        if self.alert:
            level = max(level, 1 + bisect_right(TAKEN, self._admitted / max(self._room, self._least)))
        return level

    # the loop

    def start(self) -> None:
        self._next(LOOK)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _next(self, seconds: float) -> None:
        self._due = self.live.clock.monotonic() + seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    @property
    def pace(self) -> float:
        """Seconds between two looks."""
        return min(LOOK, max(self.live.limits.lag / 2, SOON)) if self.alert else LOOK

    @property
    def _least(self) -> float:
        """Requests that may be begun between two looks in any case."""
        return max(1.0, LEAST * self.pace)

    @property
    def _late(self) -> float:
        """How long the loop has not come round to its timer: a request that is begun now has waited about as long."""
        return self.live.clock.monotonic() - self._due

    def _look(self) -> None:
        self.looked(self._late)
        self._next(self.pace)

    def looked(self, late: float) -> None:
        """Takes a look into account: from the first that was late until a while after the last, requests are looked at
        one by one."""
        self.lag = max(self.lag, late)
        bound, now = self.live.limits.lag, self.live.clock.monotonic()
        served = self.served()
        begun = self._admitted if self.alert else served - self._served
        if bound and late > bound:
            self._calm_at = now + CALM
            fitting = max(self._least, min(self._room, begun) * bound / late)
            self._room = fitting if self.alert else max(FIRST, 4.0 * begun)
        else:
            self._room = self._room * GROWTH + 1
        self._served, self._admitted = served, 0
        alert = now < self._calm_at
        if alert != self.alert:
            self.alert = alert
            self._set()
        if not alert:
            self._room = float("inf")
