"""The framing of an upstream's response head: as strict as that of requests. What is ambiguous is BadGateway, and its
connection is never used again (CASES F23)."""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.core.errors import BadGateway
from gateway.core.framing import FIELDS, VALUE, tokens
from gateway.core.framing_body import Chunked, Counted, Scanner, UntilClose
from gateway.core.framing_send import bodyless

MAX_HEAD = 65_536  # bytes

_head = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: " + VALUE + rb")?" + FIELDS).match
_special = re.compile(rb"\r\n(content-length|transfer-encoding|connection):[ \t]*+([^\r\n]*+)", re.IGNORECASE).findall


class ReplyHead(NamedTuple):
    """`scanner` None: no body follows. `length` is Content-Length where there is one. `keep`: the connection may
    serve another request; `named`: fields that Connection names; `end`: the index behind the head."""

    status: int
    block: bytes
    scanner: Scanner | None
    length: int | None
    keep: bool
    named: frozenset[bytes]
    end: int


def frame_reply(data: bytes, method: bytes) -> ReplyHead | None:
    """The response head at the start of `data`, an answer to `method`; None when it is not there yet. An interim one
    (1xx) is a head like others; another follows it."""
    match = _head(data)
    if match is None:
        _incomplete(data)
        return None
    minor, code, block = match.groups()
    status, end = int(code), match.end()
    if status == 101:
        raise BadGateway("The upstream switched protocols; nobody asked for that.")
    if end > MAX_HEAD:
        raise BadGateway("The upstream's response head is too large.")
    length, chunked, named = _decide(block)
    if chunked and (length is not None or minor == b"0"):
        raise BadGateway("The upstream's response is framed in two ways.")
    keep = minor == b"1" and b"close" not in named
    scanner: Scanner | None = None
    if not bodyless(method, status):
        scanner = Chunked(BadGateway) if chunked else UntilClose() if length is None else Counted(length)
        keep = keep and not isinstance(scanner, UntilClose)
    return ReplyHead(status, block, scanner, length, keep, named, end)


def _decide(block: bytes) -> tuple[int | None, bool, frozenset[bytes]]:
    length, chunked, named = None, False, _NONE
    for name, raw in _special(block):
        size, value = len(name), raw.rstrip()
        if size == 10:
            named |= frozenset(tokens(value))
        elif size == 14:
            if length is not None or not value.isdigit() or len(value) > 18:
                raise BadGateway("The upstream's Content-Length is not one decimal number.")
            length = int(value)
        elif chunked or value.lower() != b"chunked":
            raise BadGateway("The upstream's transfer coding is not chunked.")
        else:
            chunked = True
    return length, chunked, named


def _incomplete(data: bytes) -> None:
    if b"\r\n\r\n" in data:
        raise BadGateway("The upstream's response head is malformed.")
    if len(data) > MAX_HEAD:
        raise BadGateway("The upstream's response head is too large.")
    if data[:5] != b"HTTP/"[: len(data)]:
        raise BadGateway("The upstream does not answer in HTTP/1.1.")


_NONE: frozenset[bytes] = frozenset()
