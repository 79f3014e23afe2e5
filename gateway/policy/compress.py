"""`compress`: replies compressed as the client takes it: zstd, br or gzip.

`{use: compress}`, `{use: compress, with: {codings: [gzip], minimum: 2048, types: [application/json]}}`. Left as
they are: what is compressed already, parts (206, Content-Range), `Cache-Control: no-transform`, replies without a
body, small ones whose length is known, other media types, and event streams. A body that is streamed is compressed
in pieces as it comes.

A strong ETag becomes a weak one, as the bytes are others (RFC 9110 section 8.8.3); `Vary: Accept-Encoding` stands
on every reply that might be compressed. A reply that holds a secret beside text that an attacker chooses tells it
by its length (BREACH): leave such endpoints out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.core import headers
from gateway.core.bodies import Streamed
from gateway.core.exchange import Exchange, Reply
from gateway.core.framing_send import bodyless
from gateway.core.kinds import Built, Kind, Site
from gateway.core.outgoing import reads
from gateway.policy.content import content_type
from gateway.policy.content.accept_encoding import choose

Coding = Literal["zstd", "br", "gzip"]

TYPES: Final = (
    "text/*", "application/json", "application/*+json", "application/xml", "application/*+xml",
    "application/javascript", "application/x-ndjson", "application/json-seq", "image/svg+xml",
)  # fmt: skip
MOST: Final = 4_194_304  # bytes of a body that is not streamed
_LINES: Final = frozenset(("application/x-ndjson", "application/json-seq", "application/jsonl"))  # sent as they come
_NEVER: Final = "text/event-stream"
_PATTERN: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/(?:\*|(?:\*\+)?[a-z0-9!#$&^_.+-]+)")

_accepts: Final = headers.finder(b"accept-encoding")


class Compress(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    codings: tuple[Coding, ...] = Field(("zstd", "br", "gzip"), min_length=1, description="the one liked best first")
    minimum: int = Field(1024, ge=0, le=10_000_000, description="bytes of a body below which it is left as it is")
    types: tuple[str, ...] = Field(
        TYPES, min_length=1, description="media types: text/*, application/*+json, image/svg+xml"
    )

    @field_validator("types")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if _PATTERN.fullmatch(each) is None:
                raise ValueError(f"{each!r}: write a media type such as application/json, text/* or application/*+json")
            if each == _NEVER:
                raise ValueError("event streams are not compressed: their events have to leave at once")
        return value


def build(config: Compress, _site: Site) -> Built:
    from gateway.policy.content.content_codings import CODINGS, LARGE, Piece

    offered = tuple(name.encode() for name in config.codings)
    matches = _type_matcher(config.types)
    key = object()  # of the note by which the tap tells the after what it does

    def tap(exchange: Exchange) -> Callable[[bytes, bool], bytes] | None:
        """Of a body that is streamed. Where a step reads the whole one, the after compresses what is left of it."""
        streamed = None if exchange.notes is None else exchange.notes.get(Streamed)
        if streamed is None or reads(exchange):
            return None
        reply, length = streamed
        kind = content_type.read(reply.get(b"content-type")).name
        small = length is not None and 0 <= length < config.minimum
        if small or not matches(kind) or _as_it_is(exchange, reply):
            return None
        coding = _coding(exchange, offered)
        if coding is None:
            return None
        exchange.note(key, coding)
        return _tapping(CODINGS[coding.decode()](False), kind in _LINES)

    def compress(exchange: Exchange, reply: Reply) -> None:
        kind = content_type.read(reply.get(b"content-type")).name
        if not matches(kind) or _as_it_is(exchange, reply):
            return
        _vary(reply)
        body = reply.body
        if body is None:
            coding = None if exchange.notes is None else exchange.notes.pop(key, None)
        else:
            coding = _coding(exchange, offered) if config.minimum <= len(body) <= MOST else None
        if coding is not None:
            _announce(reply, coding)
            if body is not None:
                reply.body = CODINGS[coding.decode()](len(body) >= LARGE)(body, True, False)

    def _tapping(piece: Piece, prompt: bool) -> Callable[[bytes, bool], bytes]:
        return lambda data, last: piece(data, last, prompt)

    return Built(after=compress, response_tap=tap)


def _as_it_is(exchange: Exchange, reply: Reply) -> bool:
    if bodyless(exchange.head.method, reply.status) or reply.status == 206 or reply.body == b"":
        return True
    if reply.get(b"content-range") is not None:
        return True
    coding = reply.get(b"content-encoding")
    if coding is not None and coding.lower() != b"identity":
        return True
    control = reply.get(b"cache-control")
    return control is not None and b"no-transform" in control.lower()


def _coding(exchange: Exchange, offered: tuple[bytes, ...]) -> bytes | None:
    values = _accepts(exchange.head.block)
    return choose(b",".join(values), offered) if values else None


def _vary(reply: Reply) -> None:
    present = reply.get(b"vary")
    if present is None or not any(name.strip() in (b"accept-encoding", b"*") for name in present.lower().split(b",")):
        reply.block += b"\r\nVary: Accept-Encoding"


def _announce(reply: Reply, coding: bytes) -> None:
    for name in (b"content-encoding", b"accept-ranges", b"content-md5", b"digest", b"content-digest"):
        reply.remove(name)
    etag = reply.get(b"etag")
    if etag is not None and etag.startswith(b'"'):
        reply.set(b"ETag", b"W/" + etag)
    reply.block += b"\r\nContent-Encoding: " + coding


def _type_matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    exact = frozenset(each for each in patterns if "*" not in each)
    starts = tuple(each[:-1] for each in patterns if each.endswith("/*"))
    middles = [tuple(each.split("*")) for each in patterns if "*+" in each]

    def matches(name: str) -> bool:
        if name in exact:
            return True
        if name == _NEVER:
            return False
        return name.startswith(starts) or any(name.startswith(begin) and name.endswith(end) for begin, end in middles)

    return matches


KIND = Kind(
    "compress",
    Compress,
    build,
    summary="Compresses replies as the client takes it",
    example={"codings": ["br", "gzip"], "minimum": 1024},
    libraries=("gateway.policy.content.content_codings",),
)
