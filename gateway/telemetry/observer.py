"""What a live cell's `observe` is in a worker: the access log, the counters and the trace of every exchange that
ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.core.clock import Clock, SystemClock
from gateway.core.exchange import Exchange
from gateway.core.trace import sampled
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.counters import Counters
from gateway.telemetry.mirrors import Mirrors
from gateway.telemetry.reports import Reports
from gateway.telemetry.tracing import Tracer


class Observer:
    """`path` None: no access log; STDOUT: on standard output."""

    def __init__(self, path: Path | None, clock: Clock | None = None, tracer: Tracer | None = None) -> None:
        self.counters = Counters()
        self.reports = Reports()
        self.mirrors = Mirrors()
        self.tracer = tracer
        self.log = None if path is None else AccessLog(path, clock or SystemClock())
        self._count = self.counters.count
        self._record = None if self.log is None else self.log.record

    def observe(self, exchange: Exchange) -> None:
        """Once for each exchange, when it closes: this is a live cell's `observe`."""
        self._count(exchange)
        if exchange.trace is not None and self.tracer is not None and sampled(exchange.trace) is not None:
            self.tracer.finish(exchange, exchange.trace)
        if self._record is not None:
            self._record(exchange)

    def snapshot(self) -> dict[str, Any]:
        """The counters so far, which `counters.total` sums, and who called since they were last asked for."""
        calls = self.counters.take_calls()
        taken = self.counters.snapshot()
        if reports := self.reports.snapshot():
            taken["reports"] = reports
        if mirrors := self.mirrors.snapshot():
            taken["mirrors"] = mirrors
        taken["calls"] = calls
        taken["samples"] = self._samples()
        return taken

    def _samples(self) -> dict[str, Any]:
        found = dict(self.counters.samples())
        if self.log is not None:
            found["penstock_access_log_lines_dropped_total"] = [[self.log.dropped]]
        if self.tracer is not None:
            found |= self.tracer.samples()
        return found

    def close(self) -> None:
        if self.log is not None:
            self.log.close()
