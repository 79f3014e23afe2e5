"""What `penstock top` shows: two readings of a node's metrics become rates. Pure; `top` asks and prints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_LINE: Final = re.compile(r"(\w+)\{(.*)\} (\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_PLAIN: Final = re.compile(r"(\w+) (\S+)")
GAUGES: Final = {
    "connections": "penstock_connections",
    "in_flight": "penstock_exchanges",
    "loop_lag_seconds": "penstock_loop_lag_seconds",
}
SHED: Final = "penstock_shed_requests_total"
Key = tuple[str, str]  # version, endpoint


@dataclass(slots=True)
class Route:
    """Counts of one endpoint since the node started; `buckets` are cumulative, by their upper bound in seconds."""

    statuses: dict[str, float] = field(default_factory=dict)
    buckets: dict[float, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def requests(self) -> float:
        return sum(self.statuses.values())


@dataclass(slots=True)
class Reading:
    """One answer of `/metrics`, and when it came (monotonic seconds)."""

    at: float
    routes: dict[Key, Route] = field(default_factory=dict)
    plain: dict[str, float] = field(default_factory=dict)


def read(text: str, at: float) -> Reading:
    """The Prometheus text format, as far as it is told here; other lines are of no interest."""
    found = Reading(at)
    for line in text.splitlines():
        if (match := _LINE.fullmatch(line)) is not None:
            _take(found, match[1], dict(_LABEL.findall(match[2])), float(match[3]))
        elif (match := _PLAIN.fullmatch(line)) is not None:
            found.plain[match[1]] = float(match[2])
    return found


def _take(found: Reading, name: str, labels: Mapping[str, str], value: float) -> None:
    if "endpoint" not in labels:
        return
    component, version = labels.get("component", ""), labels.get("version", "")
    key = (f"{component}@{version}" if version else component or "-", labels["endpoint"] or "-")
    route = found.routes.setdefault(key, Route())
    if name == "penstock_requests_total":
        status = labels.get("status", "")
        route.statuses[status] = route.statuses.get(status, 0.0) + value
    elif name == "penstock_request_seconds_bucket":
        bound = float(labels["le"])
        route.buckets[bound] = route.buckets.get(bound, 0.0) + value
    elif name == "penstock_request_seconds_sum":
        route.seconds += value


def rows(before: Reading, after: Reading) -> list[dict[str, Any]]:
    """Endpoints that had requests in between, the busiest first. Rates are a second, times in milliseconds."""
    found = list(_rows(before, after, max(after.at - before.at, 1e-9)))
    return sorted(found, key=lambda each: (-each["requests"], each["version"], each["endpoint"]))


def _rows(before: Reading, after: Reading, seconds: float) -> Iterator[dict[str, Any]]:
    for key, now in after.routes.items():
        then = before.routes.get(key, Route())
        count = now.requests - then.requests
        if count <= 0:
            continue
        buckets = {bound: value - then.buckets.get(bound, 0.0) for bound, value in now.buckets.items()}
        yield {
            "version": key[0],
            "endpoint": key[1],
            "requests": round(count / seconds, 1),
            "refused": _share(now, then, "4xx", count),
            "failed": _share(now, then, "5xx", count),
            "p50_ms": quantile(buckets, 0.5),
            "p99_ms": quantile(buckets, 0.99),
        }


def _share(now: Route, then: Route, status: str, count: float) -> float:
    return round((now.statuses.get(status, 0.0) - then.statuses.get(status, 0.0)) / count, 4)


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Milliseconds, between the bounds of the bucket it falls in, evenly; the last bound where it lies beyond all."""
    bounds = sorted(buckets)
    total = max(buckets.values(), default=0.0)
    if total <= 0:
        return None
    lower, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= share * total:
            if bound == float("inf"):
                return round(lower * 1000, 2)
            inside = (share * total - below) / max(buckets[bound] - below, 1e-9)
            return round((lower + (bound - lower) * inside) * 1000, 2)
        lower, below = bound, buckets[bound]
    return round(lower * 1000, 2)


def node(before: Reading, after: Reading) -> dict[str, Any]:
    """What concerns the node as a whole."""
    seconds = max(after.at - before.at, 1e-9)
    gauges = {name: after.plain.get(metric, 0.0) for name, metric in GAUGES.items()}
    total = sum(each.requests for each in after.routes.values()) - sum(each.requests for each in before.routes.values())
    shed = after.plain.get(SHED, 0.0) - before.plain.get(SHED, 0.0)
    return {"requests": round(total / seconds, 1), "shed": round(shed / seconds, 1), **gauges}


SORTS: Final[Mapping[str, Sequence[str]]] = {
    "requests": ("requests",),
    "failed": ("failed", "requests"),
    "p99": ("p99_ms", "requests"),
}


def by(rows: Sequence[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda each: tuple(-(each[name] or 0.0) for name in SORTS[sort]))
