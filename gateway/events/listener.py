"""A listener: one version's operation, run for each message of a topic.

Its consumer group is created at the beginning of what the topic keeps, so that nothing that was published before the
listener was live is lost. `concurrency` is per listener object, so per worker. Delivery is at least once: an operation
that must not run twice keeps `Context.message_id`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from gateway.core.call import Backend, Placed
from gateway.core.clock import Clock
from gateway.core.errors import NotFound, StoreUnavailable
from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.events.delivery import AWAY, Delivery, pauses
from gateway.schema.types import Operation, Types
from gateway.snapshot.spec import ListenerSpec
from gateway.store.streams import Message, Streams
from gateway.telemetry.events import Messages
from gateway.telemetry.tracing import Tracer

log: Final = logging.getLogger("gateway.events")


class Listener:
    """`name` is the consumer group, `shop@v2/bill_order`; `consumer` is unique among all that read it.

    `lease_seconds` is how long a killed consumer's messages stay with it, `block_seconds` how long a read waits in
    the store, and so how long an idle listener takes to drain. DocumentsRefused when the spec's `body` is no
    parameter of the operation.
    """

    def __init__(
        self,
        name: str,
        spec: ListenerSpec,
        component: str,
        version: str,
        operation: Operation,
        types: Types,
        backend: Backend,
        streams: Streams,
        clock: Clock,
        consumer: str,
        *,
        lease_seconds: float = 15.0,
        block_seconds: float = 1.0,
        messages: Messages | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        if spec.body is not None and spec.body not in operation.input:
            raise DocumentsRefused([_no_parameter(name, spec.body, operation)])
        self.name = name
        self.spec = spec
        self.consumer = consumer
        self._streams = streams
        self._lease = lease_seconds
        self._block = block_seconds
        self._delivery = Delivery(
            name,
            spec,
            component,
            version,
            operation,
            types,
            backend,
            streams,
            clock,
            lease_seconds,
            messages=messages,
            tracer=tracer,
        )
        self._placed = backend if isinstance(backend, Placed) else None
        self._away = False
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._freed = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._reading: asyncio.Task[list[Message]] | None = None
        self._waits = pauses()
        self._trouble = ""

    async def run(self) -> None:
        """Until `drain`. An outage of the store is waited for, with pauses that grow to seconds."""
        self._ended.clear()
        try:
            while not self._stopping.is_set():
                await self._until_trouble()
        finally:
            self._ended.set()

    async def drain(self, seconds: float) -> None:
        """Reads no more, lets what is in flight finish and be acknowledged for up to `seconds`, then cancels the rest
        and gives it back, to be delivered to others at once."""
        self._stopping.set()
        self._freed.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()
                while self._running:
                    await asyncio.wait(self._running)
        if self._reading is not None:
            self._reading.cancel()
        await self._ended.wait()
        await self._give_back()

    async def _until_trouble(self) -> None:
        """Subscribes and reads. Returns after the pause that the store's outage, or the loss of the subscription,
        asks for; each trouble is logged once."""
        try:
            await self._streams.create_group(self.spec.topic, self.name, "beginning")
            while not self._stopping.is_set():
                await self._take()
                if self._trouble:
                    log.info("%s goes on", self.name)
                self._trouble, self._waits = "", pauses()
        except (StoreUnavailable, NotFound) as error:  # NotFound: the subscription was dropped, the topic deleted
            if error.code != self._trouble:
                self._trouble = error.code
                log.warning("%s waits for the store: %s", self.name, error)
            await self._pause(next(self._waits))

    async def _take(self) -> None:
        """Starts as many messages as may run; waits for one to end when all do."""
        if not self._available():
            await self._pause(AWAY)
            return
        free = self.spec.concurrency - len(self._running)
        if free <= 0:
            self._freed.clear()
            await self._freed.wait()
            return
        for message in await self._read(free):
            task = asyncio.create_task(self._delivery.handle(message))
            self._running.add(task)
            task.add_done_callback(self._finished)

    def _available(self) -> bool:
        """Whether what runs its messages can be reached: if not, to read them would only spend their attempts. Told
        once each time."""
        available = self._placed is None or self._placed.available()
        if available == self._away:
            self._away = not available
            told = "%s goes on" if available else "%s reads nothing: what runs its messages is away"
            log.log(logging.INFO if available else logging.WARNING, told, self.name)
        return available

    async def _read(self, count: int) -> list[Message]:
        """A task of its own, so that a drain out of time can end it. It is not ended before: messages that a read
        was about to bring would have lost an attempt."""
        read = self._streams.read(
            self.spec.topic, self.name, self.consumer, count, self._block, lease_seconds=self._lease
        )
        reading = self._reading = asyncio.ensure_future(read)
        try:
            await asyncio.wait({reading})
        finally:
            reading.cancel()
        return [] if reading.cancelled() else reading.result()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: a delivery broke off; it comes again when its lease is over", self.name, exc_info=error)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _give_back(self) -> None:
        left = set(self._running)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        try:
            given = await self._streams.release(self.spec.topic, self.name, self.consumer)
        except NotFound:
            return
        except StoreUnavailable as error:
            log.warning("%s gave nothing back, so its leases must run out: %s", self.name, error)
            return
        if given:
            log.warning("%s gave back %d messages that it could not finish in time", self.name, given)


def _no_parameter(name: str, body: str, operation: Operation) -> Finding:
    known = ", ".join(field.name for field in operation.input.fields) or "none"
    message = f"The listener {name} has body: {body}, but {operation.name} has no such parameter."
    place = Place(path=f"/listeners/{name.rpartition('/')[2]}/body")
    return Finding(place, "unknown_parameter", message, f"Name one of: {known}.")
