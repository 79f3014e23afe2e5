"""A circuit breaker: closed, open, half-open. Pure: time comes in as an argument."""

from __future__ import annotations

from math import ceil
from typing import Final

from gateway.relay.settings import Breaking

SLICES: Final = 10  # of the window in which a rate is counted

CLOSED: Final = 0
HALF_OPEN: Final = 1
OPEN: Final = 2


class Circuit:
    """Of one target, or of one upstream. Each request that it admits gets a token (`enter`) and gives it back once
    with its end; what began before the circuit changed says nothing about the state after it."""

    __slots__ = (
        "_calls",
        "_counts",
        "_failures",
        "_probing",
        "_settings",
        "_slice",
        "_until",
        "opened",
        "state",
        "token",
    )

    def __init__(self, settings: Breaking) -> None:
        self._settings = settings
        self.state = CLOSED
        self.token = 0
        self.opened = 0  # how often
        self._until = 0.0
        self._probing = False
        self._clear()

    def _clear(self) -> None:
        self._failures = 0  # in a row
        self._slice = 0
        self._calls = [0] * SLICES
        self._counts = [0] * SLICES  # failures

    def admits(self, now: float) -> bool:
        """Whether a request may go through. An open circuit whose time is over becomes half-open."""
        if self.state == OPEN and now >= self._until:
            self._change(HALF_OPEN)
        return self.state == CLOSED or (self.state == HALF_OPEN and not self._probing)

    def enter(self) -> int:
        """A request that was admitted goes through; half-open admits no other until it ended."""
        self._probing = self.state == HALF_OPEN
        return self.token

    def ended(self, token: int, failed: bool | None, now: float) -> bool:
        """A request's end; None: it says nothing about the target. True when the circuit changed by it."""
        if token != self.token:
            return False
        if self.state == HALF_OPEN:
            return self._probed(failed, now)
        if failed is not None and self.state == CLOSED and self._too_many(failed, now):
            self._open(now)
            return True
        return False

    def _probed(self, failed: bool | None, now: float) -> bool:
        self._probing = False
        if failed:
            self._open(now)
        elif failed is not None:
            self._change(CLOSED)
            self._clear()
        return True

    def _too_many(self, failed: bool, now: float) -> bool:
        settings = self._settings
        self._failures = self._failures + 1 if failed else 0
        if settings.failures and self._failures >= settings.failures:
            return True
        if not settings.rate:
            return False
        self._count(failed, now)
        calls = sum(self._calls)
        return calls >= settings.calls and sum(self._counts) >= settings.rate * calls

    def _count(self, failed: bool, now: float) -> None:
        """In the slice of the window that is now; those that left the window are emptied."""
        current = int(now * SLICES / self._settings.window)
        for passed in range(max(self._slice + 1, current - SLICES + 1), current + 1):
            self._calls[passed % SLICES] = self._counts[passed % SLICES] = 0
        self._slice = max(self._slice, current)
        self._calls[self._slice % SLICES] += 1
        self._counts[self._slice % SLICES] += failed

    def _open(self, now: float) -> None:
        self._change(OPEN)
        self._until = now + self._settings.open
        self.opened += 1

    def _change(self, state: int) -> None:
        self.state = state
        self.token += 1
        self._probing = False

    def retry_after(self, now: float) -> int:
        """Whole seconds until a request may be let through."""
        return max(1, ceil(self._until - now)) if self.state == OPEN else 1
