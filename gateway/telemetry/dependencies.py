"""What workers know of the services that policies ask (`relay.dependencies`), as metrics. What a circuit is like, each
worker sees for itself: a series for each of them. What was counted is summed over the workers of the node, also over
those that ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.telemetry.text import family, labels

CIRCUIT: Final = "penstock_dependency_circuit"
COUNTERS: Final = {
    "opened": "How often the circuit opened.",
    "failed": "Questions without an answer.",
    "refused": "Questions that were not asked, as the circuit was open.",
}


def total_dependencies(snapshots: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was counted, by origin, in the form that a worker tells it in, without what it saw."""
    found: dict[str, dict[str, Any]] = {}
    for entry in (entry for snapshot in snapshots for entry in snapshot.get("dependencies", ())):
        origin = entry["origin"]
        sums = found.setdefault(origin, {"origin": origin, "ended": True, **dict.fromkeys(COUNTERS, 0)})
        for name in COUNTERS:
            sums[name] += int(entry[name])
    return [found[origin] for origin in sorted(found)]


def dependency_lines(snapshots: Iterable[Mapping[str, Any]]) -> list[str]:
    """`dependencies` of every worker's snapshot: `[{origin, worker, circuit, opened, failed, refused}]`."""
    snapshots = list(snapshots)
    seen = [entry for each in snapshots for entry in each.get("dependencies", ()) if not entry.get("ended")]
    summed = total_dependencies(snapshots)
    lines = family(CIRCUIT, "gauge", "The circuit: 0 closed, 1 half-open, 2 open.") if seen else []
    lines += [f"{CIRCUIT}{{{labels(entry, ('origin', 'worker'))}}} {int(entry['circuit'])}" for entry in seen]
    for name, text in COUNTERS.items() if summed else ():
        full = f"penstock_dependency_{name}_total"
        lines += family(full, "counter", text)
        lines += [f"{full}{{{labels(entry, ('origin',))}}} {entry[name]}" for entry in summed]
    return lines
