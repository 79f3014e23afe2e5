"""A miss: the first of those that want the same goes to the backend, in all workers; the others wait for it."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Any, Final

from gateway.core import chain as chains
from gateway.core.clock import Clock
from gateway.core.exchange import Edits, Exchange, StepResult, Wait
from gateway.core.headers import line
from gateway.policy.caching import answers
from gateway.policy.caching.answers import CONDITIONS
from gateway.policy.caching.entry import MARKER, Entry, Shape
from gateway.policy.caching.flights import End, Flights, Landed
from gateway.policy.caching.lookup import Lookup, Settings
from gateway.policy.caching.rules import NOTHING, State, state
from gateway.store.cells import Cells

POLL: Final = 0.05  # seconds between two looks at what another worker fetches
_REVALIDATING: Final = CONDITIONS | {b"range"}


class Fetching:
    """Of one step in one worker."""

    def __init__(self, settings: Settings, cells: Cells, clock: Clock, flights: Flights) -> None:
        self._settings = settings
        self._cells = cells
        self._clock = clock
        self._flights = flights
        self._claim = os.urandom(8)

    def fetch(self, exchange: Exchange, lookup: Lookup) -> StepResult:
        """None: this one goes to the backend."""
        flight = lookup.flight
        if lookup.stale is not None and exchange.head.method == b"GET" and not lookup.conditional:
            lookup.conditional = True
            ask_whether_changed(exchange.edits, lookup.stale)
        if lookup.asked.conditional and lookup.stale is None:
            return None
        if not self._settings.collapse or self._flights.passes(flight):
            return None
        if self._flights.running(flight):
            wait = Wait(exchange, partial(self._landed, lookup))
            self._flights.join(flight, wait)
            return wait
        self._lead(exchange, lookup)
        lookup.until = lookup.began + self._settings.wait
        return self._ask_leave(exchange, lookup)

    def ahead(self, exchange: Exchange, lookup: Lookup) -> None:
        """Runs an exchange without a client that fetches anew what is served meanwhile, once in all workers."""
        self._lead(exchange, lookup)

        def go(answer: Any) -> None:
            if answer is True:
                lookup.mine = self._claim
                asyncio.get_running_loop().call_soon(chains.run, exchange)
            else:
                exchange.wire.abort(exchange)

        self._cells.claim(lookup.lease, self._claim, self._settings.wait, go)

    def _lead(self, exchange: Exchange, lookup: Lookup) -> None:
        self._flights.begin(lookup.flight)
        lookup.leads = True
        exchange.on_close(partial(self._closed, lookup))

    def _closed(self, lookup: Lookup, _exchange: Exchange) -> None:
        """The exchange is over. What it brought has landed before; else those who wait go in its place."""
        self.land(lookup, End.LEFT)

    # among workers

    def _ask_leave(self, exchange: Exchange, lookup: Lookup) -> Wait:
        wait = Wait(exchange, partial(self._claimed, lookup))
        self._cells.claim(lookup.lease, self._claim, self._settings.wait, wait.deliver)
        return wait

    def _claimed(self, lookup: Lookup, exchange: Exchange, answer: Any) -> StepResult:
        """Another worker that fetches the same is waited for, by a look now and then."""
        if not isinstance(answer, bytes):
            lookup.mine = self._claim if answer is True else None
            return None
        if self._clock.monotonic() >= lookup.until:
            return None
        wait = Wait(exchange, partial(self._polled, lookup))
        read = partial(self._cells.read, lookup.key, (MARKER, lookup.field), wait.deliver)
        asyncio.get_running_loop().call_later(POLL, read)
        return wait

    def _polled(self, lookup: Lookup, exchange: Exchange, values: Any) -> StepResult:
        if values is None:
            return None
        marker, raw = values
        if marker is not None and (shape := Shape.read(marker)) != lookup.shape:
            self._flights.learn(lookup.key, shape)
            return None  # the other's response depends on more than was known: this one is fetched as well
        entry = Entry.read(raw) if raw is not None else None
        now = self._clock.time()
        if entry is not None and state(entry, now, NOTHING) is State.FRESH:
            self.land(lookup, (entry, lookup.field))
            return answers.hit(exchange, entry, lookup.asked, now, _collapsed(lookup))
        return self._ask_leave(exchange, lookup)

    # in this worker

    def _landed(self, lookup: Lookup, exchange: Exchange, landed: Landed) -> StepResult:
        if landed is End.LEFT:
            return self.fetch(exchange, lookup)
        if isinstance(landed, End):
            return None
        entry, field = landed
        shape = self._flights.shape(lookup.key)
        if shape is None or shape.field(exchange.head, lookup.who, lookup.added) != field:
            return None
        return answers.hit(exchange, entry, lookup.asked, self._clock.time(), _collapsed(lookup))

    def land(self, lookup: Lookup, landed: Landed, *, passing: bool = False) -> None:
        """For those who wait for what this one fetches, if it does."""
        if lookup.leads:
            lookup.leads = False
            self.unclaim(lookup)
            self._flights.land(lookup.flight, landed, passing=passing)

    def unclaim(self, lookup: Lookup) -> None:
        if lookup.mine is not None:
            self._cells.release(lookup.lease, lookup.mine)
            lookup.mine = None


def _collapsed(lookup: Lookup) -> bytes:
    return b"fwd=%b; collapsed" % lookup.why


def ask_whether_changed(edits: Edits, entry: Entry) -> None:
    """A conditional request by what is stored (section 4.3.1); the client's own conditions are answered here."""
    edits.drop = edits.drop | _REVALIDATING
    for name, field in ((b"etag", b"If-None-Match"), (b"last-modified", b"If-Modified-Since")):
        value = entry.first(name)
        if value:
            edits.add += line(field, value)
