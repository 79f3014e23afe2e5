"""One request with its reply on its way through a chain, and the types that a step sees.

A step is a plain function of the exchange. It returns None to go on, a `Reply` to answer at once, or something to
wait for: a `Wait` (no task, no future), a future, or a coroutine (one task). It refuses by raising a `Problem`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from gateway.core import bodies, headers
from gateway.core.certificate import ClientCertificate
from gateway.core.errors import Problem
from gateway.core.identity import Identity

if TYPE_CHECKING:
    from asyncio import Future

    from gateway.core.call import Call
    from gateway.core.chain import Chain
    from gateway.core.leaving import Leaving
    from gateway.core.live import Router
    from gateway.core.trace import Trace
    from gateway.core.tunnel import End, Tunnel


class Peer(NamedTuple):
    """The other end of the connection. `client` is the believed client address: the peer's own, unless the peer is
    a configured proxy that forwards another (RFC 7239)."""

    address: str = ""
    port: int = 0
    scheme: str = "http"
    client: str = ""
    certificate: ClientCertificate | None = None  # verified by the listener


class Head:
    """A request's head. `path` is the raw path: matched AND forwarded, byte for byte. `block` is the raw header block
    (see `core/headers.py`); `length` is 0 for no body, -1 for a chunked one; `upgrade`: it asks for a WebSocket.
    Trailers never join it. Frozen.

    `memo` is for what is derived from the block and the connection alone: requests of one connection that have the
    same block share it, so that a client's next request finds what its last one had to work out. Keys are the objects
    of whoever derives."""

    __slots__ = (
        "_fields",
        "block",
        "host",
        "http10",
        "length",
        "lone",
        "memo",
        "method",
        "path",
        "peer",
        "query",
        "upgrade",
    )

    def __init__(
        self,
        method: bytes,
        path: bytes,
        query: bytes = b"",
        block: bytes = b"",
        host: bytes = b"",
        length: int = 0,
        http10: bool = False,
        peer: Peer = Peer(),  # noqa: B008 - an immutable tuple
        memo: dict[object, Any] | None = None,
        upgrade: bool = False,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.block = block
        self.host = host
        self.length = length
        self.http10 = http10
        self.peer = peer
        self.memo: dict[object, Any] = {} if memo is None else memo
        self.upgrade = upgrade
        self.lone = False  # the target ends in a `?` with nothing behind it, which goes on as it came
        self._fields: headers.Fields | None = None

    @property
    def target(self) -> bytes:
        return self.path + b"?" + self.query if self.query else self.path

    @property
    def fields(self) -> headers.Fields:
        """All header fields, names in lower case; parsed on first use."""
        if self._fields is None:
            self._fields = headers.parse(self.block)
        return self._fields

    def get(self, name: bytes) -> bytes | None:
        """A field's value by its lower-case name; repeated ones joined as RFC 9110 section 5.3 says."""
        values = self.all(name)
        return b", ".join(values) if values else None

    def all(self, name: bytes) -> list[bytes]:
        return headers.finder(name)(self.block)

    def with_block(self, block: bytes, length: int) -> Head:
        """The same head with other fields, for a body of `length` bytes."""
        head = Head(
            self.method,
            self.path,
            self.query,
            block,
            self.host,
            length,
            self.http10,
            self.peer,
            upgrade=self.upgrade,
        )
        head.lone = self.lone
        return head


class Reply:
    """A response. `headers` are fields that are checked when they are sent; `block` is a raw block: what a relay
    passes on untouched, and lines that a step made beforehand by `core.headers.line`. `body` is None when it is
    streamed. Content-Length and Transfer-Encoding belong to the wire, never to a step."""

    __slots__ = ("block", "body", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: headers.Fields | None = None,
        body: bytes | None = b"",
        block: bytes = b"",
    ) -> None:
        self.status = status
        self.headers: list[tuple[bytes, bytes]] = [] if headers is None else headers
        self.body = body
        self.block = block

    def add(self, name: bytes, value: bytes) -> None:
        """Adds a field beside those of the same name. ValueError when it could break the message."""
        headers.line(name, value)
        self.headers.append((name, value))

    def remove(self, name: bytes) -> None:
        lower = name.lower()
        self.headers = [field for field in self.headers if field[0].lower() != lower]
        self.block = headers.dropper(frozenset((lower,)))(self.block)

    def set(self, name: bytes, value: bytes) -> None:
        self.remove(name)
        self.add(name, value)

    def get(self, name: bytes) -> bytes | None:
        lower = name.lower()
        values = [value for key, value in self.headers if key.lower() == lower]
        values += headers.finder(lower)(self.block)
        return b", ".join(values) if values else None

    def replace_body(self, body: bytes, media_type: bytes | None = None) -> None:
        """Puts another body in the place of a whole one, with the fields that speak of it (`core.bodies`)."""
        bodies.replace_reply(self, body, media_type)


