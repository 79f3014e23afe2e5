"""What one exchange asks of a cache: key, field under it, who asks; and what is known until its reply is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Final

from gateway.core.exchange import Exchange, Head
from gateway.core.headers import finder
from gateway.policy.caching.answers import PLAIN, Asked
from gateway.policy.caching.entry import Entry, Shape
from gateway.policy.caching.rules import Rules
from gateway.snapshot.spec import CANARY

Aim = tuple["bytes | None", "bytes | None", "bytes | None"]
_NOWHERE: Final[Aim] = (None, None, None)
_content: Final = tuple(
    map(finder, (b"content-type", b"content-encoding", b"content-language", b"soapaction", b"accept"))
)


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

    def take_shape(self, head: Head, shape: Shape) -> None:
        self.shape = shape
        self.field = shape.field(head, self.who, self.added)

    @property
    def flight(self) -> tuple[str, bytes]:
        """Requests of the same one would fetch the same."""
        return self.key, self.field

    @property
    def lease(self) -> str:
        """The name of its claim among workers."""
        return "cache:" + blake2b(self.key.encode() + self.field, digest_size=16).hexdigest()

    def again(self, stale: Entry, began: float) -> Lookup:
        """For the same once more, for nobody: what is stored is stale."""
        fresh = Lookup(self.key, self.who, PLAIN, began, self.added)
        fresh.shape, fresh.field, fresh.aim = self.shape, self.field, self.aim
        fresh.known, fresh.stale, fresh.why = True, stale, b"stale"
        return fresh

    def told_behind(self, exchange: Exchange, shape: Shape) -> bool:
        """It varies by a field that a step behind this one wrote: the next request cannot be told by it in time."""
        now = added(exchange)
        if now == self.added:
            return False
        names = {*shape.names, *self.shape.names}
        return any(finder(name)(now) != finder(name)(self.added) for name in names)


def key(settings: Settings, exchange: Exchange, more: bytes) -> str:
    """Everything of a request that a response may depend on without a word: a backend is told scheme and host."""
    head, edited = exchange.head, exchange.edited
    query = head.query if edited is None or edited.query is None else edited.query
    if settings.query is not None:
        known, query = query, settings.query(query)
        if query != known:
            exchange.edits.query = query  # what is no part of the key must not reach the backend
    path = head.path if edited is None or edited.path is None else head.path + b"\0" + edited.path
    chain = exchange.chain
    plan = (chain.plan or "").encode() + (b"~canary" if CANARY in chain.name else b"")  # other steps, another code
    parts = (settings.version, plan, head.peer.scheme.encode(), head.host.lower(), path, query)
    return (b"\0".join(parts) + more).decode("latin-1")


def digested(exchange: Exchange) -> bytes:
    """What of a POST with its body is a part of the key."""
    fields = b"\n".join(b",".join(find(exchange.head.block)) for find in _content)
    return b"\0POST\0" + fields + sha256(exchange.body or b"").digest()


def aim(exchange: Exchange) -> Aim:
    """What the backend is asked, as far as steps changed it. One behind this may put in who asks, of which neither the
    key nor the backend knows: what it then calls public is that caller's."""
    edited = exchange.edited
    path, query = (None, None) if edited is None else (edited.path, edited.query)
    return path, query, exchange.body if exchange.replaced else None


def added(exchange: Exchange) -> bytes:
    return b"" if exchange.edited is None else exchange.edited.add
