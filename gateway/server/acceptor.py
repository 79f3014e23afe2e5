"""Accepts connections of one worker on all listeners of its node.

A plain listener is served by the loop's own server. Where TLS or the PROXY protocol comes first, connections are
accepted here: a handshake may fail and is counted then, takes a deadline, and gets the certificates of its moment.

Each worker has a TCP socket of its own per listener, and looks now and then at those of the others: a connection that
waits there, because its worker is dead, hangs or is not ready yet, is served here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.listening import Listener
from gateway.core.proxy_header import Malformed, Origin
from gateway.server.opening import BACKLOG
from gateway.server.origin import read_origin
from gateway.server.protocol_peer import Trust
from gateway.server.tls_keeper import Keeper

log: Final = logging.getLogger("gateway.worker")
STEAL: Final = 0.1  # seconds between two looks at the sockets of the other workers
BATCH: Final = 16  # connections accepted in one turn of the loop
DRAINED: Final = 256  # connections taken at one look
TLS_END: Final = 2.0  # seconds for a client to answer the end of TLS
DEFERRED: Final = 0.05  # seconds of a pause when no descriptor is left


@dataclass
class Source:
    """A listener as a worker has it: its own socket, those of the other workers, and what comes before HTTP."""

    listener: Listener
    own: socket.socket
    others: Sequence[socket.socket] = ()
    keeper: Keeper | None = None
    proxies: Trust | None = None  # networks that speak the PROXY protocol here; None: nobody does

    @property
    def is_plain(self) -> bool:
        return self.keeper is None and self.proxies is None and not self.listener.proxy_protocol


class Tally:
    """Connections of this worker that ended before they carried a request. `refused`: there were too many."""

    __slots__ = ("proxy_failures", "refused", "tls_failures")

    def __init__(self) -> None:
        self.tls_failures = 0
        self.proxy_failures = 0
        self.refused = 0


class Acceptor:
    """Takes the place of a server of the loop in uvicorn's list: `close` and `wait_closed`."""

    def __init__(
        self,
        sources: Sequence[Source],
        handshake: float,
        tally: Tally,
        full: Callable[[int], bool] = lambda _pending: False,
        pace: Callable[[], float] = lambda: STEAL,
    ) -> None:
        """`handshake` in seconds, for what comes before HTTP; `full` tells whether no more are wanted, `pace`
        how often the loop is looked at, in seconds."""
        self.sources = sources
        self.tally = tally
        self._handshake = handshake
        self._full = full
        self._pace = pace
        self._make: Callable[[], Any] = _not_started
        self._servers: list[asyncio.Server] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._pending: set[asyncio.Task[None]] = set()
        self._open = False

    @property
    def pending(self) -> int:
        """Connections whose handshake runs."""
        return len(self._pending)

    async def start(self, make: Callable[[], Any]) -> None:
        self._make, self._open = make, True
        loop = asyncio.get_running_loop()
        for source in self.sources:
            if not source.is_plain:
                loop.add_reader(source.own.fileno(), self._accept, source, source.own)
            elif source.listener.unix is not None:
                self._servers.append(await loop.create_unix_server(make, sock=source.own, backlog=BACKLOG))
            else:
                self._servers.append(await loop.create_server(make, sock=source.own, backlog=BACKLOG))
        self._steal()

    def close(self) -> None:
        """No new connections; handshakes go on. What the kernel has accepted already is taken first, as it would be
        reset."""
        if not self._open:
            return
        for source in self.sources:
            for each in (source.own, *source.others):
                self._accept(source, each, BACKLOG)
        self._open = False
        for timer in self._timers:
            timer.cancel()
        for server in self._servers:
            server.close()
        for source in self.sources:
            if not source.is_plain:
                asyncio.get_running_loop().remove_reader(source.own.fileno())
            for each in (source.own, *source.others):
                each.close()

    async def settled(self, seconds: float) -> None:
        """Waits until no handshake runs any more, at most so long; then ends those that do."""
        if self._pending:
            await asyncio.wait(self._pending, timeout=seconds)
        for task in self._pending:
            task.cancel()

    async def wait_closed(self) -> None:
        for server in self._servers:
            await server.wait_closed()

    # accepting

    def _accept(self, source: Source, listening: socket.socket, most: int = BATCH) -> None:
        for _ in range(most):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._defer(source, error)
                return
            accepted.setblocking(False)
            if self._full(self.pending):  # before its handshake, which costs more than most requests
                self.tally.refused += 1
                accepted.close()
            else:
                self._spawn(self._serve(source, accepted, address))

    def _defer(self, source: Source, error: OSError) -> None:
        """No descriptor is left, so the socket stays readable: it is left alone for a moment."""
        log.error("a connection cannot be accepted: %s", error.strerror)
        if source.is_plain:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(source.own.fileno())
        self._later(DEFERRED, lambda: loop.add_reader(source.own.fileno(), self._accept, source, source.own))

    def _later(self, seconds: float, do: Callable[[], object]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            do()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)

    def _steal(self) -> None:
        """The loop's own server takes one connection a turn, so that under load they would queue in the kernel, where
        no lag tells of them: what waits in a plain listener's own socket is taken, too."""
        self._later(min(STEAL, self._pace()), self._steal)
        if self._full(self.pending):
            return
        for source in self.sources:
            for each in (source.own, *source.others) if source.is_plain else source.others:
                self._accept(source, each, DRAINED)

    def _spawn(self, serving: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(serving)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    # what comes before HTTP

    async def _serve(self, source: Source, accepted: socket.socket, address: Any) -> None:
        """Ends once the protocol has its connection, or the connection is closed."""
        try:
            protocol = self._make()
            if source.listener.proxy_protocol:
                protocol.origin = await self._origin(source, accepted, address)
            if source.keeper is None:
                await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, accepted)
            else:
                await self._handshaken(protocol, accepted, source.keeper.context)
        except Malformed as error:
            self.tally.proxy_failures += 1
            log.debug("listen %s: a connection was closed, as %s", source.listener.label, error)
        except (OSError, TimeoutError) as error:
            log.debug("listen %s: a connection ended before it began: %s", source.listener.label, error)
        else:
            return
        with contextlib.suppress(OSError):
            accepted.close()

    async def _origin(self, source: Source, accepted: socket.socket, address: Any) -> Origin:
        if source.proxies is not None and not (isinstance(address, tuple) and address[0] in source.proxies):
            raise Malformed("its peer is none of those that speak the PROXY protocol here")
        try:
            return await read_origin(accepted, self._handshake)
        except TimeoutError:
            raise Malformed("its PROXY header did not arrive in time") from None

    async def _handshaken(self, protocol: Any, accepted: socket.socket, context: ssl.SSLContext) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=context,
                ssl_handshake_timeout=self._handshake,
                ssl_shutdown_timeout=TLS_END,
            )
        except (OSError, TimeoutError):
            self.tally.tls_failures += 1
            raise


def _not_started() -> Any:
    raise RuntimeError("start comes first")
