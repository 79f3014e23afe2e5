"""The cache at work: what a request finds, what it fetches, what becomes of the response (RFC 9111, RFC 5861).

One read of the store for a hit: all responses of a URL are fields of one key, and a marker beside them tells on what
they depend. Which field it is follows from what the marker said last; a worker that guessed wrong reads once more.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b, sha256
from typing import Any, Final

from gateway.core import chain as chains
from gateway.core.clock import Clock
from gateway.core.errors import NotCached, StoreUnavailable
from gateway.core.exchange import CACHED, Edits, Exchange, Reply, StepResult, Wait
from gateway.core.headers import Fields, finder, line, parse
from gateway.policy.caching import answers
from gateway.policy.caching.answers import CONDITIONS, Asked, asked
from gateway.policy.caching.entry import Entry, Shape, who_asks
from gateway.policy.caching.flights import End, Flights, Landed
from gateway.policy.caching.rules import NOTHING, Rules, State, Storable, merged, serves_failure, state, storable
from gateway.policy.caching.standing_wires import Copying, Instead, in_background
from gateway.snapshot.spec import CANARY
from gateway.store.cached import named_tag, url_tag, version_tag
from gateway.store.cells import Cells

log: Final = logging.getLogger("gateway.cache")

Aim = tuple["bytes | None", "bytes | None", "bytes | None"]
_NOWHERE: Final[Aim] = (None, None, None)
MARKER: Final = b"m"
POLL: Final = 0.05  # seconds between two looks at what another worker fetches
FAILED: Final = frozenset((500, 502, 503, 504))  # RFC 5861 section 4
SAFE: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
NAME: Final = b"\r\nCache-Status: penstock"
MISSED: Final = NAME + b"; fwd=miss"
_REVALIDATING: Final = CONDITIONS | {b"range"}
_content: Final = tuple(
    map(finder, (b"content-type", b"content-encoding", b"content-language", b"soapaction", b"accept"))
)
_elsewhere: Final = (finder(b"location"), finder(b"content-location"))


@dataclass(frozen=True, slots=True)
class Settings:
    """Of a step. Sizes in bytes, times in seconds."""

    version: bytes  # component@version
    rules: Rules
    body: int
    posts: int  # the largest body of a POST that is part of the key; 0: none is cached
    by_application: bool
    obeys: bool  # the directives of requests
    collapse: bool
    wait: float
    variants: int
    keep: float  # how long what has a validator stays after it is stale
    query: Callable[[bytes], bytes] | None


class Lookup:
    """What the step knows of one exchange, until its reply is there."""

    __slots__ = (
        "added",
        "aim",
        "asked",
        "began",
        "conditional",
        "field",
        "key",
        "known",
        "leads",
        "mine",
        "shape",
        "stale",
        "until",
        "who",
        "why",
    )

    def __init__(self, key: str, who: bytes, request: Asked, began: float, added: bytes) -> None:
        self.key = key
        self.who = who
        self.added = added  # lines that steps before this one add for the backend
        self.aim = _NOWHERE  # path, query and body that the key stands for, where steps have changed them
        self.asked = request
        self.began = began  # monotonic
        self.shape = Shape(False)
        self.field = b""
        self.known = False  # the shape was read from the store
        self.stale: Entry | None = None  # what a 304 would freshen, and a failure may be answered with
        self.conditional = False  # the backend is asked whether that has changed
        self.leads = False
        self.mine: bytes | None = None  # the claim among workers
        self.until = 0.0  # how long another worker is waited for, monotonic
        self.why = b"miss"


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
        self._claim = os.urandom(8)
        self._first = Shape(settings.rules.shared, tuple(sorted(settings.rules.vary)))
        self._tasks: set[asyncio.Task[None]] = set()

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
            return self._digested(exchange)
        collected = wait.then

        def then(exchange: Exchange, value: Any) -> StepResult:
            collected(exchange, value)
            return self._digested(exchange)

        wait.then = then
        return wait

    def _digested(self, exchange: Exchange) -> StepResult:
        fields = b"\n".join(b",".join(find(exchange.head.block)) for find in _content)
        return self._begin(exchange, b"\0POST\0" + fields + sha256(exchange.body or b"").digest())

    def _begin(self, exchange: Exchange, more: bytes) -> StepResult:
        request = asked(exchange.head)
        if request.preconditions or (self._settings.obeys and request.wants.no_store):
            return None
        if exchange.head.method != b"GET" and (request.range is not None or (more and request.conditional)):
            return None
        key = self._key(exchange, more)
        who = who_asks(exchange, self._settings.by_application, request.claims)
        lookup = Lookup(key, who, request, self._clock.monotonic(), _added(exchange))
        self._take_shape(exchange, lookup, self._flights.shape(key) or self._first)
        lookup.aim = _aim(exchange)
        exchange.note(self, lookup)
        return self._read(exchange, lookup)

    def _key(self, exchange: Exchange, more: bytes) -> str:
        """Everything of a request that a response may depend on without a word: a backend is told scheme and host."""
        head, edited = exchange.head, exchange.edited
        query = head.query if edited is None or edited.query is None else edited.query
        if self._settings.query is not None:
            known, query = query, self._settings.query(query)
            if query != known:
                exchange.edits.query = query  # what is no part of the key must not reach the backend
        path = head.path if edited is None or edited.path is None else head.path + b"\0" + edited.path
        chain = exchange.chain
        plan = (chain.plan or "").encode() + (b"~canary" if CANARY in chain.name else b"")  # other steps, another code
        parts = (self._settings.version, plan, head.peer.scheme.encode(), head.host.lower(), path, query)
        return (b"\0".join(parts) + more).decode("latin-1")

    def _take_shape(self, exchange: Exchange, lookup: Lookup, shape: Shape) -> None:
        lookup.shape = shape
        lookup.field = shape.field(exchange.head, lookup.who, lookup.added)

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
                self._take_shape(exchange, lookup, shape)
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
                self._unclaim(lookup)
                return self._hit(exchange, entry, request, now)
            lookup.stale, lookup.why = entry, b"stale"
        if wants.only_if_cached:
            raise NotCached("Nothing fresh is stored, and the request wants nothing else.")
        return self._fetch(exchange, lookup)

    def _hit(self, exchange: Exchange, entry: Entry, request: Asked, now: float, how: bytes = b"hit") -> Reply:
        exchange.note(CACHED, b"collapsed" if how.endswith(b"collapsed") else how)
        told = b"%b; %b; ttl=%d" % (NAME, how, int(entry.lifetime - entry.age_at(now)))
        return answers.reply(entry, request, told, now)

    # a miss

    def _fetch(self, exchange: Exchange, lookup: Lookup) -> StepResult:
        """The first goes to the backend; those that want the same wait for it."""
        request = lookup.asked
        if exchange.head.method == b"HEAD" or request.range is not None:
            self._pass(exchange, lookup.why)
            return None
        key = lookup.key, lookup.field
        if lookup.stale is not None and exchange.head.method == b"GET" and not lookup.conditional:
            lookup.conditional = True
            _ask_whether_changed(exchange.edits, lookup.stale)
        if (request.conditional and lookup.stale is None) or not self._settings.collapse or self._flights.passes(key):
            return None
        if self._flights.running(key):
            wait = Wait(exchange, self._landed)
            self._flights.join(key, wait)
            return wait
        self._lead(exchange, lookup)
        lookup.until = lookup.began + self._settings.wait
        return self._ask_leave(exchange, lookup)

    def _lead(self, exchange: Exchange, lookup: Lookup) -> None:
        self._flights.begin((lookup.key, lookup.field))
        lookup.leads = True
        exchange.on_close(self._closed)

    def _closed(self, exchange: Exchange) -> None:
        """The exchange is over. What it brought has landed before; else those who wait go in its place."""
        lookup = exchange.notes.get(self) if exchange.notes else None
        if isinstance(lookup, Lookup):
            self._land(lookup, End.LEFT)

    def _ask_leave(self, exchange: Exchange, lookup: Lookup) -> Wait:
        wait = Wait(exchange, self._claimed)
        self._cells.claim(_lease(lookup), self._claim, self._settings.wait, wait.deliver)
        return wait

    def _claimed(self, exchange: Exchange, answer: Any) -> StepResult:
        """Another worker that fetches the same is waited for, by a look now and then."""
        assert exchange.notes is not None
        lookup: Lookup = exchange.notes[self]
        if not isinstance(answer, bytes):
            lookup.mine = self._claim if answer is True else None
            return None
        if self._clock.monotonic() >= lookup.until:
            return None
        wait = Wait(exchange, self._polled)
        read = partial(self._cells.read, lookup.key, (MARKER, lookup.field), wait.deliver)
        asyncio.get_running_loop().call_later(POLL, read)
        return wait

    def _polled(self, exchange: Exchange, values: Any) -> StepResult:
        assert exchange.notes is not None
        lookup: Lookup = exchange.notes[self]
        if values is None:
            return None
        marker, raw = values
        if marker is not None and (shape := Shape.read(marker)) != lookup.shape:
            self._flights.learn(lookup.key, shape)
            return None  # the other's response depends on more than was known: this one is fetched as well
        entry = Entry.read(raw) if raw is not None else None
        now = self._clock.time()
        if entry is not None and state(entry, now, NOTHING) is State.FRESH:
            self._land(lookup, (entry, lookup.field))
            return self._hit(exchange, entry, lookup.asked, now, b"fwd=%b; collapsed" % lookup.why)
        return self._ask_leave(exchange, lookup)

    def _landed(self, exchange: Exchange, landed: Landed) -> StepResult:
        assert exchange.notes is not None
        lookup: Lookup = exchange.notes[self]
        if landed is End.LEFT:
            return self._fetch(exchange, lookup)
        if isinstance(landed, End):
            return None
        entry, field = landed
        shape = self._flights.shape(lookup.key)
        if shape is None or shape.field(exchange.head, lookup.who, lookup.added) != field:
            return None
        return self._hit(exchange, entry, lookup.asked, self._clock.time(), b"fwd=%b; collapsed" % lookup.why)

    def _land(self, lookup: Lookup, landed: Landed, *, passing: bool = False) -> None:
        if lookup.leads:
            lookup.leads = False
            self._unclaim(lookup)
            self._flights.land((lookup.key, lookup.field), landed, passing=passing)

    def _unclaim(self, lookup: Lookup) -> None:
        if lookup.mine is not None:
            self._cells.release(_lease(lookup), lookup.mine)
            lookup.mine = None

    def _refresh(self, exchange: Exchange, lookup: Lookup, entry: Entry) -> None:
        """Fetches anew what is served meanwhile: for nobody, once in all workers."""
        key = lookup.key, lookup.field
        if self._flights.running(key):
            return
        again = in_background(exchange, _copied(exchange.edited))
        fresh = Lookup(lookup.key, lookup.who, answers.PLAIN, self._clock.monotonic(), lookup.added)
        fresh.shape, fresh.field, fresh.known, fresh.stale, fresh.why = (
            lookup.shape,
            lookup.field,
            True,
            entry,
            b"stale",
        )
        fresh.aim = lookup.aim
        if exchange.head.method in (b"GET", b"HEAD"):
            _ask_whether_changed(again.edits, entry)
        again.note(self, fresh)
        self._lead(again, fresh)

        def go(answer: Any) -> None:
            if answer is True:
                fresh.mine = self._claim
                asyncio.get_running_loop().call_soon(chains.run, again)
            else:
                again.wire.abort(again)

        self._cells.claim(_lease(lookup), self._claim, self._settings.wait, go)

    # the response

    def leave(self, exchange: Exchange, reply: Reply) -> None:
        noted = exchange.notes.get(self) if exchange.notes else None
        if noted is UNSAFE:
            if reply.status < 400:
                self._invalidate(exchange, reply)
        elif isinstance(noted, bytes):
            exchange.note(CACHED, noted.partition(b";")[0])
            reply.block += NAME + b"; fwd=" + noted
        elif noted is not None:
            if exchange.at >= len(exchange.chain.steps) - 1:
                self._answered(exchange, reply, noted)
            else:
                self._land(noted, End.LEFT)  # another step refused this one: that says nothing to the others

    def _answered(self, exchange: Exchange, reply: Reply, lookup: Lookup) -> None:
        stale, now = lookup.stale, self._clock.time()
        fields = [(name.lower(), value) for name, value in reply.headers] + parse(reply.block)
        if reply.status == 304 and stale is not None:
            self._freshened(exchange, reply, lookup, merged(stale, fields), stale)
        elif reply.status in FAILED and stale is not None and serves_failure(stale, now):
            exchange.note(CACHED, b"stale")
            told = b"%b; fwd=stale; fwd-status=%d" % (NAME, reply.status)
            self._replace(exchange, reply, answers.reply(stale, lookup.asked, told, now))
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
        if found is None or _told_behind(exchange, lookup, found.shape):
            return None
        if found.shape.shared and not self._settings.rules.shared and _aim(exchange) != lookup.aim:
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

    def _keep(self, lookup: Lookup, found: Storable, head: Any, body: bytes | None, _large: bool) -> None:
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
        self._store(lookup, entry, shape, field, found.tags, head.path)
        self._land(lookup, (entry, field))

    def _store(
        self, lookup: Lookup, entry: Entry, shape: Shape, field: bytes, tags: tuple[str, ...], path: bytes
    ) -> None:
        settings = self._settings
        after = max(0.0 if entry.strict else max(entry.revalidate, entry.error), settings.keep * entry.validates)
        ttl = max(0.0, entry.lifetime - entry.age) + after
        if ttl <= 0:
            return
        every = (version_tag(settings.version.decode()), url_tag(path), *map(named_tag, tags))
        values = {MARKER: shape.write(), field: entry.write()}
        age = self._clock.monotonic() - lookup.began
        self._cells.write(lookup.key, values, ttl, _written, tags=every, age=age, most=settings.variants + 1)

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
        self._replace(exchange, reply, answers.reply(entry, lookup.asked, told, now))

    def _replace(self, exchange: Exchange, reply: Reply, other: Reply) -> None:
        if reply.body is None:
            exchange.wire = Instead(exchange.wire)
        reply.status, reply.headers, reply.block, reply.body = other.status, other.headers, other.block, other.body

    # what changes

    def _invalidate(self, exchange: Exchange, reply: Reply) -> None:
        """RFC 9111 section 4.4: the target, and what the response names on the same host."""
        head = exchange.head
        paths = {head.path}
        for find, name in zip(_elsewhere, (b"location", b"content-location"), strict=True):
            values = find(reply.block) + [value for key, value in reply.headers if key.lower() == name]
            paths.update(path for value in values if (path := _own_path(value, head.host)))
        for path in paths:
            task = asyncio.get_running_loop().create_task(self._purge(path))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _purge(self, path: bytes) -> None:
        try:
            await self._cells.purge(url_tag(path))
        except StoreUnavailable:
            log.warning("what is stored of a URL that was changed could not be dropped: the store is away")


def _aim(exchange: Exchange) -> Aim:
    """What the backend is asked, as far as steps changed it. One behind this may put in who asks, of which neither the
    key nor the backend knows: what it then calls public is that caller's."""
    edited = exchange.edited
    path, query = (None, None) if edited is None else (edited.path, edited.query)
    return path, query, exchange.body if exchange.replaced else None


