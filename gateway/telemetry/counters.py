"""Counters of requests, per worker, summed per node, written in the Prometheus text format (version 0.0.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.core.exchange import Exchange
from gateway.telemetry.load import load_lines, total_load
from gateway.telemetry.reports import report_lines
from gateway.telemetry.text import family, labels, quoted
from gateway.telemetry.upstreams import upstream_lines

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
CLASSES: Final = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")

KNOWN: Final = 8192  # chains whose numbers are found without their names

Key = tuple[str, str, str]  # component, version, endpoint


class Series:
    """The numbers of one endpoint."""

    __slots__ = ("buckets", "classes", "received", "seconds", "sent")

    def __init__(self) -> None:
        self.classes = [0] * len(CLASSES)
        self.buckets = [0] * (len(BOUNDS) + 1)  # not cumulative
        self.seconds = 0.0
        self.received = 0
        self.sent = 0

    def add(self, other: Series) -> None:
        self.classes = [mine + theirs for mine, theirs in zip(self.classes, other.classes, strict=True)]
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.seconds += other.seconds
        self.received += other.received
        self.sent += other.sent


class Counters:
    """Of one worker. Nothing is allocated for a request."""

    def __init__(self) -> None:
        self._series: dict[Key, Series] = {}
        self._known: dict[int, tuple[Mapping[str, str], Series]] = {}  # by the identity of a chain's facts

    def _of(self, facts: Mapping[str, str]) -> Series:
        """The numbers of a chain that was not seen before; publishing makes new chains of the same endpoints."""
        if len(self._known) > KNOWN:
            self._known.clear()
        key = (facts.get("component", ""), facts.get("version", ""), facts.get("endpoint", ""))
        series = self._series.setdefault(key, Series())
        self._known[id(facts)] = (facts, series)
        return series

    def count(self, exchange: Exchange) -> None:
        facts = exchange.chain.facts
        known = self._known.get(id(facts))
        series = known[1] if known is not None else self._of(facts)
        seconds = exchange.ended_at - exchange.started_at
        kind = exchange.status // 100
        series.classes[kind if 0 < kind < 6 else 0] += 1
        series.buckets[bisect_left(BOUNDS, seconds)] += 1
        series.seconds += seconds
        series.received += exchange.received
        series.sent += exchange.sent

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready: `{"endpoints": [{component, version, endpoint, classes, buckets, seconds, received, sent}]}`."""
        return {"endpoints": [_entry(key, series) for key, series in self._series.items()]}


def _entry(key: Key, series: Series) -> dict[str, Any]:
    return {
        "component": key[0],
        "version": key[1],
        "endpoint": key[2],
        "classes": list(series.classes),
        "buckets": list(series.buckets),
        "seconds": series.seconds,
        "received": series.received,
        "sent": series.sent,
    }


def total(snapshots: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Several workers' snapshots as one of the same form."""
    summed: dict[Key, Series] = {}
    snapshots = list(snapshots)
    for snapshot in snapshots:
        for entry in snapshot["endpoints"]:
            key = (entry["component"], entry["version"], entry["endpoint"])
            summed.setdefault(key, Series()).add(_series(entry))
    entries = [_entry(key, series) for key, series in sorted(summed.items(), key=lambda pair: pair[0])]
    return {"endpoints": entries, "load": total_load(snapshots)}


def _series(entry: Mapping[str, Any]) -> Series:
    series = Series()
    series.classes, series.buckets = list(entry["classes"]), list(entry["buckets"])
    series.seconds, series.received, series.sent = entry["seconds"], entry["received"], entry["sent"]
    return series


def render_prometheus(snapshots: Iterable[Mapping[str, Any]]) -> bytes:
    """All workers' numbers as one page of metrics."""
    snapshots = list(snapshots)
    summed = total(snapshots)
    entries = summed["endpoints"]
    lines = family("penstock_requests_total", "counter", "Exchanges that ended, by class of status.")
    for entry in entries:
        for name, count in zip(CLASSES, entry["classes"], strict=True):
            if count:
                lines.append(f"penstock_requests_total{{{_labels(entry)},status={quoted(name)}}} {count}")
    lines += family("penstock_request_seconds", "histogram", "From the request's head to the end of the reply.")
    for entry in entries:
        lines += _histogram(entry)
    for name, what in (("received", "request"), ("sent", "response")):
        lines += family(f"penstock_{name}_bytes_total", "counter", f"Bytes of {what} bodies.")
        lines += [f"penstock_{name}_bytes_total{{{_labels(entry)}}} {entry[name]}" for entry in entries]
    lines += load_lines(summed["load"])
    lines += upstream_lines(snapshots)
    lines += report_lines(snapshots)
    return ("\n".join(lines) + "\n").encode()


def _histogram(entry: Mapping[str, Any]) -> list[str]:
    named, count, lines = _labels(entry), 0, []
    for bound, number in zip((*map(str, BOUNDS), "+Inf"), entry["buckets"], strict=True):
        count += number
        lines.append(f'penstock_request_seconds_bucket{{{named},le="{bound}"}} {count}')
    lines.append(f"penstock_request_seconds_sum{{{named}}} {entry['seconds']:.6f}")
    lines.append(f"penstock_request_seconds_count{{{named}}} {count}")
    return lines


def _labels(entry: Mapping[str, Any]) -> str:
    return labels(entry, ("component", "version", "endpoint"))
