"""Whole bodies and the fields that speak of them: decoded before steps read them, and replaced consistently.

What is said of bytes that change is no longer true: digests are dropped (RFC 9530, RFC 1864), a strong ETag becomes a
weak one (RFC 9110 section 8.8.1), a content coding goes. Lengths are the wire's in any case.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from gateway.core import headers
from gateway.core.coding import CodingRefused, Decoding, Oversized, UnknownCoding, coding_of
from gateway.core.errors import BadGateway, BadRequest, ContentTooLarge, Problem, UnsupportedMediaType
from gateway.core.off_loop import off_loop

if TYPE_CHECKING:
    from gateway.core.exchange import Edits, Exchange, Head, Reply

AT_ONCE: Final = 16_384  # bytes of a coded body, and
_BUDGET: Final = 262_144  # bytes that come of it, that are decoded on the loop: about a millisecond

_DIGESTS: Final = frozenset((b"content-md5", b"digest", b"content-digest", b"repr-digest"))
_OF_REQUEST: Final = headers.dropper(_DIGESTS | {b"content-encoding", b"content-length", b"transfer-encoding"})
_OF_REPLY: Final = _DIGESTS | {b"content-encoding", b"content-length", b"accept-ranges", b"content-range"}
_of_reply: Final = headers.dropper(_OF_REPLY)
_digests: Final = headers.dropper(_DIGESTS)
_type: Final = headers.dropper(frozenset((b"content-type",)))
_strong: Final = re.compile(rb'(\r\netag:[ \t]*)(?=")', re.IGNORECASE).sub


class BodyLimits:
    """`default`: bytes of a body that steps may need whole, where no step says otherwise; `most`: what steps may allow.
    Offered to `build` by `Services`."""

    def __init__(self, default: int = 1_048_576, most: int = 16_777_216) -> None:
        self.default = default
        self.most = max(default, most)


class RequestLimit:
    """The key of `Exchange.notes` under which a step leaves how many bytes the request's body may have."""


class ReplyLimit:
    """The same for the reply's body, where steps read it whole."""


class Streamed:
    """The key under which a relay leaves (reply, bytes of its body or None) for the taps of a reply that begins, and
    for what runs after them; there only where a chain has taps for it."""


def limit_of(exchange: Exchange, key: object, default: int) -> int:
    limit: int = default if exchange.notes is None else exchange.notes.get(key, default)
    return limit


# requests


def with_body(head: Head, edits: Edits | None, length: int, media_type: bytes | None) -> Head:
    """The head of the same request with another body."""
    block = _OF_REQUEST(head.block)
    if media_type is not None:
        block = _type(block) + headers.line(b"Content-Type", media_type)
        if edits is not None:  # what a step wanted of the type before was about the body before
            edits.drop -= {b"content-type"}
            edits.add = _type(edits.add)
    return head.with_block(block, length)


def decode_request(limit: int) -> Any:
    """A step that undoes the body's content coding. Inserted behind the one that buffers it."""

    def decode_body(exchange: Exchange) -> Any:
        if not exchange.body:
            return None
        try:
            coding = coding_of(exchange.head.block)
            if coding is None:
                return None
            decoding = Decoding(exchange.body, coding, limit_of(exchange, RequestLimit, limit))
            if _at_once(exchange.body, decoding):
                exchange.set_body(decoding.result())
                return None
        except CodingRefused as error:
            raise _request_problem(error) from None
        return _decode_slowly(exchange, decoding)

    return decode_body


async def _decode_slowly(exchange: Exchange, decoding: Decoding) -> None:
    try:
        exchange.set_body(await off_loop(decoding.finish))
    except CodingRefused as error:
        raise _request_problem(error) from None


def _at_once(data: bytes, decoding: Decoding) -> bool:
    return decoding.ready and len(data) <= AT_ONCE and decoding.run(_BUDGET)


def _request_problem(error: CodingRefused) -> Problem:
    target = "header.Content-Encoding"
    if isinstance(error, UnknownCoding):
        known = [(b"Accept-Encoding", b"gzip, deflate, br, zstd")]
        return UnsupportedMediaType(str(error), target=target, headers=known)
    return ContentTooLarge(str(error)) if isinstance(error, Oversized) else BadRequest(str(error), target=target)


# replies


def replace_reply(reply: Reply, body: bytes, media_type: bytes | None) -> None:
    """Another body for a reply, with the fields that speak of it."""
    _restate(reply, _OF_REPLY, _of_reply)
    reply.body = body
    if media_type is not None:
        reply.set(b"Content-Type", media_type)


def disclaim(reply: Reply) -> None:
    """A reply without a body (to HEAD, or 304) to a request whose steps may change the body that there would be."""
    _restate(reply, _DIGESTS, _digests)


def _restate(reply: Reply, names: frozenset[bytes], drop: Any) -> None:
    reply.block = _strong(rb"\1W/", drop(reply.block))
    if reply.headers:
        kept = [field for field in reply.headers if field[0].lower() not in names]
        reply.headers = [
            (name, b"W/" + value) if name.lower() == b"etag" and value.startswith(b'"') else (name, value)
            for name, value in kept
        ]


def decode_reply(exchange: Exchange, reply: Reply, limit: int) -> asyncio.Future[bytes] | None:
    """Undoes a reply's content coding: at once (None), or later: then the result is for `replace_reply`.
    Raises BadGateway."""
    body = reply.body
    if not body:
        return None
    block = reply.block + headers.block(field for field in reply.headers if field[0].lower() == b"content-encoding")
    try:
        coding = coding_of(block)
        if coding is None:
            return None
        decoding = Decoding(body, coding, limit_of(exchange, ReplyLimit, limit))
        if _at_once(body, decoding):
            replace_reply(reply, decoding.result(), None)
            return None
    except CodingRefused as error:
        raise reply_problem(error) from None
    return off_loop(decoding.finish)


def reply_problem(error: CodingRefused) -> BadGateway:
    return BadGateway(f"A step needs the whole response. {error}")
