"""Where a credential stands in a request, and how it is kept from the backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

from gateway.core import headers
from gateway.core.errors import BadRequest
from gateway.core.exchange import Exchange

AUTHORIZATION: Final = b"authorization"
COOKIE: Final = b"cookie"
_FIELD: Final = b"\r\nauthorization:"
_cookie_fields: Final = headers.finder(COOKIE)
_without_cookies: Final = headers.dropper(frozenset((COOKIE,)))

Read = Callable[[Exchange], "bytes | None"]
Conceal = Callable[[Exchange], None]


@lru_cache(maxsize=256)
def token_reader(header: str | None, cookie: str | None, query: str | None, longest: int) -> Read:
    """A function to the one token that a request shows, or None. Two of them are refused, wherever they stand (RFC 6750
    section 2, CASES C41), and so is one of more than `longest` bytes. `Authorization` holds it behind `Bearer`; with
    another scheme it holds none of ours. The same for all steps of one configuration, as it is a key of `Head.memo`."""
    readers: list[Callable[[Exchange], list[bytes]]] = []
    if header is not None:
        readers.append(_header(header.lower().encode()))
    if cookie is not None:
        readers.append(_cookie(cookie.encode()))
    if query is not None:
        readers.append(_query(query))

    def read(exchange: Exchange) -> bytes | None:
        found = readers[0](exchange)
        for each in readers[1:]:
            found = found + each(exchange)
        if not found:
            return None
        if len(found) > 1:
            raise BadRequest("A token stands in more than one place. Send it once.")
        if len(found[0]) > longest:
            raise BadRequest(f"A token has at most {longest} bytes.")
        return found[0]

    return read


def _header(name: bytes) -> Callable[[Exchange], list[bytes]]:
    if name == AUTHORIZATION:
        return lambda exchange: _bearer(exchange.head.block)
    find = headers.finder(name)
    return lambda exchange: [value for value in find(exchange.head.block) if value]


def _bearer(block: bytes) -> list[bytes]:
    """What stands behind `Authorization: Bearer`. Tokens are long: to look for a name in lower case takes half the time
    of an expression without case."""
    lower = block.lower()
    at = lower.find(_FIELD)
    if at < 0:
        return []
    if lower.find(_FIELD, at + 2) >= 0:
        raise BadRequest("There is more than one field Authorization. Send it once.")
    begin, end = at + len(_FIELD), block.find(b"\r\n", at + 2)
    value = block[begin : end if end >= 0 else None].strip(b" \t")
    return [value[7:].strip(b" ")] if value[:7].lower() == b"bearer " else []


def _cookie(name: bytes) -> Callable[[Exchange], list[bytes]]:
    return lambda exchange: [value for key, value in cookies(exchange.head.block) if key == name and value]


def _query(wanted: str) -> Callable[[Exchange], list[bytes]]:
    def read(exchange: Exchange) -> list[bytes]:
        if not exchange.head.query:
            return []
        pairs = parse_qsl(exchange.head.query.decode("ascii", "replace"), keep_blank_values=True)
        return [value.encode() for name, value in pairs if name == wanted and value]

    return read


def cookies(block: bytes) -> list[tuple[bytes, bytes]]:
    """The cookies of a block, in order (RFC 6265 section 4.2)."""
    found = []
    for field in _cookie_fields(block):
        for part in field.split(b";"):
            name, equals, value = part.strip().partition(b"=")
            if equals:
                found.append((name.strip(), value.strip()))
    return found


def concealer(query: str | None = None, cookie: Iterable[str] = ()) -> Conceal | None:
    """A function that takes the query parameter and the cookies out of what the backend gets; the others go on byte for
    byte. None: there is nothing to take out."""
    named = frozenset(name.encode() for name in cookie)
    hide_query = None if query is None else query_concealer(frozenset((query.encode(),)))
    hide_cookies = cookie_concealer(named.__contains__) if named else None
    if hide_query is None or hide_cookies is None:
        return hide_query or hide_cookies

    def conceal(exchange: Exchange) -> None:
        hide_query(exchange)
        hide_cookies(exchange)

    return conceal


def query_concealer(wanted: frozenset[bytes]) -> Conceal:
    def conceal(exchange: Exchange) -> None:
        edits = exchange.edits
        query = edits.query if edits.query is not None else exchange.head.query
        edits.query = b"&".join(part for part in query.split(b"&") if _name(part) not in wanted)

    return conceal


def _name(part: bytes) -> bytes:
    return unquote_to_bytes(part.partition(b"=")[0].replace(b"+", b" "))


def cookie_concealer(wanted: Callable[[bytes], bool]) -> Conceal:
    """`wanted` tells of a name whether its cookie is taken out."""

    def conceal(exchange: Exchange) -> None:
        edited = exchange.edited is not None and COOKIE in exchange.edited.drop
        fields = _cookie_fields(exchange.edits.add if edited else exchange.head.block)
        parts = [part.strip() for field in fields for part in field.split(b";")]
        kept = [part for part in parts if part and not wanted(part.partition(b"=")[0].strip())]
        if len(kept) == len(parts):
            return
        edits = exchange.edits
        edits.drop |= {COOKIE}
        edits.add = _without_cookies(edits.add)
        if kept:
            edits.add += headers.line(b"Cookie", b"; ".join(kept))

    return conceal
