"""What the control process itself has to tell in the metrics of a node: what it serves, how fresh that is, its store,
its workers, the topics, who called."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from gateway import __version__
from gateway.admin.callers import Callers
from gateway.admin.publishing import Publisher
from gateway.core.errors import StoreUnavailable
from gateway.core.settings import Settings
from gateway.server.control import Control
from gateway.server.crew import Crew
from gateway.store.numbers import store_samples
from gateway.store.streams import Streams, TopicInfo
from gateway.telemetry.applications import Applications
from gateway.telemetry.families import total_samples
from gateway.telemetry.processes import process_samples

EVERY: Final = 15.0  # seconds between two looks at the topics

Samples = dict[str, list[list[Any]]]


class NodeMetrics:
    """`more` are further sources of samples."""

    def __init__(
        self,
        settings: Settings,
        control: Control,
        crew: Crew,
        streams: Streams,
        publisher: Publisher,
        callers: Callers,
    ) -> None:
        self._settings = settings
        self._control = control
        self._crew = crew
        self._streams = streams
        self._publisher = publisher
        self._callers = callers
        self._applications = Applications(settings.metrics_applications)
        self._topics: dict[str, TopicInfo] = {}
        self.more: list[Callable[[], Samples]] = []

    def called(self, calls: Iterable[Sequence[Any]]) -> None:
        calls = list(calls)
        self._applications.add(calls)
        self._callers.add(calls)

    def snapshots(self) -> list[Mapping[str, Any]]:
        """Of every worker, and of this process in the same form."""
        return [*self._crew.metrics(), {"endpoints": [], "samples": self._samples()}]

    def _samples(self) -> Samples:
        processes = [process_samples("control"), process_samples("supervisor", os.getppid())]
        more = [each() for each in self.more]
        own: list[Any] = [store_samples(), self._applications.samples(), self._node(), self._told_topics()]
        return total_samples([*processes, *own, *more])

    def _node(self) -> Samples:
        control, served = self._control, self._control.served
        single: dict[str, float] = {
            "penstock_workers": self._crew.size,
            "penstock_workers_configured": self._settings.workers,
            "penstock_workers_ended_total": self._crew.ended,
            "penstock_store_up": int(control.store_up),
            "penstock_store_heard_timestamp_seconds": float(control.directory.as_of),
            "penstock_last_known_good_timestamp_seconds": float(control.shelf.marked),
            "penstock_sequence": served.sequence,
            "penstock_sequence_behind": max(0, control.state.sequence - served.sequence),
            "penstock_serving_error": int(bool(served.error)),
            "penstock_versions_live": len(served.snapshot.versions),
            "penstock_usage_unwritten_batches": self._callers.unwritten,
        }
        found: Samples = {name: [[value]] for name, value in single.items()}
        found["penstock_build_info"] = [[__version__, platform.python_version(), 1]]
        outcomes = {"live": 0, "refused": 0, **self._publisher.outcomes}
        found["penstock_publishes_total"] = [[outcome, count] for outcome, count in outcomes.items()]
        return found

    def _told_topics(self) -> Samples:
        states: list[list[Any]] = []
        for topic, info in self._topics.items():
            for listener, group in info.groups.items():
                told = {"waiting": group.waiting, "in_flight": group.in_flight, "retrying": group.retrying}
                states += [[topic, listener, state, count] for state, count in (told | {"dead": group.dead}).items()]
        lengths = [[topic, info.length] for topic, info in self._topics.items()]
        return {"penstock_topic_messages": lengths, "penstock_listener_messages": states}

    async def watch_topics(self) -> None:
        """Until cancelled. While the store is away nothing is told of them."""
        while True:
            try:
                names = list(self._control.served.snapshot.topics)
                self._topics = {name: await self._streams.info(name) for name in names}
            except StoreUnavailable:
                self._topics = {}
            await asyncio.sleep(EVERY)