def _added(exchange: Exchange) -> bytes:
    return b"" if exchange.edited is None else exchange.edited.add


def _told_behind(exchange: Exchange, lookup: Lookup, shape: Shape) -> bool:
    """It varies by a field that a step behind this one wrote: the next request cannot be told by it in time."""
    now = _added(exchange)
    if now == lookup.added:
        return False
    names = {*shape.names, *lookup.shape.names}
    return any(finder(name)(now) != finder(name)(lookup.added) for name in names)


def _lease(lookup: Lookup) -> str:
    return "cache:" + blake2b(lookup.key.encode() + lookup.field, digest_size=16).hexdigest()


def _ask_whether_changed(edits: Edits, entry: Entry) -> None:
    """A conditional request by what is stored (section 4.3.1); the client's own conditions are answered here."""
    edits.drop = edits.drop | _REVALIDATING
    for name, field in ((b"etag", b"If-None-Match"), (b"last-modified", b"If-Modified-Since")):
        value = entry.first(name)
        if value:
            edits.add += line(field, value)


def _copied(edits: Edits | None) -> Edits:
    found = Edits()
    if edits is not None:
        found.drop, found.add, found.path, found.query = edits.drop, edits.add, edits.path, edits.query
    return found


def _own_path(value: bytes, host: bytes) -> bytes:
    """The path of a URL on this host; empty for another's."""
    if b"://" in value:
        authority, _, path = value.partition(b"://")[2].partition(b"/")
        value = b"/" + path if authority.lower() == host.lower() else b""
    path = value.partition(b"#")[0].partition(b"?")[0]
    return path if path.startswith(b"/") and not path.startswith(b"//") else b""


def _written(_done: bool | None) -> None:
    """Best effort: what is not stored is fetched again."""
