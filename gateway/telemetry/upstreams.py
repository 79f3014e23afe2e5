"""What workers know of upstream targets, as metrics: one series for each worker, as each sees for itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.telemetry.text import family, labels

FAMILIES: Final = (
    ("healthy", "gauge", "1 while active checks find the target well."),
    ("ejected", "gauge", "1 while the target is left out for failing in a row."),
    ("circuit", "gauge", "The circuit: 0 closed, 1 half-open, 2 open."),
    ("active", "gauge", "Requests in flight, where they are counted."),
    ("connections", "gauge", "Open connections."),
    ("attempts", "counter", "Requests sent or tried."),
    ("failed", "counter", "Attempts that failed."),
    ("ejections", "counter", "How often the target was left out."),
    ("opened", "counter", "How often the circuit opened."),
    ("checks", "counter", "Active checks."),
    ("failed_checks", "counter", "Active checks that failed."),
)
_LABELS: Final = ("component", "version", "backend", "target", "worker")


def upstream_lines(snapshots: Iterable[Mapping[str, Any]]) -> list[str]:
    """`upstreams` of every worker's snapshot: `[{component, version, backend, worker, target, healthy, …}]`."""
    entries = [entry for snapshot in snapshots for entry in snapshot.get("upstreams", ())]
    lines = []
    for name, kind, text in FAMILIES if entries else ():
        full = f"penstock_upstream_{name}" + ("_total" if kind == "counter" else "")
        lines += family(full, kind, text)
        lines += [f"{full}{{{labels(entry, _LABELS)}}} {int(entry[name])}" for entry in entries]
    return lines