class _Undelivered:
    """No value yet: not even None."""


UNDELIVERED: Final = _Undelivered()


class Wait:
    """What a waiting step returns. Its source calls `deliver` once, on the loop's thread; `then(exchange, value)`
    continues the step and returns what a step returns. A source may deliver before the chain loop has seen the wait."""

    __slots__ = ("armed", "exchange", "then", "value")

    def __init__(self, exchange: Exchange, then: Callable[[Exchange, Any], StepResult]) -> None:
        self.exchange = exchange
        self.then = then
        self.armed = False
        self.value: Any = UNDELIVERED

    def deliver(self, value: Any) -> None:
        """A late delivery to a finished exchange is dropped."""
        if self.value is not UNDELIVERED:
            raise RuntimeError("a Wait is delivered once")
        self.value = value
        if self.armed and not self.exchange.done:
            self.exchange.resume(self)


class Edits:
    """What steps change on the way to the backend: names of request header fields that are dropped (lower case), and
    fields that are added, as a raw block (the relay applies them; typed calls read the head)."""

    __slots__ = ("add", "drop", "path", "query")

    def __init__(self) -> None:
        self.drop: frozenset[bytes] = _NO_NAMES
        self.add = b""  # lines from headers.line
        self.path: bytes | None = None
        self.query: bytes | None = None


_NO_NAMES: Final[frozenset[bytes]] = frozenset()
_REPLACED: Final = object()
CACHED: Final = object()  # key of a note: what a cache did for the exchange, one word
OWN_LINES: Final = object()  # key of a note: names of the wire's own reply fields that a step writes or takes away


class Switch:
    """What a step returns after it put another chain on the exchange: one that begins with the same steps
    (a SOAP operation's, an OData resource's, a plan's). The loop goes on in it behind this step."""


SWITCH: Final = Switch()


class Answering:
    """What a step returns that answers by itself, now or later: a relay. The loop is done with the exchange."""


ANSWERING: Final = Answering()


class Exchange:
    """One request with its reply. `at` counts the steps that passed; `parsed` belongs to the frontend that decodes.
    `edited` is None while no step has changed anything; a step changes `edits`. `sink` takes the request's body and
    hears of the client; whoever answers for it takes it away first."""

    __slots__ = (
        "at",
        "attempts",
        "body",
        "call",
        "chain",
        "closers",
        "done",
        "edited",
        "ended_at",
        "head",
        "id",
        "identity",
        "notes",
        "operation",
        "params",
        "parsed",
        "received",
        "resume",
        "router",
        "sent",
        "sink",
        "skipped",
        "started",
        "started_at",
        "status",
        "trace",
        "undo",
        "upstream",
        "upstream_at",
        "wire",
    )

    def __init__(self, id: str, head: Head, wire: Wire, chain: Chain, started_at: float = 0.0) -> None:
        self.id = id
        self.head = head
        self.wire = wire
        self.chain = chain
        self.params: tuple[bytes, ...] = ()  # raw path segments that the router matched, in the template's order
        self.identity: Identity | None = None
        self.body: bytes | None = None  # the whole request body once a buffer step ran
        self.call: Call | None = None
        self.parsed: Any = None
        self.operation: str = ""  # the operation that runs, once it is known
        self.edited: Edits | None = None
        self.sink: Sink | None = None
        self.undo: list[Callable[[Exchange], None]] | None = None  # run when a later step refuses: limits give back
        self.closers: list[Callable[[Exchange], None]] | None = None  # run once at the end, whatever it is
        self.notes: dict[object, Any] | None = None  # what a step leaves for its own after
        self.at = 0
        self.skipped = 0  # a bit per step that its `when` skipped
        self.started = False  # the reply's head has left
        self.done = False
        self.status = 0
        self.received = 0  # bytes of request body
        self.sent = 0  # bytes of response body
        self.started_at = started_at  # monotonic time of the live cell's clock, as are the next two
        self.ended_at = 0.0
        self.upstream_at = 0.0  # the request was handed to an upstream
        self.upstream = ""  # the target that it was handed to last
        self.attempts = 0
        self.trace: Trace | None = None  # of one that was chosen for it
        self.router: Router | None = None  # left when the exchange ends
        self.resume: Callable[[Wait], None] = _never_resumed

    @property
    def edits(self) -> Edits:
        if self.edited is None:
            self.edited = Edits()
        return self.edited

    @property
    def problem(self) -> Problem | None:
        """What the reply renders, when it is a refusal or a failure of the gateway: for afters."""
        return None if self.notes is None else self.notes.get(Problem)

    @property
    def replaced(self) -> bool:
        """A step replaced the request's body."""
        return self.notes is not None and _REPLACED in self.notes

    def replace_body(self, body: bytes, media_type: bytes | None = None) -> None:
        """Puts another body in the place of the request's: what later steps read, what is decoded, and what an
        upstream gets. The fields that speak of it follow (`core.bodies`). For steps of the stage BODY."""
        self.set_body(body, media_type)
        self.note(_REPLACED, True)

    def set_body(self, body: bytes, media_type: bytes | None = None) -> None:
        """The same for a body that means what it meant before."""
        self.head = bodies.with_body(self.head, self.edited, len(body), media_type)
        self.body = body

    def on_close(self, closer: Callable[[Exchange], None]) -> None:
        if self.closers is None:
            self.closers = []
        self.closers.append(closer)

    def note(self, whose: object, value: Any) -> None:
        if self.notes is None:
            self.notes = {}
        self.notes[whose] = value

    def on_refusal(self, undo: Callable[[Exchange], None]) -> None:
        if self.undo is None:
            self.undo = []
        self.undo.append(undo)


