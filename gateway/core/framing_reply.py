"""The framing of an upstream's response head: as strict as that of requests. What is ambiguous is BadGateway, and its
connection is never used again (CASES F23)."""

from __future__ import annotations

import re

from gateway.core.errors import BadGateway
from gateway.core.framing import FIELDS, tokens
from gateway.core.framing_body import Chunked, Counted, Scanner, UntilClose
from gateway.core.framing_send import bodyless
from gateway.core.headers import VALUE

MAX_HEAD = 65_536  # bytes

_head = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: " + VALUE + rb")?" + FIELDS).match
_special = re.compile(rb"\r\n(content-length|transfer-encoding|connection):[ \t]*+([^\r\n]*+)", re.IGNORECASE).findall


class ReplyFields:
    """What a response's fields say of it: a pure function of the raw block. An upstream connection keeps the last one,
    as the next response often has the same block. `length` is Content-Length where there is one; `named`: the fields
    that Connection names; `onward`: the relay's place for what goes on of the block."""

    __slots__ = ("block", "chunked", "length", "named", "onward")

    def __init__(self, block: bytes) -> None:
        self.block = block
        self.length, self.chunked, self.named = _decide(block)
        self.onward: bytes | None = None


class ReplyHead:
    """`scanner` cuts the body out of what follows; None: no body follows. `keep`: the connection may serve another
    request; `end`: the index behind the head."""

    __slots__ = ("end", "fields", "keep", "scanner", "status")

    def __init__(self, status: int, fields: ReplyFields, scanner: Scanner | None, keep: bool, end: int) -> None:
        self.status = status
        self.fields = fields
        self.scanner = scanner
        self.keep = keep
        self.end = end


def frame_reply(data: bytes, method: bytes, last: ReplyFields | None = None) -> ReplyHead | None:
    """The response head at the start of `data`, an answer to `method`; None when it is not there yet. An interim one
    (1xx) is a head like others; another follows it. `last` are the fields of the response before."""
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
    fields = last if last is not None and last.block == block else ReplyFields(block)
    length, chunked = fields.length, fields.chunked
    if chunked and (length is not None or minor == b"0"):
        raise BadGateway("The upstream's response is framed in two ways.")
    keep = minor == b"1" and b"close" not in fields.named
    scanner: Scanner | None = None
    if not bodyless(method, status):
        if length is not None:
            scanner = Counted(length)
        else:
            scanner = Chunked(BadGateway) if chunked else UntilClose()
            keep = keep and chunked
    return ReplyHead(status, fields, scanner, keep, end)


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
