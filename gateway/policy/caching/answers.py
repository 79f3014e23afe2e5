"""Replies from a stored response: whole, a part of it, or that it has not changed (RFC 9110 sections 13 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from gateway.core.exchange import CACHED, Exchange, Head, Reply
from gateway.core.headers import dropper, finder
from gateway.policy.caching.control import moment
from gateway.policy.caching.entry import Entry
from gateway.policy.caching.rules import NOTHING, Wants, wants

CONDITIONS: Final = frozenset(
    (b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since", b"if-range")
)
NAME: Final = b"\r\nCache-Status: penstock"  # RFC 9211: the line begins with it
_RANGE: Final = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")
_not_of_304: Final = dropper(frozenset((b"content-type", b"content-encoding", b"content-language", b"content-range")))
_interesting: Final = re.compile(rb"\r\n(?:cache-control|pragma|if-[a-z-]+|range|authorization|cookie):", re.I).search
_control, _pragma = finder(b"cache-control"), finder(b"pragma")
_authorization, _cookie = finder(b"authorization"), finder(b"cookie")
_range, _if_range = finder(b"range"), finder(b"if-range")
_none_match, _modified = finder(b"if-none-match"), finder(b"if-modified-since")
_match, _unmodified = finder(b"if-match"), finder(b"if-unmodified-since")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request's fields say that matters here; the same for all requests with the same fields."""

    wants: Wants = NOTHING
    claims: tuple[bytes, bytes] = (b"", b"")  # digests of Authorization and Cookie
    range: bytes | None = None
    if_range: bytes | None = None
    none_match: tuple[bytes, ...] = ()
    modified_since: bytes | None = None
    preconditions: bool = False  # If-Match, If-Unmodified-Since: for the backend to decide

    @property
    def conditional(self) -> bool:
        return bool(self.none_match or self.modified_since is not None)


PLAIN: Final = Asked()


def asked(head: Head) -> Asked:
    found = head.memo.get(asked)
    if found is None:
        found = head.memo[asked] = _asked(head.block) if _interesting(head.block) else PLAIN
    return found


def _asked(block: bytes) -> Asked:
    none_match = tuple(tag.strip() for value in _none_match(block) for tag in _tags(value))
    return Asked(
        wants(_control(block), _pragma(block)),
        (_digest(_authorization(block)), _digest(_cookie(block))),
        _only(_range(block)),
        _only(_if_range(block)),
        none_match,
        _only(_modified(block)),
        bool(_match(block) or _unmodified(block)),
    )


def _digest(values: list[bytes]) -> bytes:
    return blake2b(b"\n".join(values), digest_size=16).digest() if values else b""


def _only(values: list[bytes]) -> bytes | None:
    return values[0] if values else None


_TAG: Final = re.compile(rb'\*|(?:W/)?"[^"]*+"')


def _tags(value: bytes) -> list[bytes]:
    return _TAG.findall(value)


def hit(exchange: Exchange, entry: Entry, request: Asked, now: float, how: bytes = b"hit") -> Reply:
    """What is stored, as `how` says: at once, or after another request has brought it."""
    exchange.note(CACHED, b"collapsed" if how.endswith(b"collapsed") else how)
    told = b"%b; %b; ttl=%d" % (NAME, how, int(entry.lifetime - entry.age_at(now)))
    return reply(entry, request, told, now)


def reply(entry: Entry, request: Asked, status: bytes, now: float) -> Reply:
    """`status` is the line of Cache-Status."""
    block = entry.block + b"\r\nAge: %d" % entry.age_at(now) + status
    if request is PLAIN or entry.status != 200:
        return Reply(entry.status, None, entry.body, block)
    if _unchanged(entry, request):
        return Reply(304, None, b"", _not_of_304(block))
    if request.range is not None and _in_range(entry, request):
        return _part(entry, request.range, block)
    return Reply(entry.status, None, entry.body, block)


def _unchanged(entry: Entry, request: Asked) -> bool:
    """If-None-Match by weak comparison; If-Modified-Since only without it (RFC 9110 section 13.2.2)."""
    if request.none_match:
        tag = entry.first(b"etag")
        mine = None if tag is None else tag.removeprefix(b"W/")
        return any(each == b"*" or each.removeprefix(b"W/") == mine for each in request.none_match)
    since = moment(request.modified_since)
    modified = moment(entry.first(b"last-modified"))
    return since is not None and modified is not None and modified <= since


def _in_range(entry: Entry, request: Asked) -> bool:
    """If-Range by strong comparison (section 13.1.5)."""
    if request.if_range is None:
        return True
    if request.if_range.startswith(b'"'):
        return request.if_range == entry.first(b"etag")
    return not request.if_range.startswith(b"W/") and request.if_range == entry.first(b"last-modified")


def _part(entry: Entry, range: bytes, block: bytes) -> Reply:
    """One range; several, or what is none, gets the whole (section 14.2 allows that)."""
    match = _RANGE.fullmatch(range.replace(b" ", b""))
    if match is None or not (match[1] or match[2]):
        return Reply(entry.status, None, entry.body, block)
    size = len(entry.body)
    first = int(match[1]) if match[1] else max(0, size - int(match[2]))
    last = min(size - 1, int(match[2])) if match[1] and match[2] else size - 1
    if match[1] and match[2] and int(match[2]) < first:
        return Reply(entry.status, None, entry.body, block)
    if first >= size or (not match[1] and not int(match[2])):
        return Reply(416, [(b"Content-Range", b"bytes */%d" % size)], b"")
    where = b"\r\nContent-Range: bytes %d-%d/%d" % (first, last, size)
    return Reply(206, None, entry.body[first : last + 1], block + where)
