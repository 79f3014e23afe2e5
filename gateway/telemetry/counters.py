"""Counters of requests, per worker, summed per node, written in the Prometheus text format (version 0.0.4)."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gateway.core.errors import Problem
from gateway.core.exchange import Exchange
from gateway.core.trace import Trace, facts_of, sampled, step_name
from gateway.telemetry.dependencies import dependency_lines, total_dependencies
from gateway.telemetry.families import Bounded, Samples, histogram_lines, sample_lines, total_samples
from gateway.telemetry.load import load_lines, total_load
from gateway.telemetry.load import of_ended as ended_load
from gateway.telemetry.mirrors import mirror_lines, total_mirrors
from gateway.telemetry.reports import report_lines, total_reports
from gateway.telemetry.text import family, labels, page, quoted
from gateway.telemetry.tracing import step_times
from gateway.telemetry.upstreams import total_upstreams, upstream_lines

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
CLASSES: Final = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")
RECEIVED, SENT = 10, 11  # of a caller's numbers; before these stand calls by the first digit of their status
FAILED: Final = CLASSES[-1]  # told at 0 as well: a counter that begins at its first failures hides them from a rate

KNOWN: Final = 8192  # chains whose numbers are found without their names
REVISIONS: Final = 4  # of a version whose numbers are told apart; those of earlier ones are summed under an empty name

REFUSALS: Final = 2000  # series of refusals by step and code; then `other`
STEPS: Final = 5000  # steps whose time is told apart; then `other`

NAMES: Final = ("component", "version", "endpoint", "lane", "revision")
Key = tuple[str, str, str, str, str]
Call = tuple[str, str, str | None, int, int, int, int, int]
"""Component, version, application, calls, refused ones (4xx), failed ones (5xx), bytes received, bytes sent."""


class Series:
    """The numbers of one endpoint."""

    __slots__ = ("buckets", "callers", "classes", "edge", "exemplars", "received", "seconds", "sent")

    def __init__(self) -> None:
        self.callers: dict[str | None, list[int]] = {}  # numbers by application, since they were last taken
        self.exemplars: dict[int, list[Any]] = {}  # by bucket: the trace that fell into it last, its seconds, when
        self.edge = False  # what routing answers by itself: preflights, a node's own probes; nobody's calls
        self.buckets = [0] * (len(BOUNDS) + 1)  # not cumulative
        self.seconds = 0.0
        self.classes = [0] * len(CLASSES)  # without those of `callers`, as are the next
        self.received = 0
        self.sent = 0

    def caller(self, application: str | None) -> list[int]:
        """One that has not called since the callers were last taken."""
        found = self.callers[application] = [0] * (SENT + 1)
        return found

    def called(self) -> list[int]:
        """The numbers of all callers together: there may be tens of thousands."""
        return [sum(each) for each in zip(*self.callers.values(), strict=True)] or [0] * (SENT + 1)

    def took(self) -> None:
        """The callers are forgotten, their numbers are not."""
        counts = self.called()
        self.classes = [mine + more for mine, more in zip(self.classes, _classes(counts), strict=True)]
        self.received += counts[RECEIVED]
        self.sent += counts[SENT]
        self.callers = {}

    def add(self, other: Series) -> None:
        self.classes = [mine + theirs for mine, theirs in zip(self.classes, other.classes, strict=True)]
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.seconds += other.seconds
        self.received += other.received
        self.sent += other.sent
        for bucket, exemplar in other.exemplars.items():
            if bucket not in self.exemplars or self.exemplars[bucket][2] < exemplar[2]:
                self.exemplars[bucket] = exemplar


class Counters:
    """Of one worker. Nothing is allocated for a request."""

    def __init__(self) -> None:
        self._series: dict[Key, Series] = {}
        self._refusals = Bounded(REFUSALS, 2, 3)
        self._steps: dict[tuple[str, str, str], list[float]] = {}
        self._known: dict[int, tuple[Mapping[str, str], Series]] = {}  # by the identity of a chain's facts

    def _of(self, facts: Mapping[str, str]) -> Series:
        """The numbers of a chain that was not seen before; publishing makes new chains of the same endpoints."""
        if len(self._known) > KNOWN:
            self._known.clear()
        component, version, endpoint, lane, revision = (facts.get(name, "") for name in NAMES)
        key = component, version, endpoint, lane, revision
        series = self._series.get(key)
        if series is None:
            self._fold(key)
            series = self._series[key] = Series()
            series.edge = facts.get("lane") == "edge"
        self._known[id(facts)] = (facts, series)
        return series

    def _fold(self, key: Key) -> None:
        """Of an endpoint with one more revision: the numbers of its oldest ones are summed, as publishing never ends.
        Requests that still run on one of those are counted under its name again, once more from nothing."""
        there = [known for known in self._series if known[:4] == key[:4] and known[4]]
        for old in there[: max(0, len(there) - REVISIONS + 1)]:
            sum_ = self._series.setdefault((*old[:4], ""), Series())
            taken = self._series.pop(old)
            sum_.add(taken)
            for application, counts in taken.callers.items():
                mine = sum_.callers.get(application) or sum_.caller(application)
                sum_.callers[application] = [one + other for one, other in zip(mine, counts, strict=True)]
            self._known = {id_: pair for id_, pair in self._known.items() if pair[1] is not taken}

    def count(self, exchange: Exchange) -> None:
        """This runs for every request."""
        facts = exchange.chain.facts
        known = self._known.get(id(facts))
        series = known[1] if known is not None else self._of(facts)
        seconds = exchange.ended_at - exchange.started_at
        series.buckets[bisect_left(BOUNDS, seconds)] += 1
        series.seconds += seconds
        identity = exchange.identity
        application = None if identity is None else identity.application
        caller = series.callers.get(application) or series.caller(application)
        first = exchange.status // 100
        caller[first] += 1
        caller[SENT] += exchange.sent
        if exchange.received:
            caller[RECEIVED] += exchange.received
        if first >= 4 and exchange.notes is not None and Problem in exchange.notes:
            self._refused(exchange, exchange.notes[Problem])
        if exchange.trace is not None:
            self._timed(exchange, exchange.trace, series)

    def _refused(self, exchange: Exchange, problem: Problem) -> None:
        chain = exchange.chain
        component, version = facts_of(chain.facts, "component", "version")
        self._refusals.count((component, version, step_name(chain, exchange.at), problem.code))

    def _timed(self, exchange: Exchange, trace: Trace, series: Series) -> None:
        component, version = facts_of(exchange.chain.facts, "component", "version")
        for mark, seconds in step_times(trace, exchange.ended_at):
            key = component, version, step_name(mark.chain, mark.index)
            if key not in self._steps and len(self._steps) >= STEPS:
                key = component, version, "other"
            found = self._steps.setdefault(key, [0, 0.0])
            found[0] += 1
            found[1] += seconds
        if sampled(trace) is not None:
            seconds = exchange.ended_at - exchange.started_at
            series.exemplars[bisect_left(BOUNDS, seconds)] = [trace.trace_id, seconds, time.time()]

    def take_calls(self) -> list[Call]:
        """Who called which version since this was last asked; None for nobody that is known."""
        found: list[Call] = []
        for (component, version, *_), series in self._series.items():
            if series.callers:
                if component and not series.edge:
                    found += [_call(component, version, name, counts) for name, counts in series.callers.items()]
                series.took()
        return found

    def samples(self) -> Samples:
        return {
            "penstock_step_refusals_total": self._refusals.rows(),
            "penstock_step_seconds": [[*key, list(value)] for key, value in self._steps.items()],
        }

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready: `{"endpoints": [{component, version, endpoint, revision, classes, buckets, seconds, …}]}`."""
        return {"endpoints": [_entry(key, series) for key, series in self._series.items()]}


