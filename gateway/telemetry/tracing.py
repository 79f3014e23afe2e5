"""Which exchanges are traced, and their spans: made when an exchange ends, held in a ring until the control process
takes them. A ring that is full drops the newest: nothing waits for a collector, and memory is bounded.

Names of attributes are OpenTelemetry's semantic conventions for HTTP and messaging, and `penstock.…` for our own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, NamedTuple

from gateway.core.clock import Clock
from gateway.core.exchange import Exchange
from gateway.core.headers import finder
from gateway.core.live import LiveCell
from gateway.core.trace import INTERNAL, Mark, Parent, Span, Trace, facts_of, sampled, step_name

TIMED: Final = 64  # exchanges of which one has its steps timed
RING: Final = 4096  # spans of one worker that wait
SLICE: Final = 512  # of them in one message

Believe = Literal["any", "trusted", "none"]
_PARENT: Final = object()  # key of a head's memo
_traceparent: Final = finder(b"traceparent")
_tracestate: Final = finder(b"tracestate")


class Sampling(NamedTuple):
    """`ratio` of the traces that begin here; `believe`: whose decision on a trace that goes on is followed; `on`: spans
    are wanted at all."""

    on: bool = False
    ratio: float = 0.0
    believe: Believe = "trusted"


class Tracer:
    """Of one worker. `chance` gives numbers from 0 to 1. A service: policies ask it for a trace, too."""

    def __init__(
        self,
        clock: Clock,
        sampling: Sampling = Sampling(),  # noqa: B008 - an immutable tuple
        chance: Callable[[], float] = random.random,
        trusts: Callable[[Exchange], bool] = lambda _exchange: False,
    ) -> None:
        self.sampling = sampling
        self._clock = clock
        self._chance = chance
        self._trusts = trusts
        self._untimed = 0
        self._ring: list[dict[str, Any]] = []
        self.dropped = self.made = 0

    def watch(self, live: LiveCell) -> None:
        """From now on the cell's exchanges are looked at: each one where traces are wanted, else one out of many."""
        self._live = live
        self._every = 0 if self.sampling.on and (self.sampling.ratio or self.sampling.believe != "none") else TIMED - 1
        live.due, live.sample = self._every, self.sample

    # at the beginning

    def sample(self, exchange: Exchange) -> None:
        """Called by `core.edge.begin`."""
        self._live.due = self._every
        if self._every:
            exchange.trace = self._begun(exchange, None, False)
            return
        parent = self._parent(exchange)
        if self._decides(exchange, parent):
            exchange.trace = self._begun(exchange, parent, True)
            return
        self._untimed += 1
        if self._untimed >= TIMED:
            self._untimed = 0
            exchange.trace = self._begun(exchange, None, False)

    def _begun(self, exchange: Exchange, parent: Parent | None, spans: bool) -> Trace:
        return Trace(self._clock.monotonic, exchange.started_at, parent, spans)

    def _parent(self, exchange: Exchange) -> Parent | None:
        """A connection that sends the same head again is not looked at again."""
        memo = exchange.head.memo
        if _PARENT not in memo:
            memo[_PARENT] = parent_of(exchange.head.block)
        found: Parent | None = memo[_PARENT]
        return found

    def _decides(self, exchange: Exchange, parent: Parent | None) -> bool:
        sampling = self.sampling
        if parent is not None and (
            sampling.believe == "any" or (sampling.believe == "trusted" and self._trusts(exchange))
        ):
            return parent.sampled
        return self._chance() < sampling.ratio

    def trace(self, exchange: Exchange, rate: float) -> bool:
        """A policy wants this exchange traced, at this rate. True: it is from now on, where it was not."""
        if not self.sampling.on or sampled(exchange.trace) is not None or self._chance() >= rate:
            return False
        exchange.trace = self._begun(exchange, self._parent(exchange), True)
        return True

    # at the end

    def finish(self, exchange: Exchange, trace: Trace) -> None:
        """Its spans go into the ring."""
        root = trace.root
        root.name = _name(exchange)
        root.ended = exchange.ended_at
        root.attributes |= _told(exchange)
        root.problem = _problem(exchange)
        self.keep(trace, [*trace.spans, *_steps(trace, exchange.ended_at), root])

    def keep(self, trace: Trace, spans: list[Span]) -> None:
        """All of a trace's spans or none of them."""
        if len(self._ring) + len(spans) > RING:
            self.dropped += len(spans)
            return
        self.made += len(spans)
        offset = self._clock.time() - self._clock.monotonic()
        self._ring += [_record(trace, span, offset) for span in spans]

    def consume(self, parent: Parent | None) -> bool:
        """Whether the work for a message is traced: as its producer was, else by the ratio."""
        if not self.sampling.on:
            return False
        return parent.sampled if parent is not None else self._chance() < self.sampling.ratio

    def take(self) -> list[dict[str, Any]]:
        """The oldest that wait, at most a slice."""
        taken, self._ring = self._ring[:SLICE], self._ring[SLICE:]
        return taken

    def samples(self) -> dict[str, list[list[Any]]]:
        if not self.sampling.on:
            return {}
        return {"penstock_spans_total": [["made", self.made], ["dropped by a worker", self.dropped]]}


