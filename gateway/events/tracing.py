"""Traces through messages: the producer's span goes along as the properties `traceparent` and `tracestate`, and what
runs for a message goes on from there, with a link to it (OpenTelemetry's conventions for messaging)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from gateway.core.clock import Clock
from gateway.core.trace import CONSUMER, CURRENT, PRODUCER, Parent, Span, Trace
from gateway.store.streams import Message
from gateway.telemetry.tracing import Tracer

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
_SYSTEM: Final = {"messaging.system": "penstock"}


@contextmanager
def producing(topic: str, properties: dict[str, str]) -> Iterator[Span | None]:
    """A span around publishing a message, whose properties lead to it; None where nobody traces."""
    trace = CURRENT.get()
    if trace is None:
        yield None
        return
    told = {**_SYSTEM, "messaging.operation.type": "send", "messaging.destination.name": topic}
    with trace.within(f"send {topic}", PRODUCER, told) as span:
        properties[TRACEPARENT] = trace.parent_of(span).decode()
        if trace.state:
            properties[TRACESTATE] = trace.state
        yield span


class Consuming:
    """What a listener's deliveries are traced by."""

    def __init__(
        self, tracer: Tracer | None, clock: Clock, topic: str, listener: str, names: Mapping[str, str]
    ) -> None:
        self._tracer = tracer
        self._clock = clock
        self._topic = topic
        self._listener = listener
        self._names = {f"penstock.{name}": value for name, value in names.items() if value}

    def begin(self, message: Message) -> Trace | None:
        """The trace of this delivery, if it has one. Its task has it from now on."""
        if self._tracer is None or not self._tracer.sampling.on:
            return None
        value, state = (message.properties.get(name, "").encode() for name in (TRACEPARENT, TRACESTATE))
        parent = Parent.parse(value, state)
        if not self._tracer.consume(parent):
            return None
        trace = Trace(self._clock.monotonic, self._clock.monotonic(), parent, True)
        trace.root.name, trace.root.kind = f"process {self._topic}", CONSUMER
        trace.root.attributes = {
            **_SYSTEM,
            **self._names,
            "messaging.operation.type": "process",
            "messaging.destination.name": self._topic,
            "messaging.consumer.group.name": self._listener,
            "messaging.message.id": message.id,
            "penstock.attempt": message.attempt,
        }
        if parent is not None:
            trace.root.links.append(parent)
        CURRENT.set(trace)
        return trace

    def end(self, trace: Trace, error: BaseException | None) -> None:
        """The delivery is settled, or was given up."""
        assert self._tracer is not None
        trace.end(trace.root, error)
        self._tracer.keep(trace, trace.spans)
