"""What workers know of the services that policies ask (`relay.dependencies`), as metrics: one series for each worker,
as each sees for itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.telemetry.text import family, labels

FAMILIES: Final = (
    ("circuit", "gauge", "The circuit: 0 closed, 1 half-open, 2 open."),
    ("opened", "counter", "How often the circuit opened."),
    ("failed", "counter", "Questions without an answer."),
    ("refused", "counter", "Questions that were not asked, as the circuit was open."),
)
_LABELS: Final = ("origin", "worker")


def dependency_lines(snapshots: Iterable[Mapping[str, Any]]) -> list[str]:
    """`dependencies` of every worker's snapshot: `[{origin, worker, circuit, opened, failed, refused}]`."""
    entries = [entry for snapshot in snapshots for entry in snapshot.get("dependencies", ())]
    lines = []
    for name, kind, text in FAMILIES if entries else ():
        full = f"penstock_dependency_{name}" + ("_total" if kind == "counter" else "")
        lines += family(full, kind, text)
        lines += [f"{full}{{{labels(entry, _LABELS)}}} {int(entry[name])}" for entry in entries]
    return lines
