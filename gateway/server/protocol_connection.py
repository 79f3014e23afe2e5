"""The socket side of a client connection: its transport, pauses both ways, and the deadlines that the sweep checks."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from abc import abstractmethod
from typing import Any, Final, cast

from gateway.core.proxy_header import Origin
from gateway.server.overload import AWAY_END, REFUSAL, SPARE_HEAD, Standing
from gateway.server.protocol_peer import peer_of
from gateway.server.protocol_shared import Shared

WRITE_BUFFER: Final = 262_144
NEVER: Final = float("inf")
_NOT_LIVE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class Connection(asyncio.Protocol):
    """`_read_by` and `_write_by` are when the client must have sent or read more, in coarse monotonic seconds."""

    __slots__ = (
        "_body_at",
        "_body_from",
        "_connections",
        "_peer",
        "_read_by",
        "_read_paused",
        "_server_state",
        "_shared",
        "_standing",
        "_state",
        "_transport",
        "_trusted",
        "_unsent",
        "_write_by",
        "_write_paused",
        "origin",
    )

    def __init__(self, server_state: Any, app_state: dict[str, Any]) -> None:
        self._state = app_state
        self._server_state = server_state
        self._connections = server_state.connections
        self._shared: Shared | None = None
        self._read_paused = self._write_paused = self._trusted = False
        self._read_by = self._write_by = NEVER
        self._unsent = self._body_from = 0
        self._body_at = 0.0
        self._standing = Standing.USUAL
        self.origin: Origin | None = None  # what a PROXY header told, before the connection was made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._shared = shared = Shared.of(self._state)
        if shared is None:
            self._transport.write(_NOT_LIVE)
            self._transport.close()
            return
        self._standing = shared.overload.connected()
        shared.deadlines.add(self)
        if self._standing > Standing.SPARE:
            self._turn_away(shared)
            return
        self._connections.add(self)
        self._transport.set_write_buffer_limits(WRITE_BUFFER)
        self._peer = peer_of(self._transport, self.origin)
        self._trusted = self._peer.address in shared.trust
        self._read_by = shared.deadlines.now + (SPARE_HEAD if self._standing else shared.live.limits.head_timeout)
        self._opened(shared)

    def _turn_away(self, shared: Shared) -> None:
        """There are too many. What the client sends is read, as its answer would be lost in a reset otherwise."""
        self._write_by = shared.deadlines.now + AWAY_END
        if self._standing is Standing.AWAY and self._transport.can_write_eof():
            self._transport.write(REFUSAL)
            self._transport.write_eof()
        else:
            self._transport.close()

    @abstractmethod
    def _opened(self, shared: Shared) -> None:
        """Requests may come."""

    @abstractmethod
    def _late(self) -> None:
        """The client did not send what it must in time."""

    @abstractmethod
    def _lost(self) -> None:
        """The connection is gone."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._shared is not None:
            self._shared.deadlines.discard(self)
            self._shared.overload.closed(self._standing)
            self._lost()

    def _in(self, seconds: float) -> float:
        assert self._shared is not None
        return self._shared.deadlines.now + seconds

    @property
    def _patience(self) -> float:
        assert self._shared is not None
        return self._shared.live.limits.body_timeout

    def _expect_body(self, received: int) -> None:
        """From now on the client must send; `received` bytes of the body are here."""
        self._body_at, self._body_from = self._in(0), received
        self._read_by = self._in(self._patience)

    def _body_came(self, received: int) -> None:
        """More has arrived: the next piece must come in time, and all of it at the least rate."""
        self._read_by = self._in(self._patience)
        assert self._shared is not None
        if rate := self._shared.live.limits.rate:
            due = self._body_at + self._patience + (received - self._body_from) / rate
            self._read_by = min(self._read_by, due)

    def _pause_reading(self) -> None:
        if not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_paused and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        self._write_paused = True
        self._unsent = self._transport.get_write_buffer_size()
        self._write_by = self._in(self._patience)

    def resume_writing(self) -> None:
        self._write_paused = False
        self._write_by = NEVER

    def check(self, now: float) -> None:
        """Called by the sweep."""
        if now > self._write_by:
            self._stalled(now)
        elif now > self._read_by:
            self._read_by = NEVER
            self._late()

    def _stalled(self, now: float) -> None:
        """The client reads nothing, or less than the least rate; one that reads slowly goes on."""
        unsent = self._transport.get_write_buffer_size()
        assert self._shared is not None
        least = max(1, int(self._shared.live.limits.rate * self._patience))
        if 0 < unsent <= self._unsent - least:
            self._unsent = unsent
            self._write_by = now + self._patience
            return
        self._write_by = NEVER
        self._transport.abort()

    def _unread(self) -> bool:
        """Bytes have arrived that the loop has not read yet: a close now would answer them with a reset. A client's end
        is no such byte."""
        sock = self._transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return False
        (count,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)))
        return int(count) > 0

    def _reset(self) -> None:
        """Ends the connection by a reset, as its plain end would look like the reply's end."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
