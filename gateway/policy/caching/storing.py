"""What becomes of the backend's response: stored, taken as a fresher form of what is stored, or in its place that."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from gateway.core.clock import Clock
from gateway.core.exchange import CACHED, Exchange, Head, Reply
from gateway.core.headers import Fields, parse
from gateway.policy.caching import answers
from gateway.policy.caching.answers import NAME
from gateway.policy.caching.entry import MARKER, Entry, Shape
from gateway.policy.caching.fetching import Fetching
from gateway.policy.caching.flights import End, Flights
from gateway.policy.caching.lookup import Lookup, Settings, aim
from gateway.policy.caching.rules import Storable, merged, serves_failure, storable
from gateway.policy.caching.standing_wires import Copying, Instead
from gateway.store.cached import named_tag, url_tag, version_tag
from gateway.store.cells import Cells

FAILED: Final = frozenset((500, 502, 503, 504))  # RFC 5861 section 4


class Storing:
    """Of one step in one worker."""

    def __init__(self, settings: Settings, cells: Cells, clock: Clock, flights: Flights, fetching: Fetching) -> None:
        self._settings = settings
        self._cells = cells
        self._clock = clock
        self._flights = flights
        self._land = fetching.land

    def answered(self, exchange: Exchange, reply: Reply, lookup: Lookup) -> None:
        stale, now = lookup.stale, self._clock.time()
        fields = [(name.lower(), value) for name, value in reply.headers] + parse(reply.block)
        if reply.status == 304 and stale is not None:
            self._freshened(exchange, reply, lookup, merged(stale, fields), stale)
        elif reply.status in FAILED and stale is not None and serves_failure(stale, now):
            exchange.note(CACHED, b"stale")
            told = b"%b; fwd=stale; fwd-status=%d" % (NAME, reply.status)
            _replace(exchange, reply, answers.reply(stale, lookup.asked, told, now))
            self._land(lookup, End.NOTHING)
        else:
            found = None
            if exchange.problem is None:  # which tells of this request alone
                found = self._storable(exchange, reply.status, fields, lookup)
            exchange.note(CACHED, lookup.why.partition(b";")[0])
            told = b"%b; fwd=%b; fwd-status=%d" % (NAME, lookup.why, reply.status)
            reply.block += told + b"; stored" if found is not None else told
            self._take(exchange, reply, lookup, found)

    def _storable(self, exchange: Exchange, status: int, fields: Fields, lookup: Lookup) -> Storable | None:
        now = self._clock.time()
        authorized = bool(lookup.asked.claims[0]) and b"authorization" not in exchange.chain.conceals
        began = now - (self._clock.monotonic() - lookup.began)
        found = storable(self._settings.rules, status, fields, authorized, began, now)
        if found is None or lookup.told_behind(exchange, found.shape):
            return None
        if found.shape.shared and not self._settings.rules.shared and aim(exchange) != lookup.aim:
            return replace(found, shape=Shape(False, found.shape.names))
        return found

    def _take(self, exchange: Exchange, reply: Reply, lookup: Lookup, found: Storable | None) -> None:
        if found is None or exchange.head.method == b"HEAD":
            self._land(lookup, End.NOTHING, passing=reply.status not in FAILED and reply.status != 304)
            return
        kept = partial(self._keep, lookup, found, exchange.head)
        if reply.body is not None:
            kept(reply.body if len(reply.body) <= self._settings.body else None, False)
        else:
            exchange.wire = Copying(exchange.wire, self._settings.body, kept)

    def _keep(self, lookup: Lookup, found: Storable, head: Head, body: bytes | None, _large: bool) -> None:
        """Its body is there, or is none that can be kept."""
        if body is None:
            self._land(lookup, End.NOTHING, passing=True)
            return
        entry, shape = found.entry.with_body(body), found.shape
        if lookup.known or self._flights.shape(lookup.key) is not None:  # those stored before go on being found
            names = tuple(sorted({*shape.names, *lookup.shape.names}))
            shape = Shape(shape.shared and lookup.shape.shared, names)
        field = shape.field(head, lookup.who, lookup.added)
        self._flights.learn(lookup.key, shape)
        ttl = self._ttl(entry)
        if ttl > 0:
            values = {MARKER: shape.write(), field: entry.write()}
            self._write(lookup, values, ttl, (url_tag(head.path), *map(named_tag, found.tags)))
        self._land(lookup, (entry, field))

    def _ttl(self, entry: Entry) -> float:
        """Seconds: while it is fresh, and as long after that as it is of use."""
        after = max(0.0 if entry.strict else max(entry.revalidate, entry.error), self._settings.keep * entry.validates)
        return max(0.0, entry.lifetime - entry.age) + after

    def _write(self, lookup: Lookup, values: dict[bytes, bytes], ttl: float, tags: tuple[str, ...]) -> None:
        every = (version_tag(self._settings.version.decode()), *tags)
        age = self._clock.monotonic() - lookup.began
        most = self._settings.variants + 1
        self._cells.write(lookup.key, values, ttl, _written, tags=every, age=age, most=most)

    def _freshened(self, exchange: Exchange, reply: Reply, lookup: Lookup, fields: Fields, stale: Entry) -> None:
        """The backend says that what is stored has not changed (section 4.3.4)."""
        now = self._clock.time()
        found = self._storable(exchange, stale.status, fields, lookup)
        entry = stale
        if found is not None:
            entry = found.entry
            self._keep(lookup, found, exchange.head, stale.body, False)
            entry = entry.with_body(stale.body)
        else:
            self._land(lookup, End.NOTHING, passing=True)
        exchange.note(CACHED, b"revalidated")
        told = b"%b; fwd=stale; fwd-status=304%b" % (NAME, b"" if found is None else b"; stored")
        _replace(exchange, reply, answers.reply(entry, lookup.asked, told, now))


def _replace(exchange: Exchange, reply: Reply, other: Reply) -> None:
    if reply.body is None:
        exchange.wire = Instead(exchange.wire)
    reply.status, reply.headers, reply.block, reply.body = other.status, other.headers, other.block, other.body


def _written(_done: bool | None) -> None:
    """Best effort: what is not stored is fetched again."""
