"""What `penstock doctor` finds in a node's metrics: certificates, open files, workers, the last known good, circuits,
the store's lines, lost log lines; and in the data folder, where it is on this machine. Pure over what was read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from gateway.cli.finding import Found
from gateway.cli.metrics_text import Sample

SOON: Final = 14 * 86_400.0  # seconds before a certificate's end at which it is told
STALE: Final = 900.0  # seconds for which the last known good may lag behind; the node keeps it every few
ENOUGH: Final = 4096  # open files
CROWDED: Final = 0.8  # of the open files
LEAST: Final = 512 * 1024 * 1024  # bytes of disk


def examine_metrics(found: Sequence[Sample], now: float) -> list[Found]:
    """`now` in seconds since 1970, of the node's clock."""
    checks = (_certificates(found, now), _files(found), _workers(found), _known_good(found, now), _behind(found))
    return [each for check in (*checks, _circuits(found), _lines(found), _lost(found)) for each in check]


def _of(found: Sequence[Sample], name: str) -> list[Sample]:
    return [each for each in found if each.name == name]


def _value(found: Sequence[Sample], name: str) -> float | None:
    return next((each.value for each in _of(found, name)), None)


def _certificates(found: Sequence[Sample], now: float) -> Iterator[Found]:
    for each in _of(found, "penstock_certificate_expires_timestamp_seconds"):
        left, file = each.value - now, each.labels.get("file", "")
        seen = f"{file} ends in {left / 86_400:.0f} days" if left > 0 else f"{file} has ended"
        state = "bad" if left <= 0 else "warn" if left < SOON else "ok"
        way = "" if state == "ok" else "Put the renewed certificate and key in place: they are read within a second."
        yield Found(f"certificate of {each.labels.get('listener', '')}", state, seen, way)  # type: ignore[arg-type]


def _files(found: Sequence[Sample]) -> Iterator[Found]:
    most = {each.labels.get("process"): each.value for each in _of(found, "penstock_process_max_fds")}
    for each in _of(found, "penstock_process_open_fds"):
        process = each.labels.get("process", "")
        limit = most.get(process) or max(most.values(), default=0.0)
        if limit and each.value > CROWDED * limit:
            seen = f"{each.value:.0f} of {limit:.0f} are open"
            way = "Raise the limit (ulimit -Hn, LimitNOFILE) and start the node again, or lower max_connections."
            yield Found(f"open files of {process}", "warn", seen, way)
    least = min(most.values(), default=0.0)
    if 0 < least < ENOUGH:
        way = "Raise the limit (ulimit -Hn, LimitNOFILE): it bounds connections."
        yield Found("open files", "warn", f"at most {least:.0f} for a process", way)
    elif least:
        yield Found("open files", "ok", f"at most {least:.0f} for a process")


def _workers(found: Sequence[Sample]) -> Iterator[Found]:
    there, wanted = _value(found, "penstock_workers"), _value(found, "penstock_workers_configured")
    if there is not None and wanted is not None and there < wanted:
        seen = f"{there:.0f} of {wanted:.0f} take requests"
        yield Found("workers", "bad", seen, "See the node's log for why they end; they are started again.")


def _known_good(found: Sequence[Sample], now: float) -> Iterator[Found]:
    at = _value(found, "penstock_last_known_good_timestamp_seconds")
    if at is None or not at:
        return
    age = max(0.0, now - at)
    seen = f"{age:.0f} s old"
    if age > STALE:
        way = "See that the data folder can be written; after max_stale it decides nothing any more."
        yield Found("last known good", "warn", seen, way)
    else:
        yield Found("last known good", "ok", seen)


def _behind(found: Sequence[Sample]) -> Iterator[Found]:
    behind = _value(found, "penstock_sequence_behind")
    if behind:
        yield Found("change log", "warn", f"{behind:.0f} changes are not served yet", "Look again; then see the log.")


def _circuits(found: Sequence[Sample]) -> Iterator[Found]:
    for name, wrong, word in (
        ("circuit", 2.0, "its circuit is open"),
        ("ejected", 1.0, "it is left out"),
        ("healthy", 0.0, "its checks fail"),
    ):
        targets = {
            f"{each.labels.get('component')}@{each.labels.get('version')} {each.labels.get('backend')} "
            f"{each.labels.get('target')}"
            for each in _of(found, f"penstock_upstream_{name}")
            if each.value == wrong
        }
        for target in sorted(targets):
            yield Found(f"upstream {target}", "warn", word, "Look at that target; it is tried again by itself.")


def _lines(found: Sequence[Sample]) -> Iterator[Found]:
    down = [each for each in _of(found, "penstock_store_lines") if each.labels.get("state") == "down" and each.value]
    for each in down:
        seen = f"{each.value:.0f} workers have no line to it"
        yield Found("store", "bad", seen, "Limits go by their on_store_loss; see that every worker reaches the store.")


def _lost(found: Sequence[Sample]) -> Iterator[Found]:
    lost = _value(found, "penstock_access_log_lines_dropped_total")
    if lost:
        seen = f"{lost:.0f} lines were lost since the node started"
        yield Found("access log", "warn", seen, "Make room on its disk, or let whoever reads its output keep up.")


def examine_folder(data: Path) -> Iterator[Found]:
    """Of a node on this machine."""
    mode = data.stat().st_mode & 0o777
    if mode & 0o007:
        way = f"chmod o-rwx {data}: the key secret and hashed keys are in it."
        yield Found("data folder", "warn", f"{data} is open to everybody ({mode:o})", way)
    room = shutil.disk_usage(data).free
    if room < LEAST:
        seen = f"{room / 1e6:.0f} MB are left at {data}"
        yield Found("data folder", "bad", seen, "Make room: the store, the last known good and logs are written there.")
    else:
        yield Found("data folder", "ok", f"{data}, {room / 1e9:.1f} GB are left")
