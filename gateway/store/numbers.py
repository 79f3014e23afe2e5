"""What this process has asked the store, and how it answered: for metrics. One for a process, as every connection of it
counts here; nothing is decided by these numbers.

`hot` are the lines on the request's path (limits, cells), `control` the connections of everything else.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5)  # seconds
KINDS: Final = 100  # of errors that are told apart


class Numbers:
    """Of one kind of line."""

    __slots__ = ("buckets", "errors", "operations", "seconds")

    def __init__(self) -> None:
        self.operations = 0
        self.errors: Counter[str] = Counter()
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def took(self, seconds: float) -> None:
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def failed(self, why: str, count: int = 1) -> None:
        self.errors[why if why in self.errors or len(self.errors) < KINDS else "other"] += count


class Lines:
    """The hot lines as they stand: how many, how many of them up, how often one was made anew."""

    __slots__ = ("open", "reconnects", "up")

    def __init__(self) -> None:
        self.open = self.up = self.reconnects = 0


HOT: Final = Numbers()
CONTROL: Final = Numbers()
LINES: Final = Lines()


def store_samples() -> dict[str, Sequence[Sequence[Any]]]:
    """See `telemetry.families`."""
    both = (("hot", HOT), ("control", CONTROL))
    return {
        "penstock_store_operations_total": [[name, each.operations] for name, each in both],
        "penstock_store_errors_total": [
            [name, why, count] for name, each in both for why, count in each.errors.items()
        ],
        "penstock_store_seconds": [[name, [*each.buckets, each.seconds]] for name, each in both],
        "penstock_store_reconnects_total": [[LINES.reconnects]],
        "penstock_store_lines": [["up", LINES.up], ["down", LINES.open - LINES.up]],
    }