def _never_resumed(_wait: Wait) -> None:
    raise RuntimeError("the exchange is not running")


StepResult = Reply | Wait | Switch | Answering | None
Waiting = Coroutine[Any, Any, Reply | None]
Step = Callable[[Exchange], "StepResult | Future[Reply | None] | Waiting"]
After = Callable[[Exchange, Reply], Awaitable[None] | None]  # waits only where it reads whole bodies: `core.outgoing`
Tap = Callable[[Exchange], Callable[[bytes, bool], bytes] | None]  # None: this exchange's bytes pass unseen


class Watching:
    """What a tap returns that passes every byte on as it came: nothing of the message's framing changes for it."""

    __slots__ = ()

    def __call__(self, data: bytes, last: bool) -> bytes:
        raise NotImplementedError


Renderer = Callable[[Exchange, "Problem"], Reply]


class Sink(Protocol):
    """What takes a request's body as it arrives, and hears of the client: an upstream connection."""

    def body(self, data: bytes) -> None: ...

    def body_end(self) -> None: ...

    def client_gone(self) -> None:
        """The exchange ended early: release what is held for it; nothing may be sent any more."""
        ...

    def pause(self) -> None:
        """The client's socket is full: stop producing the response."""
        ...

    def resume(self) -> None: ...

    def leave(self, why: Leaving) -> None:
        """End a response that would go on, politely if it can be; asked again, it is cut. One that has an end of its
        own is left alone while the gateway drains."""
        ...


class Wire(Protocol):
    """The client's side of an exchange: the protocol class on a socket, or the in-memory twin. It owns the response's
    framing: Content-Length when `body` or `length` is known, else chunks (or the connection's end for HTTP/1.0);
    no body for HEAD, 1xx, 204 and 304 (RFC 9110 section 6.4.1)."""

    def buffer(self, exchange: Exchange, limit: int) -> Wait | None:
        """Collects the request body into `exchange.body`; ContentTooLarge beyond `limit` bytes. None: it is there."""
        ...

    def pipe(self, exchange: Exchange, sink: Sink) -> None:
        """Request body bytes go to the sink from now on, first those that have arrived (or were buffered)."""
        ...

    def send(self, exchange: Exchange, reply: Reply) -> None:
        """The whole reply; ends the exchange."""
        ...

    def inform(self, exchange: Exchange, status: int, block: bytes) -> None:
        """An interim reply (1xx) before the final one; an HTTP/1.0 client gets none (RFC 9110 section 15.2)."""
        ...

    def start(self, exchange: Exchange, reply: Reply, length: int | None) -> None:
        """The head of a streamed reply whose body has `length` bytes, or an unknown number of them (None)."""
        ...

    def write(self, exchange: Exchange, data: bytes) -> None: ...

    def end(self, exchange: Exchange) -> None:
        """The streamed reply is complete."""
        ...

    def abort(self, exchange: Exchange) -> None:
        """The streamed reply cannot be completed: cut it so that the client can tell (RFC 9112 section 8)."""
        ...

    def upgrade(self, exchange: Exchange, reply: Reply, tunnel: Tunnel, upstream: End) -> None:
        """The head of 101 (Switching Protocols). From then on the connection is the tunnel's other end, and the
        exchange ends with it; what the client has sent behind its request goes on first."""
        ...

    def pause_body(self) -> None:
        """The sink is full: stop reading the request's body."""
        ...

    def resume_body(self) -> None: ...
