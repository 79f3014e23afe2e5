"""The client's end of a tunnel: what a connection of the gateway is after 101 (Switching Protocols), to uvicorn as
well."""

from __future__ import annotations

import asyncio

from gateway.core.edge import finish
from gateway.core.exchange import Exchange
from gateway.core.leaving import Leaving
from gateway.core.tunnel import End, Tunnel
from gateway.server.protocol_connection import Connection
from gateway.server.protocol_shared import Shared


class ClientEnd(End):
    """Stands in the place of `http`, which hears of the connection's end alone. Closes its exchange then; the sweep
    looks at the tunnel until both ends are gone."""

    __slots__ = ("_http", "_shared", "exchange")

    def __init__(self, tunnel: Tunnel, http: Connection, exchange: Exchange, shared: Shared) -> None:
        super().__init__(tunnel, http._transport, masked=False)
        self._http = http
        self._shared = shared
        self.exchange = exchange

    @property
    def _transport(self) -> asyncio.Transport:
        return self.transport

    def begin(self, upstream: End, early: bytes, ended: bool) -> None:
        """`early`: what the client has sent behind its handshake; `ended`: it sends no more."""
        deadlines, tunnel, connections = self._shared.deadlines, self._tunnel, self._http._connections
        deadlines.discard(self._http)
        deadlines.add(tunnel)
        connections.discard(self._http)
        connections.add(self)
        tunnel.join(self, upstream, deadlines.now, lambda: deadlines.discard(tunnel))
        self.transport.set_protocol(self)
        self.transport.resume_reading()
        if early:
            self.data_received(early)
        if ended and not self.eof_received():
            self.close()
        if self._shared.live.draining:
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._http._connections.discard(self)
        self.exchange.received += self.passed
        self.exchange.sent += self.other.passed
        finish(self._shared.live, self.exchange)
        self._http.connection_lost(exc)

    def shutdown(self) -> None:
        """uvicorn stops."""
        self._tunnel.leave(Leaving.DRAINING)

    def end_early(self, why: Leaving) -> None:
        self._tunnel.leave(why)
