"""Circuits before the services that policies ask: one that gives no answer costs each request its whole time-out, so
after a few in a row nobody waits for it any more, but for one at a time that finds out whether it is back.

A circuit is one of an origin and a time-out: what is too impatient for a service must not speak for what is not. What
counts as a failure is that no answer came (no connection, or not in time); an answer is none, whatever its status. All
numbers are of one worker.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.core.clock import Clock
from gateway.core.locations import Location
from gateway.relay.circuit import CLOSED, OPEN, Circuit
from gateway.relay.settings import Breaking

log: Final = logging.getLogger("gateway.outside")

FAILURES: Final = 5  # in a row
PAUSE: Final = 5.0  # seconds until one request is let through
KEPT: Final = 256  # circuits; the one that was used longest ago goes
BREAKING: Final = Breaking(failures=FAILURES, open=PAUSE)


@dataclass
class Dependency:
    """One origin, asked with one time-out (in seconds)."""

    origin: str
    timeout: float
    circuit: Circuit = field(default_factory=lambda: Circuit(BREAKING))
    failed: int = 0
    refused: int = 0

    def ended(self, token: int, failed: bool | None, now: float) -> None:
        self.failed += bool(failed)
        if self.circuit.ended(token, failed, now):
            if self.circuit.state == OPEN:
                log.warning("%s gives no answer: it is not asked for %g s", self.origin, PAUSE)
            elif self.circuit.state == CLOSED:
                log.info("%s answers again", self.origin)


class Dependencies:
    """Those of one worker."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[Location, float], Dependency] = OrderedDict()

    def find(self, origin: Location, timeout: float) -> Dependency:
        key = origin, timeout
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= KEPT:
                self._known.popitem(last=False)
            found = self._known[key] = Dependency(str(origin), timeout)
        self._known.move_to_end(key)
        return found

    def admits(self, one: Dependency) -> bool:
        if one.circuit.admits(self._clock.monotonic()):
            return True
        one.refused += 1
        return False

    def retry_after(self, one: Dependency) -> int:
        """Whole seconds."""
        return one.circuit.retry_after(self._clock.monotonic())

    def ended(self, one: Dependency, token: int, failed: bool | None) -> None:
        """None: it says nothing about the service."""
        one.ended(token, failed, self._clock.monotonic())

    def states(self) -> list[dict[str, Any]]:
        """JSON-ready, one an origin: the worst of its circuits, and the sums."""
        found: dict[str, dict[str, Any]] = {}
        for one in self._known.values():
            told = found.setdefault(one.origin, {"origin": one.origin, "circuit": 0, "opened": 0} | _NONE)
            told["circuit"] = max(told["circuit"], one.circuit.state)
            told["opened"] += one.circuit.opened
            told["failed"] += one.failed
            told["refused"] += one.refused
        return [found[origin] for origin in sorted(found)]


_NONE: Final = {"failed": 0, "refused": 0}
