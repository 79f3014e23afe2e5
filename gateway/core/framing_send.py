"""How a reply's head is written: the status line, the fields of the steps, and the framing that the wire decides."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from gateway.core import headers
from gateway.core.exchange import Reply

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
STATUS_LINES: Final = {code: f"HTTP/1.1 {code} {_PHRASES.get(code, '')}".encode() for code in range(100, 1000)}
_OWNED: Final = frozenset((b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"upgrade"))
_sound: Final = re.compile(headers.LINES).fullmatch
_bad_value: Final[Callable[[bytes], object]] = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search


class Unsendable(ValueError):
    """A reply's field would break the message. Nothing was sent."""


def bodyless(method: bytes, status: int) -> bool:
    """No body follows such a head (RFC 9110 section 6.4.1)."""
    return method == b"HEAD" or status in (204, 304) or status < 200


def interim_head(status: int, block: bytes) -> bytes:
    """The whole of an interim reply (1xx)."""
    return STATUS_LINES[status] + block + b"\r\n\r\n"


def reply_head(reply: Reply, wire_lines: bytes) -> bytes:
    """The head with its empty line. `wire_lines` is what the wire adds: framing, Connection, Date and the like.
    Fields that frame a message are the wire's and are left out of the reply's own. Unsendable for a field that would
    break the message (CASES F22)."""
    lines = _lines(reply.headers) if reply.headers else b""
    return b"%b%b%b%b\r\n\r\n" % (STATUS_LINES[reply.status], reply.block, lines, wire_lines)


def _lines(fields: headers.Fields) -> bytes:
    """Checked at once: what is one run of so many lines holds no break within a line."""
    parts = [prefix + value for name, value in fields if (prefix := _prefix(name))]
    lines = b"".join(parts)
    if lines.count(b"\r\n") != len(parts) or _sound(lines) is None:
        culprit = next((name for name, value in fields if _bad_value(value)), b"")
        raise Unsendable(f"the value of header {culprit.decode()} holds a control character")
    return lines


@lru_cache(maxsize=1024)
def _prefix(name: bytes) -> bytes:
    """`\\r\\nName: `, or nothing for what belongs to the wire."""
    try:
        return b"" if name.lower() in _OWNED else headers.line(name, b"")
    except ValueError as error:
        raise Unsendable(str(error)) from None
