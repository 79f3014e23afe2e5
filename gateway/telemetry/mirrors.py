"""What became of copies of requests (`policy/mirror.py`): by endpoint and where they went, per worker, beside what the
originals got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.telemetry.text import family, labels, quoted

NAMES: Final = ("component", "version", "endpoint", "to")
Key = tuple[str, str, str, str]
PAIRS: Final = 50  # of statuses that are told apart, by endpoint; more are counted as `other`
OTHER: Final = "other"


@dataclass(slots=True)
class Mirrored:
    """Of one endpoint and one place. `statuses`: how often the original's and the copy's were which, as `200 500`.
    `seconds`: times of the originals that have a copy's beside them, and of those copies, to the answer's head."""

    statuses: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def compared(self, original: int, copy: int, seconds: tuple[float, float]) -> None:
        pair = f"{original} {copy}"
        self.statuses[pair if pair in self.statuses or len(self.statuses) < PAIRS else OTHER] += 1
        self.seconds = [mine + theirs for mine, theirs in zip(self.seconds, seconds, strict=True)]

    def add(self, entry: Mapping[str, Any]) -> None:
        self.statuses.update(entry["statuses"])
        self.dropped.update(entry["dropped"])
        self.seconds = [mine + theirs for mine, theirs in zip(self.seconds, entry["seconds"], strict=True)]


class Mirrors:
    """A service: steps hold it, the worker's snapshot has its numbers."""

    def __init__(self) -> None:
        self._found: dict[Key, Mirrored] = {}

    def of(self, facts: Mapping[str, str], to: str) -> Mirrored:
        key = (facts.get("component", ""), facts.get("version", ""), facts.get("endpoint", ""), to)
        return self._found.setdefault(key, Mirrored())

    def snapshot(self) -> list[dict[str, Any]]:
        """JSON-ready: `[{component, version, endpoint, to, statuses, dropped, seconds}]`."""
        return [
            dict(zip(NAMES, key, strict=True))
            | {"statuses": dict(each.statuses), "dropped": dict(each.dropped), "seconds": list(each.seconds)}
            for key, each in sorted(self._found.items())
        ]


def total_mirrors(snapshots: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The summed numbers of workers, or of nodes."""
    summed = Mirrors()
    for snapshot in snapshots:
        for entry in snapshot.get("mirrors", ()):
            summed.of(entry, entry["to"]).add(entry)
    return summed.snapshot()


def same(pair: str) -> bool:
    """Whether original and copy got the same status."""
    original, _, copy = pair.partition(" ")
    return original == copy


def mirror_lines(snapshots: Iterable[Mapping[str, Any]]) -> list[str]:
    """Families of metrics; nothing while there are no copies."""
    entries = total_mirrors(snapshots)
    if not entries:
        return []
    lines = family("penstock_mirrored_total", "counter", "Copies of requests, by what became of them.")
    for entry in entries:
        named = labels(entry, NAMES)
        alike = sum(count for pair, count in entry["statuses"].items() if same(pair))
        found = {"same": alike, "different": sum(entry["statuses"].values()) - alike, **entry["dropped"]}
        lines += [
            f"penstock_mirrored_total{{{named},outcome={quoted(name)}}} {count}"
            for name, count in sorted(found.items())
            if count
        ]
    lines += family("penstock_mirror_seconds_total", "counter", "Time to the answer's head of compared requests.")
    for entry in entries:
        for of, seconds in zip(("original", "copy"), entry["seconds"], strict=True):
            lines.append(f"penstock_mirror_seconds_total{{{labels(entry, NAMES)},of={quoted(of)}}} {seconds:.6f}")
    return lines
