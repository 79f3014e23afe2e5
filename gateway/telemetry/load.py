"""What a worker says about its connections and its loop: gauges of living workers, counters of all that there were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.telemetry.text import family

# name: (Prometheus' name, help). A gauge is summed over workers, but for the loop's lag, of which the longest counts.
GAUGES: Final = {
    "connections": ("penstock_connections", "Connections of clients that are open."),
    "exchanges": ("penstock_exchanges", "Exchanges in flight."),
    "loop_lag_seconds": ("penstock_loop_lag_seconds", "The longest that a worker's loop was late in the last second."),
}
COUNTERS: Final = {
    "shed_requests": ("penstock_shed_requests_total", "Requests refused with 503 for overload."),
    "refused_connections": ("penstock_refused_connections_total", "Connections refused because there were too many."),
    "tls_handshake_failures": ("penstock_tls_handshake_failures_total", "TLS handshakes of clients that failed."),
    "proxy_header_failures": ("penstock_proxy_header_failures_total", "Connections closed for their PROXY header."),
}


def total_load(snapshots: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Several workers' `load` as one of the same form."""
    gauges: dict[str, float] = dict.fromkeys(GAUGES, 0)
    counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
    for load in (snapshot["load"] for snapshot in snapshots if "load" in snapshot):
        for name, value in load["gauges"].items():
            gauges[name] = max(gauges[name], value) if name == "loop_lag_seconds" else gauges[name] + value
        for name, value in load["counters"].items():
            counters[name] += value
    return {"gauges": gauges, "counters": counters}


def of_ended(load: Mapping[str, Any]) -> dict[str, Any]:
    """What stays of a worker that has ended: a counter never goes down, a gauge is gone."""
    return {"gauges": {}, "counters": dict(load["counters"])}


def load_lines(load: Mapping[str, Any]) -> list[str]:
    """In the Prometheus text format."""
    lines = []
    for kind, names, values in (("gauge", GAUGES, load["gauges"]), ("counter", COUNTERS, load["counters"])):
        for key, (name, text) in names.items():
            lines += [*family(name, kind, text), f"{name} {values[key]}"]
    return lines
