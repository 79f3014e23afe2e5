"""What steps found wrong without refusing it: counted by place, per worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.telemetry.text import family, labels

NAMES: Final = ("component", "version", "step", "part")


class Reports:
    """A service: steps hold it, the worker's snapshot has its numbers."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str, str]] = Counter()

    def count(self, component: str, version: str, step: str, part: str) -> None:
        self._counts[component, version, step, part] += 1

    def snapshot(self) -> list[dict[str, Any]]:
        """JSON-ready: `[{component, version, step, part, count}]`."""
        return [dict(zip(NAMES, key, strict=True)) | {"count": count} for key, count in sorted(self._counts.items())]


def total_reports(snapshots: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    summed = Reports()
    for snapshot in snapshots:
        for entry in snapshot.get("reports", ()):
            summed._counts[entry["component"], entry["version"], entry["step"], entry["part"]] += entry["count"]
    return summed.snapshot()


def report_lines(snapshots: Iterable[Mapping[str, Any]]) -> list[str]:
    """The summed numbers of workers as a family of metrics; nothing while there are none."""
    summed: Counter[str] = Counter()
    for snapshot in snapshots:
        for entry in snapshot.get("reports", ()):
            summed[labels(entry, NAMES)] += entry["count"]
    if not summed:
        return []
    lines = family("penstock_reported_total", "counter", "Messages that a step in report mode would have refused.")
    return lines + [f"penstock_reported_total{{{named}}} {count}" for named, count in sorted(summed.items())]
