"""The cache at work: what a request finds, and where it goes from there (RFC 9111, RFC 5861).

One read of the store for a hit: all responses of a URL are fields of one key, and a marker beside them tells on what
they depend. Which field it is follows from what the marker said last; a worker that guessed wrong reads once more.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.core.clock import Clock
from gateway.core.errors import NotCached
from gateway.core.exchange import CACHED, Edits, Exchange, Reply, StepResult, Wait
from gateway.policy.caching import answers
from gateway.policy.caching.answers import NAME, asked
from gateway.policy.caching.entry import MARKER, Entry, Shape, who_asks
from gateway.policy.caching.fetching import Fetching, ask_whether_changed
from gateway.policy.caching.flights import End, Flights
from gateway.policy.caching.invalidation import SAFE, Invalidation
from gateway.policy.caching.lookup import Lookup, Settings, added, aim, digested, key
from gateway.policy.caching.rules import NOTHING, State, state
from gateway.policy.caching.standing_wires import in_background
from gateway.policy.caching.storing import Storing
from gateway.store.cells import Cells


class Unsafe:
    """The request may change what is stored."""


UNSAFE: Final = Unsafe()


class Cache:
    """One configured step. `look` and `leave` are its step and its after."""

    def __init__(self, settings: Settings, cells: Cells, clock: Clock) -> None:
        self._settings = settings
        self._cells = cells
        self._clock = clock
        self._flights = Flights(clock, settings.wait)
        self._fetching = Fetching(settings, cells, clock, self._flights)
        self._storing = Storing(settings, cells, clock, self._flights, self._fetching)
        self._invalidation = Invalidation(cells)
        self._first = Shape(settings.rules.shared, tuple(sorted(settings.rules.vary)))

    # the request

    def look(self, exchange: Exchange) -> StepResult:
        head = exchange.head
        if head.method in (b"GET", b"HEAD"):
            if head.upgrade or head.length:  # a body of a GET would be a part of the question that the key lacks
                return None
            return self._begin(exchange, b"")
        if head.method == b"POST" and self._settings.posts:
            return self._with_body(exchange)
        if head.method not in SAFE:
            exchange.note(self, UNSAFE)
        return None

    def _with_body(self, exchange: Exchange) -> StepResult:
        wait = exchange.wire.buffer(exchange, self._settings.posts)
        if wait is None:
            return self._begin(exchange, digested(exchange))
        collected = wait.then

        def then(exchange: Exchange, value: Any) -> StepResult:
            collected(exchange, value)
            return self._begin(exchange, digested(exchange))

        wait.then = then
        return wait

    def _begin(self, exchange: Exchange, more: bytes) -> StepResult:
        request = asked(exchange.head)
        if request.preconditions or (self._settings.obeys and request.wants.no_store):
            return None
        if exchange.head.method != b"GET" and (request.range is not None or (more and request.conditional)):
            return None
        name = key(self._settings, exchange, more)
        who = who_asks(exchange, self._settings.by_application, request.claims)
        lookup = Lookup(name, who, request, self._clock.monotonic(), added(exchange))
        lookup.take_shape(exchange.head, self._flights.shape(name) or self._first)
        lookup.aim = aim(exchange)
        exchange.note(self, lookup)
        return self._read(exchange, lookup)

    def _read(self, exchange: Exchange, lookup: Lookup) -> Wait:
        wait = Wait(exchange, self._found)
        self._cells.read(lookup.key, (MARKER, lookup.field), wait.deliver)
        return wait

    def _found(self, exchange: Exchange, values: Any) -> StepResult:
        assert exchange.notes is not None
        lookup: Lookup = exchange.notes[self]
        if values is None:
            self._pass(exchange, b"bypass; detail=store")
            return None
        marker, raw = values
        if marker is not None and not lookup.known:
            lookup.known = True
            shape = Shape.read(marker)
            self._flights.learn(lookup.key, shape)
            if shape != lookup.shape:
                lookup.take_shape(exchange.head, shape)
                return self._read(exchange, lookup)
        return self._decide(exchange, lookup, Entry.read(raw) if raw is not None else None)

    def _pass(self, exchange: Exchange, why: bytes) -> None:
        """Nothing is looked up any more, and nothing stored."""
        assert exchange.notes is not None
        exchange.notes[self] = why

    def _decide(self, exchange: Exchange, lookup: Lookup, entry: Entry | None) -> StepResult:
        now, request = self._clock.time(), lookup.asked
        wants = request.wants if self._settings.obeys else NOTHING
        if entry is not None:
            found = state(entry, now, wants)
            if found is State.WHILE:
                self._refresh(exchange, lookup, entry)
            if found is not State.STALE:
                self._fetching.unclaim(lookup)
                return answers.hit(exchange, entry, request, now)
            lookup.stale, lookup.why = entry, b"stale"
        if wants.only_if_cached:
            raise NotCached("Nothing fresh is stored, and the request wants nothing else.")
        if exchange.head.method == b"HEAD" or request.range is not None:
            self._pass(exchange, lookup.why)
            return None
        return self._fetching.fetch(exchange, lookup)

    def _refresh(self, exchange: Exchange, lookup: Lookup, entry: Entry) -> None:
        """Fetches anew what is served meanwhile: for nobody, once in all workers."""
        if self._flights.running(lookup.flight):
            return
        again = in_background(exchange, _copied(exchange.edited))
        fresh = lookup.again(entry, self._clock.monotonic())
        if exchange.head.method in (b"GET", b"HEAD"):
            ask_whether_changed(again.edits, entry)
        again.note(self, fresh)
        self._fetching.ahead(again, fresh)

    # the response

    def leave(self, exchange: Exchange, reply: Reply) -> None:
        noted = exchange.notes.get(self) if exchange.notes else None
        if noted is UNSAFE:
            if reply.status < 400:
                self._invalidation.begin(exchange, reply)
        elif isinstance(noted, bytes):
            exchange.note(CACHED, noted.partition(b";")[0])
            reply.block += NAME + b"; fwd=" + noted
        elif noted is not None:
            if exchange.at >= len(exchange.chain.steps) - 1:
                self._storing.answered(exchange, reply, noted)
            else:
                self._fetching.land(noted, End.LEFT)  # another step refused this one: that says nothing to the others


def _copied(edits: Edits | None) -> Edits:
    found = Edits()
    if edits is not None:
        found.drop, found.add, found.path, found.query = edits.drop, edits.add, edits.path, edits.query
    return found
