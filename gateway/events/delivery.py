"""One delivery of one message: decode, call, and tell the store what became of it.

A message is delivered once and again after each of its listener's delays, never more often. What does not fit the
operation's contract cannot fit later either, so it becomes a dead letter at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final

from gateway.core.call import Backend, Call, Context, Placed
from gateway.core.clock import Clock
from gateway.core.errors import Conflict, InvalidInput, NotFound, Problem, StoreUnavailable, Unreached
from gateway.core.identity import Identity
from gateway.core.ids import id_source
from gateway.events.tracing import Consuming
from gateway.schema.json_codec import loads, reader
from gateway.schema.types import Operation, Types
from gateway.snapshot.spec import ListenerSpec
from gateway.store.streams import Message, Streams
from gateway.telemetry.events import ACKNOWLEDGED, DEAD, RETRIED, Messages
from gateway.telemetry.tracing import Tracer

log: Final = logging.getLogger("gateway.events")

AWAY: Final = 0.5  # seconds between two looks for what runs the messages
EXHAUSTED: Final = "deliveries_exhausted"
_TEXT: Final = 4000  # characters of an error that are kept
_BLIND: Final = (
    "The last of {limit} deliveries ended without an answer: its consumer was killed, or its lease ran out. "
    "Look at the log of that time, then redrive it."
)


def pauses(first: float = 0.05, most: float = 5.0) -> Iterator[float]:
    """Seconds between tries while the store is away: each twice as long as the one before, up to `most`."""
    while True:
        yield first
        first = min(first * 2, most)


class Delivery:
    """What a listener does with each of its messages."""

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
        lease_seconds: float,
        messages: Messages | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._name = name
        self._spec = spec
        self._component = component
        self._version = version
        self._operation = operation.name
        self._backend = backend
        self._placed = backend if isinstance(backend, Placed) else None
        self._streams = streams
        self._clock = clock
        self._lease = lease_seconds
        self._limit = len(spec.delays) + 1
        self._read = reader(operation.input, False, types)
        self._ids = id_source()
        self._identity = Identity(subject=f"listener {name}", method="event")
        self._messages = messages or Messages()
        self._key = component, version, name.rpartition("/")[2]
        self._messages.expect(self._key)
        names = {"component": component, "version": version, "operation": operation.name}
        self._tracing = Consuming(tracer, clock, spec.topic, name, names)

    async def handle(self, message: Message) -> None:
        """Returns when the message is acknowledged, waits for its next delivery or is buried, or is another
        consumer's. Its lease is held meanwhile. An outage of the store is waited for."""
        keeping = asyncio.ensure_future(self._hold(message))
        try:
            await self._deliver(message)
        finally:
            keeping.cancel()

    async def _deliver(self, message: Message) -> None:
        if message.attempt > self._limit:
            return await self._bury(message, EXHAUSTED, _BLIND.format(limit=self._limit))
        try:
            call = self._call(message)
        except InvalidInput as problem:
            log.warning("%s: message %s does not fit the contract", self._name, message.id)
            return await self._bury(message, problem.code, told(problem))
        began = self._clock.monotonic()
        error = await self._run(message, call)
        seconds = self._clock.monotonic() - began
        self._messages.took(self._key, seconds)
        if error is not None:
            return await self._fail(message, call, error)
        await self._settle(message, partial(self._streams.ack, attempt=message.attempt), message.id)
        self._count(ACKNOWLEDGED)
        log.debug("%s: message %s delivered in %.3f s", self._name, message.id, seconds)

    async def _run(self, message: Message, call: Call) -> Exception | None:
        """What it failed with."""
        trace, failed = self._tracing.begin(message), None
        try:
            await self._invoke(call)
        except Exception as error:
            failed = error
        finally:
            if trace is not None:
                self._tracing.end(trace, failed)
        return failed

    async def _invoke(self, call: Call) -> None:
        """Once something could run it. A message that was read before that was known waits here, and spends nothing."""
        while True:
            while self._placed is not None and not self._placed.available():  # noqa: ASYNC110 - hosts of any kind
                await asyncio.sleep(AWAY)
            try:
                await self._backend.invoke(call)
            except Unreached:
                if self._placed is None:
                    raise
            else:
                return

    def _count(self, outcome: str) -> None:
        self._messages.delivered[(*self._key, outcome)] += 1

    def _call(self, message: Message) -> Call:
        payload = loads(message.payload)
        given = self._read(payload if self._spec.body is None else {self._spec.body: payload})
        context = Context(
            self._ids(),
            self._component,
            self._version,
            self._operation,
            "event",
            self._identity,
            message.attempt,
            message.id,
            message.properties,
        )
        return Call(self._operation, given, context)

    async def _fail(self, message: Message, call: Call, error: Exception) -> None:
        """Again after the delay of this attempt, or a dead letter when that was the last one."""
        call_id = call.context.call_id
        if isinstance(error, Problem):
            reason, text = error.code, told(error)
            log.warning("%s: message %s failed: %s: %s", self._name, message.id, reason, text)
        else:
            reason, text = type(error).__name__, f"The gateway's log tells more under the id {call_id}."
            log.error("call %s: %s: message %s failed", call_id, self._name, message.id, exc_info=error)
        if message.attempt >= self._limit:
            return await self._bury(message, reason, text)
        delay = self._spec.delays[message.attempt - 1]
        self._count(RETRIED)
        again = partial(self._streams.retry, reason=f"{reason}: {text}", attempt=message.attempt)
        await self._settle(message, again, message.id, delay)

    async def _bury(self, message: Message, reason: str, error: str) -> None:
        log.warning("%s: message %s is a dead letter: %s", self._name, message.id, reason)
        self._count(DEAD)
        await self._settle(message, self._streams.dead_letter, message, reason, error)

    async def _settle(self, message: Message, step: Callable[..., Awaitable[object]], *arguments: Any) -> None:
        """Tells the store, however long it is away. What was applied though its answer was lost is a Conflict the
        second time, and so is a message that another consumer got meanwhile: both are not ours any more."""
        waits = pauses()
        while True:
            try:
                await step(self._spec.topic, self._name, *arguments)
            except StoreUnavailable:
                await asyncio.sleep(next(waits))
            except (Conflict, NotFound) as refused:
                return log.warning("%s: message %s: %s", self._name, message.id, refused)
            else:
                return None

    async def _hold(self, message: Message) -> None:
        """Extends the lease while work goes on; soon again when the store is away, before others may take it."""
        wait = third = self._lease / 3
        while True:
            await asyncio.sleep(wait)
            wait = third
            try:
                await self._streams.extend(self._spec.topic, self._name, message.id, message.attempt, self._lease)
            except StoreUnavailable:
                wait = min(third, 0.5)
            except (Conflict, NotFound):
                return


def told(problem: Problem) -> str:
    """A problem's detail, then each of its details that says more, for a person who looks at a dead letter."""
    parts = [problem.detail or problem.title]
    parts += [f"{each.target} {each.message}" for each in problem.details[1:]]
    return "; ".join(parts)[:_TEXT]
