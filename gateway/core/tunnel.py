"""A tunnel: two connections joined after 101 (Switching Protocols), whose bytes go on as they come.

Each end is the `asyncio.Protocol` of its connection, in place of the HTTP one. A full end pauses the other's reading,
so that what waits is bounded by the transports' buffers. Nothing is read of the bytes but where WebSocket frames end,
so that the tunnel can be ended between two of them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from gateway.core.frames import Frames, close_frame
from gateway.core.leaving import Leaving

NEVER: Final = float("inf")
STALLED: Final = 30.0  # seconds in which an end that has bytes waiting must read some
HALF_OPEN: Final = 30.0  # seconds of silence after one end has said that it sends no more
_PROBES: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


class End(asyncio.Protocol):
    """One connection of a tunnel. `frames` are those written to it, `passed` counts the bytes read from it."""

    __slots__ = ("_last", "_masked", "_said", "_shut", "_stalled_at", "_tunnel", "_unsent", "frames", "lost", "other",
                 "passed", "transport")  # fmt: skip

    other: End

    def __init__(self, tunnel: Tunnel, transport: asyncio.Transport, masked: bool) -> None:
        self._tunnel = tunnel
        self.transport = transport
        self._masked = masked
        self.frames = Frames()
        self.passed = 0
        self.lost = False
        self._said = False  # our own close frame has left: nothing more is passed on
        self._last: bytes | None = None  # our close frame, while it waits for the end of a frame
        self._shut = False  # nothing more may be written
        self._stalled_at = NEVER
        self._unsent = 0
        _probe(transport)

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self._tunnel.active = True
        self.passed += len(data)
        self.other.take(data)

    def eof_received(self) -> bool:
        return self._tunnel.half_closed(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self._shut = True
        self._tunnel.parted(self)

    def pause_writing(self) -> None:
        self._watch()
        self.other.pause()

    def resume_writing(self) -> None:
        if not self.transport.is_closing():
            self._stalled_at = NEVER
        self.other.resume()

    def _watch(self) -> None:
        """From now on it must read some of what waits for it."""
        self._unsent = self.transport.get_write_buffer_size()
        self._stalled_at = self._tunnel.now + STALLED

    # from the other end

    def take(self, data: bytes) -> None:
        """Bytes that the other end has read."""
        if self._last is not None or self._said:
            self._take_last(data)
            return
        self.frames.feed(data)
        if not self._shut:
            self.transport.write(data)

    def _take_last(self, data: bytes) -> None:
        """Up to the end of the frame that is under way; what follows is only looked at for the close frame's sake."""
        at = 0
        if self._last is not None:
            at = self.frames.cut(data)
            self._write(data if at < 0 else data[:at])
            if at >= 0:
                self._say()
        if at >= 0:
            self.frames.feed(data[at:])
        self._tunnel.settle()

    def pause(self) -> None:
        if not self.lost and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        if not self.lost and not self.transport.is_closing():
            self.transport.resume_reading()

    # the end

    def leave(self, why: Leaving) -> None:
        """Says goodbye between two frames, unless the other end has done so."""
        if self.frames.closing or self.lost:
            return
        self._last = close_frame(why.code, why.reason, self._masked)
        if self.frames.between:
            self._say()

    def _say(self) -> None:
        last, self._last = self._last, None
        if last is not None and not self.frames.closing:
            self._write(last)
            self._said = True

    def _write(self, data: bytes) -> None:
        if data and not self._shut:
            self.transport.write(data)

    @property
    def told(self) -> bool:
        """A close frame, whoever's, has been written to it."""
        return self._said or self.frames.closed

    def shut(self) -> None:
        """The other end sends no more."""
        if self._shut or self.lost:
            return
        self._shut = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def close(self) -> None:
        """After what was written has left."""
        self._shut = True
        if not self.lost:
            self._watch()
            self.transport.close()

    def abort(self) -> None:
        self._shut = True
        if not self.lost:
            self.transport.abort()

    def check(self, now: float) -> None:
        """One that reads nothing of what waits for it is cut; one that reads slowly goes on."""
        if now <= self._stalled_at:
            return
        unsent = self.transport.get_write_buffer_size()
        if not self.lost and 0 < unsent < self._unsent:
            self._unsent, self._stalled_at = unsent, now + STALLED
        else:
            self._stalled_at = NEVER
            self.abort()


class Tunnel:
    """Joins two ends. `idle`: seconds of silence both ways after which it ends. Swept while it is open."""

    __slots__ = ("_deadline", "_idle", "_leaving", "_over", "_parted", "active", "client", "now", "upstream")

    client: End
    upstream: End

    def __init__(self, idle: float) -> None:
        self._idle = idle
        self._leaving = self._parted = False
        self.active = False  # bytes have passed since the last sweep
        self.now = 0.0  # coarse monotonic seconds
        self._deadline = NEVER

    def join(self, client: End, upstream: End, now: float, over: Callable[[], None]) -> None:
        """`over` hears once, when both ends are gone."""
        self._over = over
        self.client, self.upstream = client, upstream
        client.other, upstream.other = upstream, client
        self.now = now
        self._deadline = now + self._idle

    def half_closed(self, end: End) -> bool:
        """An end sends no more; True while it may still be written to."""
        self._idle = min(self._idle, HALF_OPEN)
        self._deadline = min(self._deadline, self.now + self._idle)
        end.other.shut()
        said_all = end._shut or (self._leaving and end.told)
        return end.transport.can_write_eof() and not said_all

    def parted(self, end: End) -> None:
        """An end is gone: the other gets what was passed on to it, and closes; but one that has just had our close
        frame has its moment to answer, as a close that crosses the answer could take the frame away again."""
        self._parted = True
        if end.other.lost:
            self._over()
        elif not (self._leaving and end.other.told):
            self._deadline = NEVER  # the other is watched by itself
            end.other.close()

    def leave(self, why: Leaving) -> None:
        """Ends the tunnel politely: a close frame to both ends, and a moment for them to answer it."""
        if self._leaving or self._parted:
            return
        self._leaving = True
        self._deadline = self.now + why.patience
        for end in (self.client, self.upstream):
            end.leave(why)
        self.settle()

    def settle(self) -> None:
        """Closes an end that has had a close frame and has sent one (RFC 6455 section 7.1.1)."""
        for end in (self.client, self.upstream):
            if end.told and end.other.frames.closed:
                end.close()

    def check(self, now: float) -> None:
        """Called by the sweep."""
        self.now = now
        if self.active and not self._leaving and not self._parted:
            self.active = False
            self._deadline = now + self._idle
        elif now > self._deadline:
            self._expired()
        self.client.check(now)
        self.upstream.check(now)

    def _expired(self) -> None:
        if self._leaving:
            self.client.abort()
            self.upstream.abort()
        else:
            self.leave(Leaving.SILENT)


def _probe(transport: asyncio.Transport) -> None:
    """A silent connection to a machine that is gone would stay for ever: the kernel asks after it."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
