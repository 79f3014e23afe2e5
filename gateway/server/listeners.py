"""The listeners of what is live: started, replaced and drained at each swap."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.core.call import Backend
from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.core.findings import DocumentsRefused
from gateway.events.delivery import pauses
from gateway.events.listener import Listener
from gateway.schema.types import Operation, Types
from gateway.snapshot.spec import ListenerSpec, VersionSpec
from gateway.store.streams import Streams
from gateway.telemetry.events import Messages
from gateway.telemetry.tracing import Tracer

log: Final = logging.getLogger("gateway.events")

DRAIN_SECONDS: Final = 30.0


class Version(Protocol):
    """What is needed of `live.build.LiveVersion`."""

    holders: int

    @property
    def spec(self) -> VersionSpec: ...
    @property
    def types(self) -> Types: ...
    @property
    def operations(self) -> Mapping[str, Operation]: ...
    @property
    def backends(self) -> Mapping[str, Backend]: ...
    async def close(self) -> None: ...


class Live(Protocol):
    """What is needed of `live.swap.LiveSnapshot`."""

    @property
    def versions(self) -> Mapping[str, Version]: ...


@dataclass(eq=False, slots=True)
class _Running:
    """A listener with its version, which it holds open, and the task that runs it."""

    listener: Listener
    version: Version
    task: asyncio.Task[None]

    def serves(self, version: Version, spec: ListenerSpec) -> bool:
        return self.version is version and self.listener.spec == spec


class Listeners:
    """One per worker. `consumer` names the worker among all that read the store; each listener adds a number."""

    def __init__(
        self,
        streams: Streams,
        clock: Clock,
        consumer: str,
        messages: Messages | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._messages = messages
        self._tracer = tracer
        self._streams = streams
        self._clock = clock
        self._consumer = consumer
        self._numbers = itertools.count(1)
        self._running: dict[str, _Running] = {}
        self._draining: set[asyncio.Task[None]] = set()
        self._warning: asyncio.Task[None] | None = None

    def serve(self, live: Live) -> None:
        """Runs the listeners of these versions and no others; called on the loop's thread at each swap. What goes on
        unchanged is left alone, what is gone or replaced drains in the background."""
        wanted = {name: (version, spec) for name, version, spec in _declared(live)}
        for name, running in list(self._running.items()):
            if name not in wanted or not running.serves(*wanted[name]):
                del self._running[name]
                self._retire(running, DRAIN_SECONDS)
        for name, (version, spec) in wanted.items():
            if name not in self._running:
                self._start(name, version, spec)
        if self._running and self._warning is None:
            self._warning = asyncio.create_task(_warn(self._streams))

    async def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """For shutdown: everything in flight finishes and is acknowledged, or is given back after `seconds`."""
        for running in self._running.values():
            self._retire(running, seconds)
        self._running.clear()
        if self._warning is not None:
            self._warning.cancel()
        if self._draining:
            await asyncio.wait(self._draining)

    def _start(self, name: str, version: Version, spec: ListenerSpec) -> None:
        try:
            listener = Listener(
                name,
                spec,
                version.spec.component,
                version.spec.version,
                version.operations[spec.operation],
                version.types,
                version.backends[spec.operation],
                self._streams,
                self._clock,
                f"{self._consumer}-{next(self._numbers)}",
                messages=self._messages,
                tracer=self._tracer,
            )
        except (DocumentsRefused, KeyError):
            log.exception("the listener %s cannot run", name)
            return
        version.holders += 1
        self._running[name] = _Running(listener, version, asyncio.create_task(_keep(listener)))

    def _retire(self, running: _Running, seconds: float) -> None:
        task = asyncio.create_task(_end(running, seconds))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)


def _declared(live: Live) -> Iterator[tuple[str, Version, ListenerSpec]]:
    for version in live.versions.values():
        for name, spec in version.spec.listeners.items():
            yield f"{version.spec.name}/{name}", version, spec


async def _warn(streams: Streams) -> None:
    """Says once why the store could lose messages that it accepted (CASES Q76)."""
    waits = pauses()
    while True:
        try:
            hazards = await streams.hazards()
        except StoreUnavailable:
            await asyncio.sleep(next(waits))
        else:
            break
    for hazard in hazards:
        log.warning("messages are not safe: %s", hazard)


async def _keep(listener: Listener) -> None:
    """Runs it again when it crashed, with pauses that grow."""
    waits = pauses(0.1, 30.0)
    while True:
        try:
            return await listener.run()
        except Exception:
            log.exception("the listener %s crashed and is started again", listener.name)
        await asyncio.sleep(next(waits))


async def _end(running: _Running, seconds: float) -> None:
    """Drains it, then lets go of its version; the last holder closes that."""
    try:
        await running.listener.drain(seconds)
    except Exception:
        log.exception("the listener %s did not drain; its leases must run out", running.listener.name)
    finally:
        running.task.cancel()
        running.version.holders -= 1
        if not running.version.holders:
            await running.version.close()
