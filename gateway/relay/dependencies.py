"""Circuits before the services that policies ask: one that gives no answer costs each request its whole time-out, so
after a few in a row nobody waits for it any more, but for one at a time that finds out whether it is back.

A circuit is one of an origin and a time-out: what is too impatient for a service must not speak for what is not. What
counts as a failure is that no answer came (no connection, or not in time); an answer is none, whatever its status. All
numbers are of one worker.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
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
GONE: Final = 1024  # origins whose circuits are gone and whose numbers are told apart
OTHER: Final = "other"
COUNTED: Final = ("opened", "failed", "refused")
BREAKING: Final = Breaking(failures=FAILURES, open=PAUSE)


@dataclass
class Dependency:
    """One origin, asked with one time-out (in seconds)."""

    origin: str
    timeout: float
    circuit: Circuit = field(default_factory=lambda: Circuit(BREAKING))
    failed: int = 0
    refused: int = 0

    @property
    def opened(self) -> int:
        return self.circuit.opened

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
        self._gone: dict[str, Counter[str]] = {}  # what was counted of circuits that are gone, by origin

    def find(self, origin: Location, timeout: float) -> Dependency:
        key = origin, timeout
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= KEPT:
                self._forget(self._known.popitem(last=False)[1])
            found = self._known[key] = Dependency(str(origin), timeout)
        self._known.move_to_end(key)
        return found

    def _forget(self, one: Dependency) -> None:
        """What it counted stays."""
        origin = one.origin if one.origin in self._gone or len(self._gone) < GONE else OTHER
        if counts := _counted(one):
            self._gone.setdefault(origin, Counter()).update(counts)

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
        """JSON-ready, one an origin: the worst of its circuits, and the sums. An origin that has no circuit any more is
        `ended`."""
        counts = {origin: Counter(gone) for origin, gone in self._gone.items()}
        circuits: dict[str, int] = {}
        for one in self._known.values():
            counts.setdefault(one.origin, Counter()).update(_counted(one))
            circuits[one.origin] = max(circuits.get(one.origin, CLOSED), one.circuit.state)
        return [
            {"origin": origin, **({"circuit": circuits[origin]} if origin in circuits else {"ended": True})}
            | {name: counts[origin][name] for name in COUNTED}
            for origin in sorted(counts)
        ]


def _counted(one: Dependency) -> dict[str, int]:
    """What is not none."""
    return {name: count for name in COUNTED if (count := getattr(one, name))}
