"""Composes `penstock runtime`: the packages, the socket that gateways connect to, the probes; drains at SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

import uvloop
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.core.listening import Listener, joined
from gateway.core.runtime_settings import RuntimeSettings
from gateway.runtime.embedded import EmbeddedRuntime
from gateway.runtime.registry import Registry
from gateway.runtime.remote_server import RuntimeServer
from gateway.server.logs import configure
from gateway.server.metrics_port import MetricsServer
from gateway.server.open_files import raise_open_files
from gateway.server.opening import Opened, open_listener
from gateway.server.tls_keeper import Keeper
from gateway.telemetry.processes import process_samples

log: Final = logging.getLogger("gateway.runtime")
LOOK: Final = 10.0  # seconds between looks at the certificate's files
HANDSHAKE: Final = 10.0  # seconds
FULL: Final = 0.1  # seconds until another connection is tried when there are no files left

Announce = Callable[[Mapping[str, Any]], None]


def run(settings: RuntimeSettings, announce: Announce) -> None:
    """Until SIGTERM or SIGINT. `announce` hears once where it listens and what it hosts. DocumentsRefused for packages
    that cannot be hosted, CannotListen, CertificateUnusable."""
    configure("runtime", settings.log_level, settings.log_format)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold the token
    raise_open_files()
    registry = Registry.load(settings.processes)
    keeper = Keeper.open(settings.listen) if settings.listen.tls is not None else None
    opened = open_listener(settings.listen, 1, "Choose another place with --listen.")
    metrics = None
    try:
        if settings.metrics_port is not None:
            place = Listener(address=joined(settings.metrics_host, settings.metrics_port))
            metrics = open_listener(place, 1, "Choose another with --metrics-port.")
        uvloop.run(RuntimeProcess(settings, registry, keeper).serve(opened, metrics, announce))
    finally:
        opened.close()
        if metrics is not None:
            metrics.close()


class RuntimeProcess:
    def __init__(self, settings: RuntimeSettings, registry: Registry, keeper: Keeper | None) -> None:
        self._settings = settings
        self._keeper = keeper
        self._runtime = EmbeddedRuntime(registry, settings.threads, settings.waiting, "runtime")
        name = settings.name or socket.gethostname()
        self._server = RuntimeServer(self._runtime, name, settings.token, settings.max_message)
        self._is_leaving = False

    async def serve(self, opened: Opened, metrics: Opened | None, announce: Announce) -> None:
        stop, force = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def signalled() -> None:
            if stop.is_set():
                force.set()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled)
        loop.add_signal_handler(signal.SIGHUP, self._refresh)
        accepting = asyncio.create_task(self._accept(opened.sockets[0]))
        probes = self._probes(metrics) if metrics is not None else None
        asked = asyncio.create_task(probes.run_here()) if probes is not None else None
        looking = asyncio.create_task(self._look())
        told = {"place": opened.place, "processes": [each.name for each in self._runtime.registry]}
        announce({**told, "metrics": metrics.place if metrics is not None else ""})
        await stop.wait()
        await self._linger(force)
        accepting.cancel()
        opened.close()
        await self._drain(force)
        looking.cancel()
        if probes is not None and asked is not None:
            probes.should_exit = True
            await asked
        self._runtime.close()

    async def _accept(self, listening: socket.socket) -> None:
        """Each connection with the certificate as it is then."""
        loop = asyncio.get_running_loop()
        taking: set[asyncio.Task[None]] = set()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("no connection can be accepted: %s", error)
                await asyncio.sleep(FULL)
                continue
            accepted.setblocking(False)
            task = loop.create_task(self._take(accepted))
            taking.add(task)
            task.add_done_callback(taking.discard)

    async def _take(self, accepted: socket.socket) -> None:
        tls = self._keeper.context if self._keeper is not None else None
        more = {} if tls is None else {"ssl_handshake_timeout": HANDSHAKE}
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._server.connection, accepted, ssl=tls, **more)
        except OSError as error:
            log.info("a connection came to nothing: %s", error)
            accepted.close()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            if self._keeper is not None:
                self._keeper.refresh()

    def _refresh(self) -> None:
        if self._keeper is not None:
            self._keeper.refresh(anyway=True)

    async def _linger(self, force: asyncio.Event) -> None:
        """Not ready any more, and otherwise as before: names are told late of who takes its place."""
        self._is_leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_delay):
                await force.wait()

    async def _drain(self, force: asyncio.Event) -> None:
        """Gateways call others from now on; what runs has `grace` seconds."""
        self._server.drain()
        waiting = [asyncio.create_task(self._server.left()), asyncio.create_task(force.wait())]
        await asyncio.wait(waiting, timeout=self._settings.grace, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
        if self._server.running:
            log.warning("%d calls did not end in time and are given up", self._server.running)
        self._server.close()

    def _probes(self, metrics: Opened) -> MetricsServer:
        async def live(_request: Request) -> Response:
            return PlainTextResponse("live\n")

        async def ready(_request: Request) -> Response:
            return PlainTextResponse("draining\n", 503) if self._is_leaving else PlainTextResponse("ready\n")

        def numbers() -> list[Mapping[str, Any]]:
            return [{"endpoints": [], "samples": {**process_samples("runtime"), **self._server.samples()}}]

        descriptor = metrics.sockets[0].detach()
        return MetricsServer(descriptor, numbers, more=[Route("/live", live), Route("/ready", ready)])
