"""What `penstock top` shows: two readings of nodes' metrics become rates. Pure; `top` asks and prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.cli.metrics_text import samples

GAUGES: Final = {
    "connections": "penstock_connections",
    "in_flight": "penstock_exchanges",
    "loop_lag_seconds": "penstock_loop_lag_seconds",
}
SHED: Final = "penstock_shed_requests_total"
REQUESTS: Final = "penstock_requests_total"
OUTCOMES: Final = {"ok": "2xx", "refused": "4xx", "failed": "5xx"}
Key = tuple[str, ...]
Labels = Mapping[str, str]


@dataclass(slots=True)
class Route:
    """Counts of what is one row since its node started; `buckets` are cumulative, by their upper bound in seconds."""

    statuses: dict[str, float] = field(default_factory=dict)
    buckets: dict[float, float] = field(default_factory=dict)

    @property
    def requests(self) -> float:
        return sum(self.statuses.values())

    def count(self, status: str, value: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0.0) + value


@dataclass(slots=True)
class Reading:
    """One answer of `/metrics`, or several nodes' together, and when it came (monotonic seconds)."""

    at: float
    routes: dict[Key, Route] = field(default_factory=dict)
    plain: dict[str, float] = field(default_factory=dict)
    requests: float = 0.0


def _version(labels: Labels) -> str:
    component, version = labels.get("component", ""), labels.get("version", "")
    return f"{component}@{version}" if version else component or "-"


@dataclass(frozen=True, slots=True)
class Group:
    """What makes a row: its columns, and what they are of a metric's labels and a node's name. `counts` and `times`
    are the metrics that it is read from."""

    columns: tuple[str, ...]
    key: Callable[[Labels, str], Key]
    counts: tuple[str, ...] = (REQUESTS,)
    times: str = "penstock_request_seconds_bucket"


GROUPS: Final[Mapping[str, Group]] = {
    "endpoint": Group(
        ("version", "endpoint"), lambda labels, _node: (_version(labels), labels.get("endpoint", "") or "-")
    ),
    "version": Group(("version",), lambda labels, _node: (_version(labels),)),
    "lane": Group(("lane",), lambda labels, _node: (labels.get("lane", "-"),)),
    "node": Group(("node",), lambda _labels, node: (node,)),
    "application": Group(
        ("application", "version"),
        lambda labels, _node: (labels.get("application", "-"), _version(labels)),
        ("penstock_application_requests_total",),
        "",
    ),
    "upstream": Group(
        ("version", "backend", "target"),
        lambda labels, _node: (_version(labels), labels.get("backend", "-"), labels.get("target", "-")),
        ("penstock_upstream_attempts_total", "penstock_upstream_failed_total"),
        "penstock_upstream_seconds_bucket",
    ),
}


def read(text: str, at: float, group: str = "endpoint", node: str = "") -> Reading:
    """The Prometheus text format, as far as it is told here; other lines are of no interest."""
    found, by_what = Reading(at), GROUPS[group]
    for each in samples(text):
        if each.labels:
            _take(found, by_what, each.name, each.labels, each.value, node)
        else:
            found.plain[each.name] = each.value
    return found


def _take(found: Reading, group: Group, name: str, labels: Labels, value: float, node: str) -> None:
    if name == REQUESTS:
        found.requests += value
    if name == group.times:
        buckets = found.routes.setdefault(group.key(labels, node), Route()).buckets
        bound = float(labels["le"])
        buckets[bound] = buckets.get(bound, 0.0) + value
    elif name in group.counts:
        route = found.routes.setdefault(group.key(labels, node), Route())
        if name.endswith("_failed_total"):  # of the attempts, which are counted as well
            route.count("5xx", value)
            route.count("2xx", -value)
        else:
            route.count(labels.get("status") or OUTCOMES.get(labels.get("outcome", ""), "2xx"), value)


def together(readings: Iterable[Reading], at: float) -> Reading:
    """Of several nodes: counts and gauges are summed, the lag is the longest."""
    found = Reading(at)
    for each in readings:
        found.requests += each.requests
        for key, route in each.routes.items():
            mine = found.routes.setdefault(key, Route())
            for status, value in route.statuses.items():
                mine.count(status, value)
            for bound, value in route.buckets.items():
                mine.buckets[bound] = mine.buckets.get(bound, 0.0) + value
        for name, value in each.plain.items():
            before = found.plain.get(name, 0.0)
            found.plain[name] = max(before, value) if name == GAUGES["loop_lag_seconds"] else before + value
    return found


def rows(before: Reading, after: Reading, group: str = "endpoint") -> list[dict[str, Any]]:
    """What had requests in between, the busiest first. Rates are a second, times in milliseconds."""
    columns = GROUPS[group].columns
    found = list(_rows(before, after, max(after.at - before.at, 1e-9), columns))
    return sorted(found, key=lambda each: (-each["requests"], *(each[name] for name in columns)))


def _rows(before: Reading, after: Reading, seconds: float, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for key, now in after.routes.items():
        then = before.routes.get(key, Route())
        count = now.requests - then.requests
        if count <= 0:
            continue
        buckets = {bound: value - then.buckets.get(bound, 0.0) for bound, value in now.buckets.items()}
        yield {
            **dict(zip(columns, key, strict=True)),
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
    """What concerns the nodes as a whole."""
    seconds = max(after.at - before.at, 1e-9)
    gauges = {name: after.plain.get(metric, 0.0) for name, metric in GAUGES.items()}
    total = max(0.0, after.requests - before.requests)  # a node that started anew counts from nothing
    shed = max(0.0, after.plain.get(SHED, 0.0) - before.plain.get(SHED, 0.0))
    return {"requests": round(total / seconds, 1), "shed": round(shed / seconds, 1), **gauges}


SORTS: Final[Mapping[str, Sequence[str]]] = {
    "requests": ("requests",),
    "failed": ("failed", "requests"),
    "p99": ("p99_ms", "requests"),
}


def by(rows: Sequence[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda each: tuple(-(each[name] or 0.0) for name in SORTS[sort]))
