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
_bad_value: Final[Callable[[bytes], object]] = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search


class Unsendable(ValueError):
    """A reply's field would break the message. Nothing was sent."""


def bodyless(method: bytes, status: int) -> bool:
    """No body follows such a head (RFC 9110 section 6.4.1)."""
    return method == b"HEAD" or status in (204, 304) or status < 200


def reply_head(reply: Reply, wire_lines: bytes) -> bytes:
    """The head with its empty line. `wire_lines` is what the wire adds: framing, Connection, Date and the like.
    Fields that frame a message are the wire's and are left out of the reply's own. Unsendable for a field that would
    break the message (CASES F22)."""
    parts = [STATUS_LINES[reply.status], reply.block]
    for name, value in reply.headers:
        prefix = _prefix(name)
        if _bad_value(value):
            raise Unsendable(f"the value of header {name.decode()} holds a control character")
        if prefix:
            parts.append(prefix)
            parts.append(value)
    parts.append(wire_lines)
    parts.append(b"\r\n\r\n")
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _prefix(name: bytes) -> bytes:
    """`\\r\\nName: `, or nothing for what belongs to the wire."""
    try:
        return b"" if name.lower() in _OWNED else headers.line(name, b"")
    except ValueError as error:
        raise Unsendable(str(error)) from None