def parent_of(block: bytes) -> Parent | None:
    """Two fields are no field: nobody can say which is meant (W3C Trace Context, section 3.2.1)."""
    values = _traceparent(block)
    if len(values) != 1:
        return None
    return Parent.parse(values[0], b",".join(_tracestate(block)))


def step_times(trace: Trace, ended: float) -> Iterator[tuple[Mark, float]]:
    """Each step that ran, with its seconds: until the next one began."""
    marks = trace.marks
    for mark, until in zip(marks, [*(each.at for each in marks[1:]), ended], strict=True):
        yield mark, max(0.0, until - mark.at)


def _steps(trace: Trace, ended: float) -> Iterator[Span]:
    """Spans of those that waited: for the store, a backend, a decision."""
    for mark, seconds in step_times(trace, ended):
        if mark.waited:
            name = step_name(mark.chain, mark.index)
            span = Span(f"step {name}", INTERNAL, trace.root.id, mark.at, {"penstock.step": name})
            span.ended = mark.at + seconds
            yield span


def _route(exchange: Exchange) -> str:
    """The template, as one names it: `/shop/v1/orders/{id}` without its method."""
    endpoint = exchange.chain.facts.get("endpoint", "")
    method, _, path = endpoint.partition(" ")
    return exchange.chain.facts.get("base", "") + path if path.startswith("/") and method.isupper() else endpoint


def _name(exchange: Exchange) -> str:
    method = exchange.head.method.decode("ascii", "replace")
    route = _route(exchange)
    return f"{method} {route}" if route else method


def _told(exchange: Exchange) -> dict[str, Any]:
    """No query, no header field, no body: any of them may hold a secret."""
    head, facts, identity = exchange.head, exchange.chain.facts, exchange.identity
    component, version, revision = facts_of(facts, "component", "version", "revision")
    told: dict[str, Any] = {
        "http.request.method": head.method.decode("ascii", "replace"),
        "url.path": head.path.decode("ascii", "replace"),
        "url.scheme": head.peer.scheme,
        "http.route": _route(exchange),
        "http.response.status_code": exchange.status,
        "network.protocol.version": "1.0" if head.http10 else "1.1",
        "client.address": head.peer.client,
        "server.address": head.host.decode("ascii", "replace"),
        "http.request.body.size": exchange.received,
        "http.response.body.size": exchange.sent,
        "penstock.request.id": exchange.id,
        "penstock.component": component,
        "penstock.version": version,
        "penstock.revision": revision,
        "penstock.operation": exchange.operation,
        "penstock.application": None if identity is None else identity.application,
        "penstock.attempts": exchange.attempts or None,
    }
    if exchange.problem is not None:
        told["penstock.step"] = step_name(exchange.chain, exchange.at)
    return {name: value for name, value in told.items() if value not in {None, ""}}


def _problem(exchange: Exchange) -> str:
    """`error.type` of a server's span: a 4xx is the client's error, not this server's."""
    if exchange.status < 500 and exchange.status:
        return ""
    return exchange.problem.code if exchange.problem is not None else str(exchange.status or "aborted")


def _record(trace: Trace, span: Span, offset: float) -> dict[str, Any]:
    """JSON-ready, for the control process: times in nanoseconds since 1970."""
    return {
        "trace": trace.trace_id,
        "span": span.id,
        "parent": span.parent,
        "state": trace.state,
        "name": span.name,
        "kind": span.kind,
        "began": round((span.began + offset) * 1e9),
        "ended": round((max(span.ended, span.began) + offset) * 1e9),
        "attributes": span.attributes,
        "error": span.problem,
        "links": [[link.trace_id, link.span_id] for link in span.links],
    }
