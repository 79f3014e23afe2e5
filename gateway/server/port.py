"""The client side of one worker: its listeners, what it takes on, and the server that uvicorn runs on them."""

from __future__ import annotations

import contextlib
import logging
import socket
from typing import Any, Final

import uvicorn

from gateway.core.listening import Listener
from gateway.server.acceptor import Acceptor, Source, Tally
from gateway.server.launch import Launch
from gateway.server.overload import Overload
from gateway.server.protocol_peer import Trust
from gateway.server.tls_keeper import Keeper, problems, refresh

SETTLE: Final = 2.0  # seconds that handshakes have when the worker ends


class Port:
    """`told` is what the node is told about it."""

    def __init__(self, acceptor: Acceptor, overload: Overload) -> None:
        self.acceptor = acceptor
        self.overload = overload
        self._keepers = [source.keeper for source in acceptor.sources]

    def start(self) -> None:
        self.overload.start()

    async def close(self) -> None:
        """No new connections; those whose handshake runs still get in."""
        self.acceptor.close()
        await self.acceptor.settled(SETTLE)
        self.overload.stop()

    def refresh(self, *, anyway: bool = False) -> None:
        """Certificates, as their files are now."""
        refresh(self._keepers, anyway=anyway)

    def samples(self) -> dict[str, list[list[Any]]]:
        """See `telemetry.families`."""
        keepers = [each for each in self._keepers if each is not None]
        ends = [[each.listener.label, file, end] for each in keepers for file, end in each.ends.items()]
        return {"penstock_certificate_expires_timestamp_seconds": ends}

    def told(self, running: int) -> dict[str, Any]:
        """`load` has gauges, which end with the worker, and counters; `problems` are of certificates."""
        overload, tally = self.overload, self.acceptor.tally
        lag, overload.lag = overload.lag, 0.0
        gauges = {"connections": overload.open, "exchanges": running, "loop_lag_seconds": lag}
        counters = {
            "shed_requests": overload.shed,
            "refused_connections": overload.turned_away + tally.refused,
            "tls_handshake_failures": tally.tls_failures,
            "proxy_header_failures": tally.proxy_failures,
        }
        return {"load": {"gauges": gauges, "counters": counters}, "problems": problems(self._keepers)}


def open_port(given: Launch, overload: Overload) -> Port:
    """The listeners of a node, as this worker has them. Nothing is accepted yet."""
    settings = given.settings
    sources = []
    for listener, fds, material in zip(settings.listeners, given.gateway_fds, given.tls, strict=True):
        own, *others = (socket.socket(fileno=fd) for fd in fds)
        proxies = listener.proxies(settings.trusted_proxies)
        keeper = None if material is None else Keeper(listener, material, level=logging.DEBUG)
        sources.append(Source(listener, own, others, keeper, None if proxies is None else Trust(proxies)))
    if given.probe_fd >= 0:
        private = socket.socket(fileno=given.probe_fd)
        sources.append(Source(Listener(unix=given.control_socket), private))
    return Port(Acceptor(sources, settings.head_timeout, Tally(), overload.is_full, lambda: overload.pace), overload)


class GatewayServer(uvicorn.Server):
    """uvicorn's, on our listeners. The contract with it, besides that of the protocol class: `startup` with no sockets
    prepares the lifespan, and `servers` are closed at the end."""

    def __init__(self, config: uvicorn.Config, acceptor: Acceptor) -> None:
        super().__init__(config)
        self._acceptor = acceptor

    @property
    def served(self) -> int:
        """Requests so far."""
        return self.server_state.total_requests

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        await self._acceptor.start(self._protocol)
        self.servers.append(self._acceptor)  # type: ignore[arg-type]

    def _protocol(self) -> Any:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def capture_signals(self) -> Any:
        """They are this process's own affair, not uvicorn's."""
        return contextlib.nullcontext()
