"""One sweep for all deadlines of a process, instead of a timer per request. Precision: a tenth of a second."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from gateway.core.clock import Clock

log: Final = logging.getLogger("gateway")

PERIOD: Final = 0.1  # seconds
QUIET: Final = 10.0  # seconds between two lines of the log about deadlines that fail


class Timed(Protocol):
    """A connection. It compares its deadlines with `now` and acts on those that passed."""

    def check(self, now: float) -> None: ...


class Deadlines:
    """The swept connections and a coarse clock. The timer runs while there are any."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._timed: set[Timed] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_until = 0.0
        self.now = clock.monotonic()  # seconds, as of the last sweep

    def add(self, timed: Timed) -> None:
        self._timed.add(timed)
        if self._timer is None:
            self.now = self.clock.monotonic()
            self._timer = asyncio.get_running_loop().call_later(PERIOD, self._sweep)

    def discard(self, timed: Timed) -> None:
        self._timed.discard(timed)
        if not self._timed and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PERIOD, self._sweep)
        self.now = now = self.clock.monotonic()
        for timed in tuple(self._timed):
            try:
                timed.check(now)
            except Exception:  # the deadlines of all others hang on this loop
                self._failed(now)

    def _failed(self, now: float) -> None:
        """It is swept again and again: one line for a while tells enough."""
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET
            log.exception("a deadline could not be acted on")
