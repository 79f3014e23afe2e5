"""Families of metrics that need nothing but a name, labels and a number: what each is, and how processes' numbers
become a node's. What is counted for each request has forms of its own (`counters`, `mirrors`, `upstreams`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from gateway.telemetry.text import family, quoted

Kind = Literal["counter", "gauge", "histogram", "summary"]
Samples = Mapping[str, Sequence[Sequence[Any]]]
"""By family: rows of the label's values and, last, a number; of a histogram the counts by bucket (not cumulative) with
the sum as the last of them; of a summary count and sum. JSON-ready."""

OTHER: Final = "other"


class Family(NamedTuple):
    """`bounds` are a histogram's, in the family's unit. `most`: a gauge of several processes is their largest."""

    kind: Kind
    labels: tuple[str, ...]
    text: str
    bounds: tuple[float, ...] = ()
    most: bool = False


STORE_BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5)
_STEP: Final = ("component", "version", "step")

FAMILIES: Final[Mapping[str, Family]] = {
    "penstock_step_refusals_total": Family(
        "counter", (*_STEP, "code"), "Exchanges that ended in a problem, by the step that raised it and its code."
    ),
    "penstock_step_seconds": Family(
        "summary", _STEP, "Time in a step with what it waits for; of a sample of exchanges."
    ),
    "penstock_application_requests_total": Family(
        "counter", ("application", "component", "version", "outcome"), "Exchanges by the application that called."
    ),
    "penstock_store_operations_total": Family("counter", ("line",), "Commands that the store answered."),
    "penstock_store_errors_total": Family("counter", ("line", "error"), "Commands that failed, by why."),
    "penstock_store_seconds": Family(
        "histogram", ("line",), "Time from a command to its answer; of the hot lines one at a time.", STORE_BOUNDS
    ),
    "penstock_store_reconnects_total": Family("counter", (), "Times that a hot line to the store was connected anew."),
    "penstock_store_lines": Family("gauge", ("state",), "Hot lines to the store that are up, or down."),
    "penstock_messages_published_total": Family("counter", ("topic",), "Messages that were accepted."),
    "penstock_deliveries_total": Family(
        "counter", ("component", "version", "listener", "outcome"), "Deliveries of messages, by what became of them."
    ),
    "penstock_delivery_seconds": Family(
        "summary", ("component", "version", "listener"), "Time of an operation that ran for a message."
    ),
    "penstock_runtime_calls_total": Family("counter", ("runtime", "outcome"), "Calls to runtimes elsewhere."),
    "penstock_runtime_connections": Family("gauge", ("runtime", "worker"), "Processes of it that take calls."),
    "penstock_process_calls_total": Family("counter", ("name", "outcome"), "Calls that a runtime ran, by its process."),
    "penstock_process_seconds_total": Family("counter", ("name",), "Time in calls of a runtime's process."),
    "penstock_process_running": Family("gauge", (), "Calls that a runtime runs now."),
    "penstock_process_gateways": Family("gauge", (), "Gateway workers that are connected to a runtime."),
    "penstock_policy_host_calls_total": Family("counter", ("package", "outcome"), "Calls to isolated policies."),
    "penstock_policy_host_up": Family("gauge", ("package", "worker"), "1 while the worker is connected to the host."),
    "penstock_certificate_expires_timestamp_seconds": Family(
        "gauge", ("listener", "file"), "When a listener's certificate ends.", most=True
    ),
    "penstock_worker_loop_lag_seconds": Family(
        "gauge", ("worker",), "The longest that the worker's loop was late in the last second."
    ),
    "penstock_process_cpu_seconds_total": Family("counter", ("process",), "Processor time, of user and system."),
    "penstock_process_resident_memory_bytes": Family("gauge", ("process",), "Memory that the process has."),
    "penstock_process_open_fds": Family("gauge", ("process",), "Open files."),
    "penstock_process_max_fds": Family("gauge", ("process",), "Files that may be open."),
    "penstock_process_start_time_seconds": Family("gauge", ("process",), "When the process began."),
    "penstock_access_log_lines_dropped_total": Family("counter", (), "Lines lost to a full disk or a slow reader."),
    "penstock_spans_total": Family("counter", ("outcome",), "Spans of traces, by what became of them."),
    "penstock_build_info": Family("gauge", ("version", "python"), "What runs here."),
    "penstock_workers": Family("gauge", (), "Workers that take requests."),
    "penstock_workers_configured": Family("gauge", (), "Workers that there should be."),
    "penstock_workers_ended_total": Family("counter", (), "Workers that ended, for whatever reason."),
    "penstock_store_up": Family("gauge", (), "1 while the control process reaches the store."),
    "penstock_store_heard_timestamp_seconds": Family("gauge", (), "When the store was last heard."),
    "penstock_last_known_good_timestamp_seconds": Family("gauge", (), "How fresh the last known good on disk is."),
    "penstock_sequence": Family("gauge", (), "The change that this node serves."),
    "penstock_sequence_behind": Family("gauge", (), "Changes that were read and are not served yet."),
    "penstock_serving_error": Family("gauge", (), "1 while what the store says cannot be served here."),
    "penstock_versions_live": Family("gauge", (), "Versions of API components that serve."),
    "penstock_publishes_total": Family("counter", ("outcome",), "Changes of what is served, asked of this node."),
    "penstock_topic_messages": Family("gauge", ("topic",), "Messages that a topic keeps; every node tells the same."),
    "penstock_listener_messages": Family(
        "gauge", ("topic", "listener", "state"), "Messages by where they stand; every node tells the same."
    ),
    "penstock_usage_unwritten_batches": Family("gauge", (), "Batches of usage that the store does not have yet."),
}


def total_samples(many: Iterable[Samples], ended: bool = False) -> dict[str, list[list[Any]]]:
    """Several processes' samples as one. `ended`: what stays of processes that are gone, for a counter never goes down
    and a gauge is gone."""
    summed: dict[str, dict[tuple[str, ...], Any]] = {}
    for samples in many:
        for name, rows in samples.items():
            about = FAMILIES[name]
            if ended and about.kind == "gauge":
                continue
            found = summed.setdefault(name, {})
            for *labels, value in rows:
                key = tuple(labels)
                found[key] = _joined(about, found[key], value) if key in found else value
    return {name: [[*key, value] for key, value in rows.items()] for name, rows in summed.items()}


def _joined(about: Family, mine: Any, theirs: Any) -> Any:
    if isinstance(mine, list):
        return [one + other for one, other in zip(mine, theirs, strict=True)]
    return max(mine, theirs) if about.most else mine + theirs


def sample_lines(samples: Samples) -> list[str]:
    """In the Prometheus text format."""
    lines = []
    for name, about in FAMILIES.items():
        rows = samples.get(name)
        if rows:
            lines += family(name, about.kind, about.text)
            for *labels, value in sorted(rows, key=lambda row: list(row[:-1])):
                lines += _lines(name, about, labels, value)
    return lines


def _lines(name: str, about: Family, values: Sequence[str], value: Any) -> Iterator[str]:
    named = ",".join(f"{label}={quoted(str(text))}" for label, text in zip(about.labels, values, strict=True))
    braced = f"{{{named}}}" if named else ""
    if about.kind == "histogram":
        yield from histogram_lines(name, named, about.bounds, value[:-1], value[-1])
    elif about.kind == "summary":
        yield f"{name}_sum{braced} {number(value[1])}"
        yield f"{name}_count{braced} {value[0]}"
    else:
        yield f"{name}{braced} {number(value)}"


def histogram_lines(
    name: str, named: str, bounds: Sequence[float], counts: Sequence[int], sum_: float
) -> Iterator[str]:
    """`counts` by bucket, not cumulative."""
    comma, total = ("," if named else ""), 0
    braced = f"{{{named}}}" if named else ""
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        yield f'{name}_bucket{{{named}{comma}le="{bound}"}} {total}'
    yield f"{name}_sum{braced} {sum_:.6f}"
    yield f"{name}_count{braced} {total}"


def number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}".rstrip("0").rstrip(".")


class Bounded:
    """Counters by labels of which there may be many: beyond `most` sets of labels, further ones are `other` in the
    labels at `free`."""

    __slots__ = ("_counts", "_free", "_most")

    def __init__(self, most: int, *free: int) -> None:
        self._counts: dict[tuple[str, ...], int] = {}
        self._most = most
        self._free = free

    def count(self, labels: tuple[str, ...], by: int = 1) -> None:
        if labels not in self._counts and len(self._counts) >= self._most:
            labels = tuple(OTHER if index in self._free else label for index, label in enumerate(labels))
        self._counts[labels] = self._counts.get(labels, 0) + by

    def rows(self) -> list[list[Any]]:
        return [[*labels, count] for labels, count in self._counts.items()]
