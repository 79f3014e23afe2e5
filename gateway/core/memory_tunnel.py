"""The in-memory twin of the client's end of a tunnel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.core.tunnel import End, Tunnel


class MemoryTransport(asyncio.Transport):
    """What is written goes to `put`; `closed` hears once of the end. Never full by itself: see `MemoryEnd.flow`."""

    def __init__(self, put: Callable[[bytes], None], closed: Callable[[], None]) -> None:
        super().__init__()
        self._put = put
        self._closed = closed
        self._closing = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not self._closing:
            self._put(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._closed)

    abort = close


class MemoryEnd(End):
    """`put` takes what is for the client, `ended` hears with the counts of bytes that the tunnel is over."""

    __slots__ = ("_ended", "_full")

    def __init__(self, tunnel: Tunnel, put: Callable[[bytes], None], ended: Callable[[int, int], None]) -> None:
        super().__init__(tunnel, MemoryTransport(put, lambda: self.connection_lost(None)), masked=False)
        self._ended = ended
        self._full = False

    def flow(self, full: bool) -> None:
        """The client has more unread bytes than it may, or no longer."""
        if full != self._full:
            self._full = full
            (self.pause_writing if full else self.resume_writing)()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost:
            super().connection_lost(exc)
            self._ended(self.passed, self.other.passed)