def _classes(counts: Sequence[int]) -> list[int]:
    """Calls as `CLASSES` has them."""
    return [counts[0] + sum(counts[len(CLASSES) : RECEIVED]), *counts[1 : len(CLASSES)]]


def _call(component: str, version: str, application: str | None, counts: Sequence[int]) -> Call:
    calls, failed = sum(counts[:RECEIVED]), sum(counts[5:RECEIVED])
    return component, version, application, calls, counts[4], failed, counts[RECEIVED], counts[SENT]


def _entry(key: Key, series: Series) -> dict[str, Any]:
    return dict(zip(NAMES, key, strict=True)) | _numbers(series)


def _numbers(series: Series) -> dict[str, Any]:
    counts = series.called()
    return {
        "classes": [mine + more for mine, more in zip(series.classes, _classes(counts), strict=True)],
        "buckets": list(series.buckets),
        "seconds": series.seconds,
        "received": series.received + counts[RECEIVED],
        "sent": series.sent + counts[SENT],
        **({"exemplars": {str(bucket): each for bucket, each in series.exemplars.items()}} if series.exemplars else {}),
    }


def total(snapshots: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Several workers' snapshots as one of the same form."""
    summed: dict[Key, Series] = {}
    snapshots = list(snapshots)
    for snapshot in snapshots:
        for entry in snapshot["endpoints"]:
            key = (
                entry["component"],
                entry["version"],
                entry["endpoint"],
                entry.get("lane", ""),
                entry.get("revision", ""),
            )
            summed.setdefault(key, Series()).add(_series(entry))
    entries = [_entry(key, series) for key, series in sorted(summed.items(), key=lambda pair: pair[0])]
    return {"endpoints": entries, "load": total_load(snapshots), "mirrors": total_mirrors(snapshots)}


def of_ended(snapshots: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What stays of workers that have ended, in the form of one's snapshot: a counter never goes down, a gauge is
    gone."""
    snapshots = list(snapshots)
    found = total(snapshots)
    return {
        "endpoints": found["endpoints"],
        "load": ended_load(found["load"]),
        "mirrors": found["mirrors"],
        "dependencies": total_dependencies(snapshots),
        "reports": total_reports(snapshots),
        "upstreams": total_upstreams(snapshots, ended=True),
        "samples": total_samples((each.get("samples", {}) for each in snapshots), ended=True),
    }


def _series(entry: Mapping[str, Any]) -> Series:
    series = Series()
    series.classes, series.buckets = list(entry["classes"]), list(entry["buckets"])
    series.seconds, series.received, series.sent = entry["seconds"], entry["received"], entry["sent"]
    series.exemplars = {int(bucket): each for bucket, each in entry.get("exemplars", {}).items()}
    return series


def render_prometheus(
    snapshots: Iterable[Mapping[str, Any]], also: Iterable[str] = (), *, open_metrics: bool = False
) -> bytes:
    """All workers' numbers as one page of metrics, with the lines that the control process has to tell.
    `open_metrics`: in that form, with exemplars."""
    snapshots = list(snapshots)
    summed = total(snapshots)
    entries = _summed(summed["endpoints"], NAMES[:4])
    lines = family("penstock_requests_total", "counter", "Exchanges that ended, by class of status.")
    for entry in entries:
        for name, count in zip(CLASSES, entry["classes"], strict=True):
            if count or name == FAILED:
                lines.append(f"penstock_requests_total{{{_labels(entry)},status={quoted(name)}}} {count}")
    lines += family("penstock_request_seconds", "histogram", "From the request's head to the end of the reply.")
    for entry in entries:
        lines += _histogram(entry, open_metrics)
    for name, what in (("received", "request"), ("sent", "response")):
        lines += family(f"penstock_{name}_bytes_total", "counter", f"Bytes of {what} bodies.")
        lines += [f"penstock_{name}_bytes_total{{{_labels(entry)}}} {entry[name]}" for entry in entries]
    lines += _revision_lines(summed["endpoints"])
    lines += load_lines(summed["load"])
    lines += upstream_lines(snapshots)
    lines += dependency_lines(snapshots)
    lines += report_lines(snapshots)
    lines += mirror_lines(snapshots)
    lines += sample_lines(total_samples(each.get("samples", {}) for each in snapshots))
    return page([*lines, *also], open_metrics)


def _summed(entries: Iterable[Mapping[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Entries with these names alone: the others are summed over."""
    found: dict[tuple[str, ...], Series] = {}
    for entry in entries:
        found.setdefault(tuple(entry[name] for name in names), Series()).add(_series(entry))
    return [dict(zip(names, key, strict=True)) | _numbers(series) for key, series in sorted(found.items())]


def by_revision(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The numbers of each revision of each version, of all its endpoints together."""
    return _summed((entry for entry in entries if entry.get("revision")), ("component", "version", "revision"))


def _revision_lines(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """A canary beside the active revision, and a new one beside the one before."""
    names = ("component", "version", "revision")
    found = by_revision(entries)
    lines = family("penstock_revision_requests_total", "counter", "Exchanges by revision and class of status.")
    for entry in found:
        for name, count in zip(CLASSES, entry["classes"], strict=True):
            if count:
                labelled = f"{labels(entry, names)},status={quoted(name)}"
                lines.append(f"penstock_revision_requests_total{{{labelled}}} {count}")
    lines += family("penstock_revision_seconds_total", "counter", "Time of these exchanges in all.")
    lines += [f"penstock_revision_seconds_total{{{labels(each, names)}}} {each['seconds']:.6f}" for each in found]
    return lines


def _histogram(entry: Mapping[str, Any], exemplars: bool) -> list[str]:
    name = "penstock_request_seconds"
    lines = list(histogram_lines(name, _labels(entry), BOUNDS, entry["buckets"], entry["seconds"]))
    if exemplars:
        for bucket, (trace, seconds, at) in entry.get("exemplars", {}).items():
            lines[int(bucket)] += f' # {{trace_id="{trace}"}} {seconds:.6f} {at:.3f}'
    return lines


def _labels(entry: Mapping[str, Any]) -> str:
    return labels(entry, NAMES[:4])
