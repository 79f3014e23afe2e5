"""Where the frames of a WebSocket end (RFC 6455 section 5.2): enough to put a close frame between two of them. Payloads
are never looked at; what is kept is the same for a frame of a byte and one of a gigabyte."""

from __future__ import annotations

import secrets
from typing import Final

_CLOSE: Final = 8  # opcode

# By a frame's second byte: header and payload together, or 0 where more of the header must be read.
_SIZES: Final = tuple(0 if byte & 127 > 125 else 2 + (byte & 127) + (4 if byte & 128 else 0) for byte in range(256))


class Frames:
    """One direction of a WebSocket, fed with all of its bytes. `closing`: a close frame has begun, which is the last
    frame of its direction (section 5.5.1). What is no WebSocket does no harm here: the places are then wrong."""

    __slots__ = ("_header", "_left", "closing")

    def __init__(self) -> None:
        self._left = 0  # bytes of the running frame that are still to come
        self._header = b""  # of a frame whose size is not known yet
        self.closing = False

    @property
    def between(self) -> bool:
        """No frame is under way."""
        return not self._left and not self._header

    @property
    def closed(self) -> bool:
        """The close frame is complete."""
        return self.closing and not self._left and not self._header

    def feed(self, data: bytes) -> None:
        size, left = len(data), self._left
        if size <= left:  # the usual chunk of a large frame
            self._left = left - size
            return
        at = left
        if self._header:
            data, at = self._header + data, 0
            size = len(data)
            self._header = b""
        self._walk(data, at, size)

    def _walk(self, data: bytes, at: int, end: int) -> None:
        """From a frame's start. Only the last frame can be a close frame, so the others' opcodes are not read."""
        start, last = at, end - 1
        while at < last:
            start = at
            size = _SIZES[data[at + 1]]
            if not size and not (size := _long(data, at, end)):
                break
            at += size
        self._left = max(0, at - end)
        if at < end:
            self._header = data[at:]
        if start < end and data[start] & 15 == _CLOSE:
            self.closing = True

    def cut(self, data: bytes) -> int:
        """Feeds `data` up to the first place between two frames: its index, or -1 when there is none."""
        at, size = 0, len(data)
        while (self._left or self._header) and at < size:
            step = self._left or 1
            self.feed(data[at : at + step])
            at += step
        return at if at <= size and self.between else -1


def _long(data: bytes, at: int, end: int) -> int:
    """The size of a frame whose length has 2 or 8 bytes; 0 while they are not all there."""
    second = data[at + 1]
    width = 2 if second & 127 == 126 else 8
    stop = at + 2 + width
    if stop > end:
        return 0
    return 2 + width + (4 if second & 128 else 0) + int.from_bytes(data[at + 2 : stop])


def close_frame(code: int, reason: str, masked: bool) -> bytes:
    """A close frame (RFC 6455 section 5.5.1); clients, and so we towards an upstream, mask theirs (section 5.3)."""
    payload = code.to_bytes(2) + reason.encode()[:123]
    if not masked:
        return bytes((0x88, len(payload))) + payload
    mask = secrets.token_bytes(4)
    hidden = bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))
    return bytes((0x88, 0x80 | len(payload))) + mask + hidden
