"""How a reply's body is framed on the socket (RFC 9112 section 6): counted, in chunks, by the connection's end, or
not there at all. Pure: it makes bytes."""

from __future__ import annotations

from typing import Final

from gateway.core.exchange import Head, Reply
from gateway.core.framing_send import bodyless, reply_head

_WHOLE, _CHUNKS, _UNTIL_CLOSE, _NOTHING = range(4)
_LAST_CHUNK: Final = b"0\r\n\r\n"


class Overrun(Exception):
    """More bytes than the head announced."""


class ReplyFraming:
    """The framing of the reply that is under way."""

    __slots__ = ("_left", "_mode", "empty")

    def __init__(self) -> None:
        self._mode = _WHOLE
        self._left = 0
        self.empty = False  # no body follows the head

    @property
    def ends_with_connection(self) -> bool:
        """A plain end of the connection would look like the reply's end."""
        return self._mode == _UNTIL_CLOSE

    def head(self, head: Head, reply: Reply, length: int | None, lines: bytes) -> bytes:
        """The head of a reply to `head` whose body has `length` bytes; `lines` are further fields of the wire.
        Unsendable leaves the framing as it was."""
        mode, framing = _decide(head, reply.status, length)
        data = reply_head(reply, framing + lines)
        self._mode, self._left = mode, length or 0
        self.empty = mode == _NOTHING
        return data

    def piece(self, data: bytes) -> bytes:
        """A piece of the body as it stands on the wire. Overrun when it does not belong to the reply."""
        mode = self._mode
        if mode == _CHUNKS:
            return b"%x\r\n%b\r\n" % (len(data), data)
        if mode == _WHOLE:
            self._left -= len(data)
            if self._left < 0:
                raise Overrun
        return b"" if mode == _NOTHING else data

    def last(self) -> bytes | None:
        """What ends the body; None when it is not complete."""
        if self._mode == _WHOLE and self._left:
            return None
        return _LAST_CHUNK if self._mode == _CHUNKS else b""


def _decide(head: Head, status: int, length: int | None) -> tuple[int, bytes]:
    if bodyless(head.method, status):
        if length is None or status < 200 or status == 204 or (status == 304 and not length):
            return _NOTHING, b""
        return _NOTHING, b"\r\nContent-Length: %d" % length
    if length is not None:
        return _WHOLE, b"\r\nContent-Length: %d" % length
    if head.http10:
        return _UNTIL_CLOSE, b""
    return _CHUNKS, b"\r\nTransfer-Encoding: chunked"
