"""Who calls, as metrics: of so many applications and versions; further ones together are `other`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from gateway.telemetry.families import Bounded

NOBODY: Final = "(none)"  # calls of no known application; an empty label would be no label to Prometheus
OUTCOMES: Final = ("ok", "refused", "failed")


class Applications:
    """Of one node, for as long as its control process lives. `most`: pairs of application and version that are told
    apart; then `other` stands in the place of the application, once for each version."""

    def __init__(self, most: int) -> None:
        self._counts = Bounded(most * len(OUTCOMES), 0)

    def add(self, calls: Iterable[Sequence[Any]]) -> None:
        """Rows of `counters.Call`."""
        for component, version, application, called, refused, failed, *_ in calls:
            for outcome, count in zip(OUTCOMES, (called - refused - failed, refused, failed), strict=True):
                if count:
                    self._counts.count((application or NOBODY, component, version, outcome), count)

    def samples(self) -> dict[str, list[list[Any]]]:
        return {"penstock_application_requests_total": self._counts.rows()}
