"""A stored response, as bytes in the store and as it is read: fixed numbers, the header block, the body."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

from gateway.core.exchange import Exchange, Head
from gateway.core.headers import finder

# form, status, flags, length of the block; stored at, age then, lifetime, stale while revalidate, stale if error
_FIXED: Final = struct.Struct(">BHBIddddd")
_FORM: Final = 1
_STRICT: Final = 1  # never served stale

MARKER: Final = b"m"  # the field beside the responses of a URL: on what they depend
SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """On what the responses of one URL depend: on who asks, unless `shared`, and on these request fields."""

    shared: bool
    names: tuple[bytes, ...] = ()

    def write(self) -> bytes:
        return (b"1" if self.shared else b"0") + b",".join(self.names)

    @classmethod
    def read(cls, text: bytes) -> Shape:
        names = text[1:]
        return cls(text[:1] == b"1", tuple(names.split(b",")) if names else ())

    def field(self, head: Head, who: bytes, added: bytes) -> bytes:
        """The name of the response that this request may get. `added` are lines that steps add for the backend: what
        it varies by may be a field that only they know, such as a caller's name."""
        digest = blake2b(b"" if self.shared else who, digest_size=SIZE)
        for name in self.names:
            value = b", ".join(finder(name)(head.block))
            digest.update(b"\n%b:%d:%b" % (name, len(value), value))
            if added and (ours := finder(name)(added)):
                value = b", ".join(ours)
                digest.update(b"\n+%b:%d:%b" % (name, len(value), value))
        return digest.digest()


class Entry(NamedTuple):
    """`stored` in seconds since 1970; `age` it had then; `lifetime`, `revalidate` and `error` in seconds: how long it
    is fresh, and for how long after that it may be served while it is fetched anew, or when that fails. `strict`: not
    even then. `block` has neither this hop's fields nor Age."""

    status: int
    block: bytes
    body: bytes
    stored: float
    age: float
    lifetime: float
    revalidate: float = 0.0
    error: float = 0.0
    strict: bool = False

    def write(self) -> bytes:
        flags = _STRICT if self.strict else 0
        times = (self.stored, self.age, self.lifetime, self.revalidate, self.error)
        return _FIXED.pack(_FORM, self.status, flags, len(self.block), *times) + self.block + self.body

    @classmethod
    def read(cls, text: bytes) -> Entry | None:
        """None for what another release wrote in another form."""
        if len(text) < _FIXED.size or text[0] != _FORM:
            return None
        _, status, flags, length, stored, age, lifetime, revalidate, error = _FIXED.unpack_from(text)
        at = _FIXED.size + length
        strict = bool(flags & _STRICT)
        block, body = text[_FIXED.size : at], text[at:]
        return cls(status, block, body, stored, age, lifetime, revalidate, error, strict)

    def with_body(self, body: bytes) -> Entry:
        return self._replace(body=body)

    def age_at(self, now: float) -> float:
        """RFC 9111 section 4.2.3."""
        return self.age + max(0.0, now - self.stored)

    def first(self, name: bytes) -> bytes | None:
        values = finder(name)(self.block)
        return values[0] if values else None

    @property
    def validates(self) -> bool:
        """It has something by which the backend can tell whether it has changed."""
        return bool(self.first(b"etag") or self.first(b"last-modified"))


def who_asks(exchange: Exchange, by_application: bool, claims: tuple[bytes, bytes]) -> bytes:
    """Whose response it is where responses depend on that: the identity, and whatever else the backend may know the
    caller by. `claims` are digests of the request's Authorization and Cookie; those that the backend does not see do
    not count, so that a token that is renewed finds what the last one left."""
    edited, conceals = exchange.edited, exchange.chain.conceals
    hidden = conceals | edited.drop if edited is not None else conceals
    told = (
        b"" if b"authorization" in hidden else claims[0],
        b"" if b"cookie" in hidden else claims[1],
        edited.add if edited is not None else b"",
    )
    identity = exchange.identity
    if identity is None:
        return b"\0".join(told)
    if by_application and identity.application is not None:
        return b"\0".join((identity.application.encode(), *told))
    parts = (identity.method, identity.subject, identity.application or "", identity.plan or "")
    rights = " ".join(sorted(identity.scopes))
    return b"\0".join((*(part.encode() for part in parts), rights.encode(), *told))
