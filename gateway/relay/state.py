"""What is known of one target: whether it is well, left out, or just coming back. Pure: time comes in."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from gateway.relay.circuit import CLOSED, OPEN, Circuit
from gateway.relay.settings import Ejection, Health

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
FIRST_SHARE: Final = 0.1  # of its weight, with which a target's slow start begins
AVOID: Final = (10.0, 20.0, 40.0, 60.0)  # seconds in which a target is left out that could not be connected, in a row


class State:
    """Of one address of one target. `share` is its weight as it counts now."""

    __slots__ = (
        "_back_at",
        "_level",
        "_row",
        "attempts",
        "avoided_until",
        "buckets",
        "checks",
        "circuit",
        "ejected_until",
        "ejections",
        "failed",
        "failed_checks",
        "failures",
        "healthy",
        "missed",
        "seconds",
        "share",
        "since",
        "turn",
        "weight",
    )  # fmt: skip

    def __init__(self, weight: float) -> None:
        self.weight = self.share = weight
        self.turn = 0.0  # in weighted rotation
        self.circuit: Circuit | None = None
        self.avoided_until = self.ejected_until = 0.0
        self.since: float | None = None  # its slow start began
        self.healthy = True
        self.attempts = self.failed = self.ejections = self.checks = self.failed_checks = 0
        self.failures = 0  # in a row
        self.buckets = [0] * (len(BOUNDS) + 1)  # answers by their time, not cumulative
        self.seconds = 0.0  # of these in all
        self.missed = 0  # times it was left out since it was connected last
        self._level = 0  # how often ejected of late
        self._back_at = 0.0
        self._row = 0  # checks with one result

    def took(self, seconds: float) -> None:
        """From a request's head to the head of its answer."""
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    # what leaves it out

    @property
    def ejected(self) -> bool:
        return self.ejected_until > 0.0

    @property
    def pending(self) -> bool:
        """Something changes with time alone."""
        return bool(
            self.avoided_until
            or self.ejected_until
            or self.since is not None
            or (self.circuit is not None and self.circuit.state == OPEN)
        )

    @property
    def usable(self) -> bool:
        return self.healthy and not self.avoided_until and not self.ejected_until

    @property
    def admits(self) -> bool:
        """No circuit holds requests back."""
        return self.circuit is None or self.circuit.state == CLOSED

    def avoid(self, now: float) -> None:
        """It could not be connected. Requests that fail together are one failure."""
        if not self.avoided_until:
            self.avoided_until = now + AVOID[min(self.missed, len(AVOID) - 1)]
            self.missed += 1

    def eject(self, settings: Ejection, now: float) -> None:
        """Each time in short order makes the next one longer; a good while makes it shorter again."""
        well = int((now - self._back_at) / settings.time) if self._level else 0
        self._level = max(0, self._level - well) + 1
        self.ejected_until = now + min(settings.time * self._level, settings.max_time)
        self._back_at = self.ejected_until
        self.ejections += 1
        self.failures = 0

    def tick(self, now: float, slow_start: float) -> None:
        """Ends what time ends."""
        if self.avoided_until and now >= self.avoided_until:
            self.avoided_until = 0.0
        if self.ejected_until and now >= self.ejected_until:
            self.ejected_until = 0.0
            self.come_back(now, slow_start)
        if self.since is not None:
            self._warm(now, slow_start)

    def come_back(self, now: float, slow_start: float) -> None:
        """It takes part again, slowly at first."""
        if slow_start:
            self.since = now
            self._warm(now, slow_start)

    def _warm(self, now: float, slow_start: float) -> None:
        assert self.since is not None
        part = (now - self.since) / slow_start
        if part >= 1.0:
            self.since, part = None, 1.0
        self.share = self.weight * max(FIRST_SHARE, part)

    def reweigh(self, weight: float) -> None:
        self.share *= weight / self.weight
        self.weight = weight

    # active checks

    def checked(self, well: bool, settings: Health) -> bool:
        """The first check decides at once, later ones by their number in a row. True when `healthy` changed."""
        first = not self.checks
        self.checks += 1
        self.failed_checks += not well
        if well == self.healthy:
            self._row = 0
            return False
        self._row += 1
        if first or self._row >= (settings.healthy if well else settings.unhealthy):
            self.healthy, self._row = well, 0
            return True
        return False
