"""An event stream on its way through the relay (text/event-stream, WHATWG HTML section 9.2): it may be silent for long,
and it is ended between two events."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final

Pieces = Callable[[bytes, bool], bytes]

# Events end with an empty line. Lines end with CRLF, LF or CR.
_EMPTY_LINE: Final = rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)"
_next: Final = re.compile(_EMPTY_LINE).search
_last: Final = re.compile(_EMPTY_LINE + rb"\Z").search
_tail: Final = re.compile(rb"[\r\n]{0,3}\Z").search  # of what has passed: what may belong to an empty line
_type: Final = re.compile(rb"\r\ncontent-type:[ \t]*text/event-stream[ \t]*(?:;|\r\n|\Z)", re.IGNORECASE).search
_coded: Final = re.compile(rb"\r\ncontent-encoding:", re.IGNORECASE).search


def is_event_stream(block: bytes) -> bool:
    return _type(block) is not None


class EventStream:
    """A tap that passes everything on until it is asked to leave, and then up to the end of the event. `end` completes
    the reply, `cut` cuts it. The events of a compressed stream cannot be seen: it is cut at once."""

    __slots__ = ("_coded", "_cut", "_end", "_inner", "_leaving", "_over", "_tail")

    def __init__(self, block: bytes, inner: Pieces | None, end: Callable[[], None], cut: Callable[[], None]) -> None:
        self._inner = inner
        self._end = end
        self._cut = cut
        self._coded = _coded(block) is not None
        self._tail = b"\n\n"  # before the first event is between two
        self._leaving = self._over = False

    def __call__(self, data: bytes, last: bool) -> bytes:
        if self._inner is not None:
            data = self._inner(data, last)
        if self._over:
            return b""
        if self._leaving and data:
            data = self._up_to_end(data)
        if data:
            self._tail = _line_ends(self._tail + data[-3:])
        return data

    def _up_to_end(self, data: bytes) -> bytes:
        found = _next(self._tail + data)
        if found is None:
            return data
        self._over = True
        asyncio.get_running_loop().call_soon(self._end)  # behind the piece that is returned here
        return data[: found.end() - len(self._tail)]

    def leave(self) -> None:
        """Ends between two events; asked again, at once."""
        if self._leaving or self._coded:
            self._cut()
            return
        self._leaving = True
        if _last(self._tail) is not None:
            self._over = True
            self._end()


def _line_ends(data: bytes) -> bytes:
    found = _tail(data[-3:])
    return b"" if found is None else found[0]
