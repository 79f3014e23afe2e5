"""Where a message's body ends: counted, chunked or at the end of the connection (RFC 9112 sections 6 and 7)."""

from __future__ import annotations

import re
from typing import Final, Protocol

from gateway.core.errors import Problem

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_TEXT: Final = rb"[\t -~\x80-\xff]*+"
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'
_EXTENSION: Final = rb";[ \t]*+" + _TOKEN + rb"++[ \t]*+(?:=[ \t]*+(?:" + _TOKEN + rb"++|" + _QUOTED + rb")[ \t]*+)?"
# The size itself is followed by nothing but an extension: a blank there is what parsers disagree on (CASES F9).
_size: Final = re.compile(rb"([0-9A-Fa-f]{1,16})((?:" + _EXTENSION + rb")*+)\r\n").fullmatch
_trailer: Final = re.compile(_TOKEN + rb"++:" + _TEXT + rb"\r\n").fullmatch
# How lines look that are not complete. A sender of what can become none is not waited for.
_size_begun: Final = re.compile(rb"[0-9A-Fa-f]{0,16}(?:\r|;" + _TEXT + rb"\r?)?").fullmatch
_trailer_begun: Final = re.compile(rb"\r?|" + _TOKEN + rb"++(?::" + _TEXT + rb"\r?)?").fullmatch

_SMALL: Final = {b"%b\r\n" % digit: int(digit, 16) for digit in (b"%c" % byte for byte in b"123456789abcdefABCDEF")}

_SIZE, _DATA, _DATA_END, _TRAILER = range(4)
_LARGEST: Final = (1 << 63) - 1  # what a signed 64-bit size holds: a larger one wraps around in other servers
_SIZE_LINE: Final = "A chunk size must be 1 to 16 hexadecimal digits below 2^63, well-formed extensions, and CRLF."
_TRAILER_LINE: Final = "A trailer field is malformed."


class Scanner(Protocol):
    """Cuts a body out of a connection's bytes."""

    def feed(self, data: bytes, out: list[bytes]) -> int:
        """Appends payload to `out`. The index behind the message, or -1 while it goes on."""
        ...

    @property
    def left(self) -> int:
        """Bytes that are still to come; -1 when nobody knows."""
        ...


class Counted:
    """A body of known length."""

    __slots__ = ("left",)

    def __init__(self, length: int) -> None:
        self.left = length

    def feed(self, data: bytes, out: list[bytes]) -> int:
        size, left = len(data), self.left
        if size < left:
            out.append(data)
            self.left = left - size
            return -1
        if left:
            out.append(data if size == left else data[:left])
        self.left = 0
        return left


class UntilClose:
    """A response body that ends with its connection."""

    __slots__ = ()
    left = -1

    def feed(self, data: bytes, out: list[bytes]) -> int:
        out.append(data)
        return -1


class Chunked:
    """A chunked body. Strict: at most 16 hexadecimal digits, CRLF, nothing between digits and `;`, extensions as RFC
    9112 section 7.1.1 writes them. The chunk extensions of a message and its trailers are bounded in total; both are
    dropped, trailers never join the headers (RFC 9110 section 6.5.1, CASES F9-F11). `problem` is raised for what is
    malformed."""

    __slots__ = ("_budget", "_line", "_problem", "_rest", "_state")
    left = -1

    def __init__(self, problem: type[Problem], extensions: int = 4096) -> None:
        self._problem = problem
        self._budget = extensions  # of extensions and trailers together
        self._line = b""
        self._rest = 0
        self._state = _SIZE

    def feed(self, data: bytes, out: list[bytes]) -> int:
        at, end = 0, len(data)
        while at < end:
            if self._state == _DATA:
                at = self._payload(data, at, out)
            elif self._state == _DATA_END:
                at = self._terminator(data, at)
            else:
                if self._state == _SIZE and not self._line:
                    at = _small_chunks(data, at, out)
                line, at = self._take_line(data, at)
                if line and self._handle(line):
                    return at
        return -1

    def _payload(self, data: bytes, at: int, out: list[bytes]) -> int:
        stop = at + self._rest
        piece = data[at:stop]
        out.append(piece)
        self._rest -= len(piece)
        if self._rest == 0:
            self._state = _DATA_END
        return at + len(piece)

    def _terminator(self, data: bytes, at: int) -> int:
        wanted = 2 - len(self._line)
        self._line += data[at : at + wanted]
        if not b"\r\n".startswith(self._line):
            raise self._problem("A chunk does not end where its size says.")
        if len(self._line) == 2:
            self._line = b""
            self._state = _SIZE
        return at + wanted

    def _take_line(self, data: bytes, at: int) -> tuple[bytes, int]:
        """A whole line with its end, or nothing while it is still to come."""
        stop = data.find(b"\n", at) + 1
        line = self._line + (data[at:stop] if stop else data[at:])
        if len(line) > self._budget + 18:
            raise self._problem("The chunk extensions or trailers are too large.")
        if not stop:
            self._check_begun(line)
            self._line = line
            return b"", len(data)
        self._line = b""
        return line, stop

    def _check_begun(self, line: bytes) -> None:
        if (_size_begun if self._state == _SIZE else _trailer_begun)(line) is None:
            raise self._problem(_SIZE_LINE if self._state == _SIZE else _TRAILER_LINE)

    def _handle(self, line: bytes) -> bool:
        """A size line or a trailer; True behind the message's last line."""
        if self._state == _TRAILER:
            return self._end_or_trailer(line)
        match = _size(line)
        if match is None:
            raise self._problem(_SIZE_LINE)
        if match[2]:
            self._spend(len(match[2]))
        self._rest = int(match[1], 16)
        if self._rest > _LARGEST:
            raise self._problem(_SIZE_LINE)
        self._state = _DATA if self._rest else _TRAILER
        return False

    def _end_or_trailer(self, line: bytes) -> bool:
        if line == b"\r\n":
            return True
        if _trailer(line) is None:
            raise self._problem(_TRAILER_LINE)
        self._spend(len(line))
        return False

    def _spend(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise self._problem("The chunk extensions or trailers are too large.")


def _small_chunks(data: bytes, at: int, out: list[bytes]) -> int:
    """Takes the chunks of less than 16 bytes that are there whole: the dearest bytes that a sender has. The index
    behind them."""
    while size := _SMALL.get(data[at : at + 3]):
        stop = at + 3 + size
        if data[stop : stop + 2] != b"\r\n":
            break  # not all of it is here, or it is malformed
        out.append(data[at + 3 : stop])
        at = stop + 2
    return at
