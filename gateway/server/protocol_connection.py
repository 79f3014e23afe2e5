"""The socket side of a client connection: its transport, pauses both ways, and the deadlines that the sweep checks."""

from __future__ import annotations

import asyncio
import socket
import struct
from abc import abstractmethod
from typing import Any, Final, cast

from gateway.core.exchange import Peer
from gateway.server.protocol_shared import Shared

WRITE_BUFFER: Final = 262_144
NEVER: Final = float("inf")
_NOT_LIVE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class Connection(asyncio.Protocol):
    """`_read_by` and `_write_by` are when the client must have sent or read more, in coarse monotonic seconds."""

    __slots__ = (
        "_connections",
        "_peer",
        "_read_by",
        "_read_paused",
        "_server_state",
        "_shared",
        "_state",
        "_transport",
        "_trusted",
        "_unsent",
        "_write_by",
        "_write_paused",
    )

    def __init__(self, server_state: Any, app_state: dict[str, Any]) -> None:
        self._state = app_state
        self._server_state = server_state
        self._connections = server_state.connections
        self._shared: Shared | None = None
        self._read_paused = self._write_paused = self._trusted = False
        self._read_by = self._write_by = NEVER
        self._unsent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        self._shared = shared = Shared.of(self._state)
        if shared is None:
            self._transport.write(_NOT_LIVE)
            self._transport.close()
            return
        self._transport.set_write_buffer_limits(WRITE_BUFFER)
        self._peer = _peer(self._transport)
        self._trusted = self._peer.address in shared.trust
        shared.deadlines.add(self)
        self._read_by = shared.deadlines.now + shared.live.limits.head_timeout
        self._opened(shared)

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
            self._lost()

    def _in(self, seconds: float) -> float:
        assert self._shared is not None
        return self._shared.deadlines.now + seconds

    @property
    def _patience(self) -> float:
        assert self._shared is not None
        return self._shared.live.limits.body_timeout

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
        """The client reads nothing; one that reads slowly goes on."""
        unsent = self._transport.get_write_buffer_size()
        if self._write_paused and 0 < unsent < self._unsent:
            self._unsent = unsent
            self._write_by = now + self._patience
            return
        self._write_by = NEVER
        self._transport.abort()

    def _reset(self) -> None:
        """Ends the connection by a reset, as its plain end would look like the reply's end."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def _peer(transport: asyncio.Transport) -> Peer:
    name = transport.get_extra_info("peername")
    address, port = (name[0], name[1]) if isinstance(name, tuple) and len(name) >= 2 else ("", 0)
    if address.lower().startswith("::ffff:"):
        address = address[7:]
    tls = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert() if tls is not None else None
    return Peer(address, port, "http" if tls is None else "https", address, certificate or None)
