"""What a live cell's `observe` is in a worker: the access log and the counters of every exchange that ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.core.clock import Clock, SystemClock
from gateway.core.exchange import Exchange
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.counters import Counters
from gateway.telemetry.mirrors import Mirrors
from gateway.telemetry.reports import Reports


class Observer:
    """Called with each exchange once, when it closes. `path` None: no log."""

    def __init__(self, path: Path | None, clock: Clock | None = None) -> None:
        self.counters = Counters()
        self.reports = Reports()
        self.mirrors = Mirrors()
        self.log = None if path is None else AccessLog(path, clock or SystemClock())

    def __call__(self, exchange: Exchange) -> None:
        self.counters.count(exchange)
        if self.log is not None:
            self.log.record(exchange)

    def snapshot(self) -> dict[str, Any]:
        """The counters so far, which `counters.total` sums, and who called since they were last asked for."""
        taken = self.counters.snapshot()
        if reports := self.reports.snapshot():
            taken["reports"] = reports
        if mirrors := self.mirrors.snapshot():
            taken["mirrors"] = mirrors
        taken["calls"] = self.counters.take_calls()
        taken["log_lines_dropped"] = 0 if self.log is None else self.log.dropped
        return taken

    def close(self) -> None:
        if self.log is not None:
            self.log.close()
