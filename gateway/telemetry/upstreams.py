"""What workers know of upstream targets, as metrics. What a target is like, each worker sees for itself: a series for
each of them. What was counted is summed over the workers of the node, also over those that ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gateway.telemetry.families import histogram_lines
from gateway.telemetry.text import family, labels

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
GAUGES: Final = {
    "healthy": "1 while active checks find the target well.",
    "ejected": "1 while the target is left out for failing in a row.",
    "circuit": "The circuit: 0 closed, 1 half-open, 2 open.",
    "active": "Requests in flight, where they are counted.",
    "connections": "Open connections.",
}
COUNTERS: Final = {
    "attempts": "Requests sent or tried.",
    "failed": "Attempts that failed.",
    "ejections": "How often the target was left out.",
    "opened": "How often the circuit opened.",
    "checks": "Active checks.",
    "failed_checks": "Active checks that failed.",
}
SECONDS: Final = "penstock_upstream_seconds"
_NAMES: Final = ("component", "version", "backend", "target")


def total_upstreams(snapshots: Iterable[Mapping[str, Any]], ended: bool = False) -> list[dict[str, Any]]:
    """What was counted, by target. `ended`: in the form that a worker tells it in, without what it saw."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for entry in (entry for snapshot in snapshots for entry in snapshot.get("upstreams", ())):
        key = tuple(str(entry[name]) for name in _NAMES)
        counted = {name: entry[name] for name in COUNTERS} | {"buckets": entry["buckets"], "seconds": entry["seconds"]}
        sums = found.setdefault(key, dict(zip(_NAMES, key, strict=True)))
        for name, value in counted.items():
            sums[name] = _added(sums.get(name), value)
    return [each | {"ended": True} if ended else each for _, each in sorted(found.items())]


def _added(mine: Any, theirs: Any) -> Any:
    if mine is None:
        return theirs
    if isinstance(mine, list):
        return [one + other for one, other in zip(mine, theirs, strict=True)]
    return mine + theirs


def upstream_lines(snapshots: Sequence[Mapping[str, Any]]) -> list[str]:
    """`upstreams` of every worker's snapshot: `[{component, version, backend, worker, target, healthy, …}]`."""
    seen = [entry for each in snapshots for entry in each.get("upstreams", ()) if not entry.get("ended")]
    summed = total_upstreams(snapshots)
    lines = []
    for name, text in GAUGES.items() if seen else ():
        full = f"penstock_upstream_{name}"
        lines += family(full, "gauge", text)
        lines += [f"{full}{{{labels(entry, (*_NAMES, 'worker'))}}} {int(entry[name])}" for entry in seen]
    for name, text in COUNTERS.items() if summed else ():
        full = f"penstock_upstream_{name}_total"
        lines += family(full, "counter", text)
        lines += [f"{full}{{{labels(entry, _NAMES)}}} {int(entry[name])}" for entry in summed]
    if summed:
        lines += family(SECONDS, "histogram", "From a request's head to the head of its answer.")
        for entry in summed:
            lines += histogram_lines(SECONDS, labels(entry, _NAMES), BOUNDS, entry["buckets"], entry["seconds"])
    return lines
