"""The framing of an upstream's response head: as strict as that of requests. What is ambiguous is BadGateway, and its
connection is never used again (CASES F23)."""

from __future__ import annotations

import re

from gateway.core.errors import BadGateway
from gateway.core.framing import FIELDS, bare, tokens
from gateway.core.framing_body import Chunked, Counted, Scanner, UntilClose
from gateway.core.framing_send import bodyless
from gateway.core.headers import VALUE, either

MAX_HEAD = 65_536  # bytes

_LINE = rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: " + VALUE + rb")?"
_line = re.compile(_LINE).fullmatch
_head = re.compile(_LINE + FIELDS).match
_SPECIAL = (b"content-length", b"transfer-encoding", b"connection")
_special = re.compile(rb"\r\n(" + either(_SPECIAL) + rb"):[ \t]*+([^\r\n]*+)").findall


class ReplyHead:
    """A response's head: a pure function of its bytes `raw`, which an upstream connection keeps, as the next response
    often begins with the same. `length` is Content-Length where there is one; `named`: the fields that Connection
    names; `keep`: the connection may serve another request, unless it ends the body; `onward`: the relay's place for
    what goes on of the block."""

    __slots__ = ("block", "bodyless", "chunked", "end", "keep", "length", "named", "onward", "raw", "status")

    def __init__(self, raw: bytes, status: int, block: bytes, http11: bool) -> None:
        self.raw = raw
        self.end = len(raw)
        self.status = status
        self.block = block
        self.bodyless = bodyless(b"", status)
        self.length, self.chunked, self.named = _decide(block)
        if self.chunked and (self.length is not None or not http11):
            raise BadGateway("The upstream's response is framed in two ways.")
        self.keep = http11 and b"close" not in self.named
        self.onward: bytes | None = None

    def scanner(self, method: bytes) -> Scanner | None:
        """What cuts the body out of the bytes behind the head, of an answer to `method`; None: no body follows."""
        if self.bodyless or method == b"HEAD":
            return None
        if self.length is not None:
            return Counted(self.length)
        return Chunked(BadGateway) if self.chunked else UntilClose()


def frame_reply(data: bytes, last: ReplyHead | None = None) -> ReplyHead | None:
    """The response head at the start of `data`; None when it is not there yet. An interim one (1xx) is a head like
    others; another follows it, except behind 101 (Switching Protocols). `last` is the connection's head before
    this one."""
    if last is not None and data.startswith(last.raw):
        return last
    match = _head(data)
    if match is None:
        _incomplete(data)
        return None
    minor, code, block = match.groups()
    status, end = int(code), match.end()
    if end > MAX_HEAD:
        raise BadGateway("The upstream's response head is too large.")
    return ReplyHead(data[:end], status, block, minor == b"1")


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
    """Raises BadGateway for a head that is complete and wrong, or cannot become right: nobody waits for its end."""
    if len(data) > MAX_HEAD:
        raise BadGateway("The upstream's response head is too large.")
    if data[:5] != b"HTTP/"[: len(data)]:
        raise BadGateway("The upstream does not answer in HTTP/1.1.")
    line = data.find(b"\r\n")
    if b"\r\n\r\n" in data or bare(data) is not None or (line >= 0 and _line(data[:line]) is None):
        raise BadGateway("The upstream's response head is malformed.")


_NONE: frozenset[bytes] = frozenset()
