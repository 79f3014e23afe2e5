"""A gateway worker: our protocol class under uvicorn on inherited sockets, listeners, and the link to the control
process, which tells it what to serve."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvicorn
import uvloop
from starlette.applications import Starlette

from gateway.consumers.current import CurrentDirectory
from gateway.consumers.directory import Directory
from gateway.core.bodies import BodyLimits
from gateway.core.clock import SystemClock
from gateway.core.egress import Egress
from gateway.core.errors import Unavailable
from gateway.core.exchange import Exchange
from gateway.core.findings import DocumentsRefused
from gateway.core.kinds import Services
from gateway.core.live import Limits, LiveCell
from gateway.core.secrets import KeyHasher
from gateway.events.topics import Topics
from gateway.live.build import Settings as BuildSettings
from gateway.live.health import own_paths, place_health
from gateway.live.key_check import place_key_check
from gateway.live.slots import Builder
from gateway.live.space import refusing_router
from gateway.live.swap import LiveSnapshot, Swapper
from gateway.relay.network import Network
from gateway.relay.outside import Outside
from gateway.runtime.embedded import EmbeddedRuntime
from gateway.runtime.hosts import WorkerHosts
from gateway.runtime.processes import Processes
from gateway.runtime.registry import Registry
from gateway.runtime.remotes import Remotes, largest_message
from gateway.server import collector, issuing, launch
from gateway.server.environment import node_environment
from gateway.server.kinds import BACKEND_KINDS, node_kinds
from gateway.server.lasting import watch
from gateway.server.link import Link, connect
from gateway.server.listeners import Listeners
from gateway.server.logs import configure
from gateway.server.open_files import ceilings, open_files
from gateway.server.parts import read_outline, read_version
from gateway.server.port import GatewayServer, open_port
from gateway.server.protocol import GatewayProtocol
from gateway.server.protocol_shared import SHARED, Shared
from gateway.server.tracing import sampling_of
from gateway.server.worker_metrics import Telling
from gateway.store.connect import OwnedCounters, connect_counters, open_cells, open_streams
from gateway.store.store import Change
from gateway.telemetry.events import Messages
from gateway.telemetry.observer import Observer
from gateway.telemetry.tracing import Tracer

log: Final = logging.getLogger("gateway.worker")
METRICS: Final = 1.0
RECONNECT: Final = 0.1
STEP: Final = 1.0  # seconds between two signs that a long build goes on
ENDING: Final = 0.5  # seconds of the grace period in which the process itself ends


class NothingToServe(Unavailable):
    """This node has no snapshot: its store cannot be reached, or holds what cannot be served here."""

    title, code = "The gateway has nothing to serve yet", "nothing_to_serve"


class Worker:
    """Composes what this process serves with; told what to do by the control process."""

    def __init__(self, given: launch.Launch, counters: OwnedCounters) -> None:
        settings = given.settings
        self.given = given
        self.clock = SystemClock()
        self.directory = CurrentDirectory(settings.max_stale)
        self.counters = counters
        self.streams = open_streams(given.store_url)
        self.cells = open_cells(given.store_url)
        self.messages = Messages()
        self.topics = Topics(self.streams, {}, self.messages)
        self.tracer = Tracer(self.clock, sampling_of(settings), trusts=self._trusts)
        self.observer = Observer(settings.access_log or given.data / "log" / "access.log", self.clock, self.tracer)
        consumer = f"{given.node}-{given.index}"
        self.listeners = Listeners(self.streams, self.clock, consumer, self.messages, self.tracer)
        nothing = refusing_router("not ready", lambda _exchange: NothingToServe())
        place_health(nothing, settings.health_path, self._is_ready)
        connections, exchanges = ceilings(settings.max_connections, settings.max_exchanges, open_files())
        self.cell = LiveCell(
            nothing,
            clock=self.clock,
            observe=self.observer.observe,
            limits=Limits(
                body=settings.max_body,
                head_timeout=settings.head_timeout,
                body_timeout=settings.body_timeout,
                keep_alive=settings.keep_alive,
                rate=settings.min_rate,
                connections=connections,
                exchanges=exchanges,
                lag=settings.max_lag,
            ),
            trusted=settings.trusted_proxies,
            own_paths=own_paths(settings.health_path),
            run=given.run.encode(),
        )
        self.network = Network(Egress.parse(settings.egress, given.data), clock=self.clock)
        self.outside = Outside(self.network)
        self.hosts = WorkerHosts(given.hosted, settings.max_body)
        limit = largest_message(settings)
        self.remotes = Remotes(settings.runtimes, settings.runtime_token, limit, self.network.names)
        self.shared = Shared(self.cell)
        self.tracer.watch(self.cell)
        self.port = open_port(given, self.shared.overload)
        self.telling = Telling(
            given.index, self.observer, self.tracer, self.messages, self.port, self.hosts, self.outside, self.remotes
        )
        self.hasher = KeyHasher(given.key_secret)
        own = issuing.own_issuer(settings, self.directory, self.clock)
        self.tokens = issuing.token_endpoint(
            own, settings, self.directory, self.hasher, self.clock, self.counters, given.store_url
        )
        services = Services(
            own,
            self.hasher,
            self.clock,
            self.network,
            self.shared.overload,
            BodyLimits(settings.max_body, settings.largest_body),
            self.observer.reports,
            self.observer.mirrors,
            self.tracer,
            self.outside,
            self.hosts,
            directory=self.directory,
            counters=self.counters,
            cells=self.cells,
            clock=self.clock,
            topics=self.topics,
            streams=self.streams,
            processes=Processes(EmbeddedRuntime(Registry.load(settings.processes)), self.remotes),
        )
        secrets = node_environment(settings).secrets
        builder = Builder(node_kinds(settings.processes, given.hosted), services, secrets)
        build = BuildSettings(builder, BACKEND_KINDS, settings.max_body)
        self.swapper = Swapper(self.cell, build, self._swapped)
        self.prepared: dict[str, LiveSnapshot] = {}
        self._active = ""
        self._stepped = 0.0
        self._link: Link | None = None

    def _trusts(self, exchange: Exchange) -> bool:
        return exchange.head.peer.address in self.shared.trust

    def _is_ready(self) -> bool:
        """A node that the store has told of nothing is no place for requests, unless it is to be one."""
        live = self.swapper.current
        serves = live is not None and (bool(live.outline.versions) or self.given.settings.ready_when_empty)
        return bool(self._active) and serves and not self.cell.draining

    def _swapped(self, live: LiveSnapshot) -> None:
        path = self.given.settings.health_path
        place_health(live.router, path, self._is_ready)
        place_key_check(live.router, path, self.directory, self.hasher, self.clock)
        if self.tokens is not None:
            self.tokens.place(live.router)
        self.topics.specs = live.outline.topics
        self.listeners.serve(live)

    # the link

    async def obey(self, ready: asyncio.Event) -> None:
        """Does what the control process says; connects again when that was replaced. Directory changes never wait for
        a snapshot that is being built."""
        while not self.cell.draining:
            try:
                self._link = await connect(str(self.given.control_socket))
            except OSError:
                await asyncio.sleep(RECONNECT)
                continue
            self._link.send({"say": "hello", "pid": os.getpid(), "run": self.given.run})
            orders: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            async with asyncio.TaskGroup() as tasks:
                also = [
                    tasks.create_task(self._tell_metrics(self._link)),
                    tasks.create_task(self.telling.spans(self._link)),
                    tasks.create_task(self._build(self._link, orders, ready)),
                ]
                await self._listen(self._link, orders)
                for task in also:
                    task.cancel()
            await self._link.close()
            await asyncio.sleep(RECONNECT)

    async def _listen(self, link: Link, orders: asyncio.Queue[dict[str, Any]]) -> None:
        async for message in link.messages():
            do = message["do"]
            if do == "directory":
                self.directory.current = await _directory(message["path"])
            elif do == "change":
                change = Change(message["sequence"], message["table"], message["key"], message["value"])
                self.directory.current.apply(change)
            elif do == "heard":
                self.directory.current.as_of = message["at"]
            elif do == "settle":
                link.send({"say": "done", "ask": message["ask"]})
            else:
                orders.put_nowait(message)

    async def _build(self, link: Link, orders: asyncio.Queue[dict[str, Any]], ready: asyncio.Event) -> None:
        """Snapshots, one at a time and in order."""
        while True:
            order = await orders.get()
            do, hash = order["do"], order.get("hash", "")
            if do == "forget":
                await self._forget(hash)
            elif do != "idle":
                try:
                    await (self._prepare if do == "prepare" else self._activate)(hash, order["path"])
                except Exception as error:
                    log.warning("snapshot %s could not be built", hash, exc_info=True)
                    if not order["ask"] and not self._active:
                        raise  # the others serve it: this one must not take their requests
                    link.send({"say": "done", "ask": order["ask"], "error": f"{type(error).__name__}: {error}"})
                else:
                    link.send({"say": "done", "ask": order["ask"]})
            if do in {"activate", "idle"}:
                ready.set()

    async def _prepare(self, hash: str, path: str) -> None:
        """At most one snapshot waits beside the running one."""
        if hash in self.prepared:
            return
        for old in list(self.prepared):
            await self._forget(old)
        self.prepared[hash] = await self._read(path)

    async def _read(self, path: str) -> LiveSnapshot:
        """Only what is not running yet is read and built; the control process hears that this goes on."""
        outline = Path(path)
        count = 0

        def step() -> None:
            nonlocal count
            count += 1
            if not count % collector.PART:
                collector.keep()
            now = self.clock.monotonic()
            if now - self._stepped > STEP and self._link is not None:
                self._stepped = now
                self._link.send({"say": "busy"})

        return await self.swapper.prepare_outline(read_outline(outline), partial(read_version, outline), step)

    async def _forget(self, hash: str) -> None:
        prepared = self.prepared.pop(hash, None)
        if prepared is not None:
            try:
                await prepared.release()
            except Exception:
                log.exception("what was prepared as %s could not be closed", hash)

    async def _activate(self, hash: str, path: str) -> None:
        if self._active == hash:
            return
        prepared = self.prepared.pop(hash, None) or await self._read(path)
        self.swapper.swap(prepared)
        self._active = hash

    async def _tell_metrics(self, link: Link) -> None:
        while True:
            await asyncio.sleep(METRICS)
            self.port.refresh()
            self._tell(link)

    def _tell(self, link: Link) -> None:
        link.send({"say": "metrics", "metrics": self.telling.metrics(self.cell.running, self.swapper.current)})

    def refresh(self) -> None:
        """SIGHUP: certificates are read again, and the access log's file is opened again, as it may be another."""
        self.port.refresh(anyway=True)
        if self.observer.log is not None:
            self.observer.log.reopen()

    def drain(self) -> None:
        """Not ready any more; the answer to a request in flight says that its connection closes."""
        self.cell.draining = True
        if self._link is not None:
            self._link.send({"say": "draining"})

    async def close(self) -> None:
        if self._link is not None:
            while self.telling.told_spans(self._link):
                pass
            self._tell(self._link)  # who called in the last second
        for hash in list(self.prepared):
            await self._forget(hash)
        await self.swapper.close()
        if self.tokens is not None:
            await self.tokens.close()
        await self.outside.close()
        await self.hosts.close()
        await self.remotes.close()
        await self.network.close()
        await self.streams.close()
        await self.cells.close()
        await self.counters.close()
        self.observer.close()


