"""What a worker tells the control process: numbers once a second, spans as they come, a slice at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.server.link import Link
from gateway.server.upstreams import Targets, dependencies
from gateway.store.numbers import store_samples
from gateway.telemetry.events import Messages
from gateway.telemetry.observer import Observer
from gateway.telemetry.processes import process_samples
from gateway.telemetry.tracing import RING, SLICE, Tracer

if TYPE_CHECKING:
    from gateway.live.swap import LiveSnapshot
    from gateway.relay.outside import Outside
    from gateway.runtime.hosts import WorkerHosts
    from gateway.runtime.remotes import Remotes
    from gateway.server.port import Port

SPANS: Final = 0.25  # seconds between looks at the ring
UNSENT: Final = 4 * 1024 * 1024  # bytes that the control process has not read, above which spans wait in the ring


class Telling:
    """`index` is the worker's."""

    def __init__(
        self,
        index: int,
        observer: Observer,
        tracer: Tracer,
        messages: Messages,
        port: Port,
        hosts: WorkerHosts,
        outside: Outside,
        remotes: Remotes,
    ) -> None:
        self.remotes = remotes
        self.outside = outside
        self.index = index
        self.observer = observer
        self.tracer = tracer
        self.messages = messages
        self.port = port
        self.hosts = hosts
        self.targets = Targets(index)

    def metrics(self, running: int, live: LiveSnapshot | None) -> dict[str, Any]:
        """The worker's snapshot: see `telemetry.counters.total`."""
        port = self.port.told(running)
        taken = self.observer.snapshot() | port
        taken["dependencies"] = dependencies(self.outside, self.index)
        taken["upstreams"] = self.targets.told(live)
        taken["samples"] = {**taken["samples"], **self._samples(port["load"]["gauges"])}
        return taken

    def _samples(self, gauges: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **store_samples(),
            **self.messages.samples(),
            **self.hosts.samples(str(self.index)),
            **self.remotes.samples(str(self.index)),
            **self.port.samples(),
            **process_samples(f"worker {self.index}"),
            "penstock_worker_loop_lag_seconds": [[str(self.index), gauges["loop_lag_seconds"]]],
        }

    async def spans(self, link: Link) -> None:
        """Until cancelled. A control process that does not read them lets them wait, and the ring drops."""
        while self.tracer.sampling.on:
            await asyncio.sleep(SPANS)
            for _ in range(RING // SLICE):
                if link.unsent >= UNSENT or not self.told_spans(link):
                    break
                await asyncio.sleep(0)

    def told_spans(self, link: Link) -> bool:
        """One slice; False when there is none."""
        spans = self.tracer.take()
        if spans:
            link.send({"say": "spans", "spans": spans})
        return bool(spans)
