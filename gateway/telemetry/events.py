"""Messages that a worker published and delivered, counted by topic and by listener."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

Outcome = str  # acknowledged, retried, dead
Key = tuple[str, str, str]  # component, version, listener

ACKNOWLEDGED: Final = "acknowledged"
RETRIED: Final = "retried"
DEAD: Final = "dead"


class Messages:
    """A service: topics and listeners hold it. Their names come from documents, so there are as many as those say."""

    def __init__(self) -> None:
        self.published: Counter[str] = Counter()
        self.delivered: Counter[tuple[str, str, str, Outcome]] = Counter()
        self._seconds: dict[Key, list[float]] = {}

    def expect(self, key: Key) -> None:
        """Tells of a listener before its first message: a counter that begins at 1 shows no increase, so that the first
        dead letter would raise no alert."""
        for outcome in (ACKNOWLEDGED, RETRIED, DEAD):
            self.delivered[(*key, outcome)] += 0

    def took(self, key: Key, seconds: float) -> None:
        found = self._seconds.setdefault(key, [0, 0.0])
        found[0] += 1
        found[1] += seconds

    def samples(self) -> dict[str, list[list[Any]]]:
        return {
            "penstock_messages_published_total": [[topic, count] for topic, count in self.published.items()],
            "penstock_deliveries_total": [[*key, count] for key, count in self.delivered.items()],
            "penstock_delivery_seconds": [[*key, list(found)] for key, found in self._seconds.items()],
        }