async def _directory(path: str) -> Directory:
    """Of the file that the control process wrote on this machine. Requests go on meanwhile, by the one before."""
    directory = Directory()
    with Path(path).open("rb") as file:  # noqa: ASYNC230 - on this machine, and read a line at a time
        for _ in directory.take_in(file):
            await asyncio.sleep(0)
    return directory


def _application(cell: LiveCell, shared: Shared) -> Starlette:
    """Never called for a request: it carries the live cell to the protocol class by uvicorn's lifespan state."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {"live": cell, SHARED: shared}

    return Starlette(lifespan=lifespan)


async def serve(given: launch.Launch) -> None:
    worker = Worker(given, await connect_counters(given.store_url))
    worker.remotes.start()
    ready, stop = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, worker.refresh)
    beating, obeying = asyncio.create_task(launch.beat(given.beat_fd)), asyncio.create_task(worker.obey(ready))
    obeying.add_done_callback(lambda _task: stop.set())  # who cannot follow must not serve: another takes its place
    stopping, starting = asyncio.create_task(stop.wait()), asyncio.create_task(ready.wait())
    await asyncio.wait([stopping, starting], return_when=asyncio.FIRST_COMPLETED)
    starting.cancel()
    try:
        if not stop.is_set():
            collector.settle()
            await _run_server(worker, given, stopping)
    finally:
        beating.cancel()
        obeying.cancel()
        (failure,) = await asyncio.gather(obeying, return_exceptions=True)
        await worker.close()
    if isinstance(failure, Exception):
        raise failure


async def _run_server(worker: Worker, given: launch.Launch, stop: asyncio.Task[Any]) -> None:
    """Until told to stop. Readiness fails first, while connections are still accepted; then those that idle close, and
    requests and messages in flight have what is left of the grace period."""
    settings = given.settings
    delay = min(settings.drain_delay, settings.grace)
    config = uvicorn.Config(
        _application(worker.cell, worker.shared),
        http=GatewayProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
    )
    left = settings.grace - delay
    own = max(left - ENDING, left / 2)
    config.timeout_graceful_shutdown = own  # type: ignore[assignment]  # parts of a second count, too
    server = GatewayServer(config, worker.port.acceptor)
    worker.shared.overload.served = lambda: server.served
    running = asyncio.create_task(server.serve())
    worker.port.start()
    watching = asyncio.create_task(watch(lambda: server.server_state.connections, worker.clock))
    await asyncio.wait([running, stop], return_when=asyncio.FIRST_COMPLETED)
    worker.drain()
    listening = asyncio.create_task(worker.listeners.drain(settings.grace))
    await asyncio.wait([running], timeout=delay)
    await worker.port.close()
    server.should_exit = True
    await asyncio.gather(running, listening)
    watching.cancel()


def main() -> None:
    given = launch.read()
    configure(f"worker {given.index}", given.settings.log_level, given.settings.log_format)
    launch.end_with_supervisor(given.settings.grace + 1)
    try:
        uvloop.run(serve(given))
    except DocumentsRefused as error:
        log.error("this worker cannot start: %s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
