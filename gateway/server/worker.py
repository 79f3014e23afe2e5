"""A gateway worker: our protocol class under uvicorn on an inherited socket, listeners, and the link to the control
process, which tells it what to serve."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import uvicorn
import uvloop
from starlette.applications import Starlette

from gateway.consumers.current import CurrentDirectory
from gateway.consumers.directory import Directory
from gateway.core.clock import SystemClock
from gateway.core.kinds import Services
from gateway.core.live import Limits, LiveCell
from gateway.core.secrets import KeyHasher
from gateway.events.topics import Topics
from gateway.live.build import Settings as BuildSettings
from gateway.live.slots import Builder
from gateway.live.space import build_router
from gateway.live.swap import LiveSnapshot, Swapper
from gateway.runtime.embedded import EmbeddedRuntime
from gateway.runtime.registry import Registry
from gateway.server import launch
from gateway.server.environment import node_environment
from gateway.server.kinds import BACKEND_KINDS, POLICY_KINDS
from gateway.server.link import Link, connect
from gateway.server.listeners import Listeners
from gateway.server.logs import configure
from gateway.server.protocol import GatewayProtocol
from gateway.snapshot.spec import load
from gateway.store.connect import OwnedCounters, connect_counters, open_streams
from gateway.store.store import Change
from gateway.telemetry.observer import Observer

log: Final = logging.getLogger("gateway.worker")
BEAT: Final = 0.5  # seconds between signs of life
METRICS: Final = 1.0


class Worker:
    """Composes what this process serves with; told what to do by the control process."""

    def __init__(self, given: launch.Launch, counters: OwnedCounters) -> None:
        settings = given.settings
        self.given = given
        self.clock = SystemClock()
        self.directory = CurrentDirectory(settings.max_stale)
        self.counters = counters
        self.streams = open_streams(given.store_url)
        self.topics = Topics(self.streams, {})
        self.runtime = EmbeddedRuntime(Registry.load(settings.processes))
        self.observer = Observer(settings.access_log or given.data / "log" / "access.log")
        self.listeners = Listeners(self.streams, self.clock, f"{given.node}-{given.index}")
        self.cell = LiveCell(
            build_router(()),
            clock=self.clock,
            observe=self.observer,
            limits=Limits(
                body=settings.max_body,
                head_timeout=settings.head_timeout,
                body_timeout=settings.body_timeout,
                keep_alive=settings.keep_alive,
            ),
            trusted=settings.trusted_proxies,
        )
        services = Services(
            KeyHasher(given.key_secret),
            self.clock,
            directory=self.directory,
            counters=self.counters,
            clock=self.clock,
            topics=self.topics,
            streams=self.streams,
            processes=self.runtime,
        )
        secrets = node_environment(settings).secrets
        builder = Builder(POLICY_KINDS, services, secrets)
        build = BuildSettings(builder, BACKEND_KINDS, settings.max_body)
        self.swapper = Swapper(self.cell, build, self._swapped)
        self.prepared: dict[str, LiveSnapshot] = {}

    def _swapped(self, live: LiveSnapshot) -> None:
        self.topics.specs = live.snapshot.topics
        self.listeners.serve(live)

    # the link

    async def obey(self, ready: asyncio.Event) -> None:
        """Does what the control process says; connects again when it was replaced."""
        while True:
            try:
                link = await connect(str(self.given.control_socket))
            except OSError:
                await asyncio.sleep(0.1)
                continue
            link.send({"say": "hello", "pid": os.getpid()})
            telling = asyncio.create_task(self._tell_metrics(link))
            try:
                async for message in link.messages():
                    await self._do(link, message)
                    if message["do"] == "activate":
                        ready.set()
            finally:
                telling.cancel()
                await link.close()

    async def _do(self, link: Link, message: dict[str, Any]) -> None:
        do = message["do"]
        if do == "directory":
            self.directory.current = Directory.load(_read(message["path"]))
        elif do == "change":
            change = Change(message["sequence"], message["table"], message["key"], message["value"])
            self.directory.current.apply(change)
        elif do == "heard":
            self.directory.current.as_of = message["at"]
        else:
            await self._snapshot(link, do, message["hash"], message["path"])

    async def _snapshot(self, link: Link, do: str, hash: str, path: str) -> None:
        said = {"prepare": "prepared", "activate": "activated"}[do]
        try:
            await (self._prepare(hash, path) if do == "prepare" else self._activate(hash, path))
        except Exception as error:
            log.exception("snapshot %s could not be built", hash)
            link.send({"say": said, "hash": hash, "error": f"{type(error).__name__}: {error}"})
        else:
            link.send({"say": said, "hash": hash})

    async def _prepare(self, hash: str, path: str) -> None:
        """At most one snapshot waits beside the running one."""
        for old in list(self.prepared):
            await self.prepared.pop(old).release()
        self.prepared[hash] = await self.swapper.prepare(load(_read(path)))

    async def _activate(self, hash: str, path: str) -> None:
        current = self.swapper.current
        if current is not None and current.snapshot.hash == hash:
            return
        prepared = self.prepared.pop(hash, None) or await self.swapper.prepare(load(_read(path)))
        self.swapper.swap(prepared)

    async def _tell_metrics(self, link: Link) -> None:
        while True:
            await asyncio.sleep(METRICS)
            link.send({"say": "metrics", "metrics": self.observer.snapshot()})

    async def close(self) -> None:
        await self.listeners.drain()
        for prepared in self.prepared.values():
            await prepared.release()
        await self.swapper.close()
        await self.streams.close()
        await self.counters.close()
        self.observer.close()


def _read(path: str) -> bytes:
    """A file that the control process wrote on this machine."""
    return Path(path).read_bytes()


async def _beat(descriptor: int) -> None:
    """A byte for each half second in which the loop turned. The supervisor replaces a worker that stays silent."""
    while True:
        with contextlib.suppress(BlockingIOError):
            os.write(descriptor, b".")
        await asyncio.sleep(BEAT)


def _application(cell: LiveCell) -> Starlette:
    """Never called for a request: it carries the live cell to the protocol class by uvicorn's lifespan state."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, LiveCell]]:
        yield {"live": cell}

    return Starlette(lifespan=lifespan)


async def serve(given: launch.Launch) -> None:
    worker = Worker(given, await connect_counters(given.store_url))
    ready = asyncio.Event()
    tasks = [asyncio.create_task(_beat(given.beat_fd)), asyncio.create_task(worker.obey(ready))]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait([waiting, asyncio.create_task(ready.wait())], return_when=asyncio.FIRST_COMPLETED)
    try:
        if not stop.is_set():
            await _run_server(worker, given, waiting)
    finally:
        await worker.close()
        for task in tasks:
            task.cancel()


async def _run_server(worker: Worker, given: launch.Launch, stop: asyncio.Task[Any]) -> None:
    """Until told to stop; then idle connections close, and those in flight have the grace period."""
    config = uvicorn.Config(
        _application(worker.cell),
        http=GatewayProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        backlog=2048,
        timeout_graceful_shutdown=int(given.settings.grace),
    )
    server = uvicorn.Server(config)
    listening = socket.socket(fileno=given.gateway_fd)
    running = asyncio.create_task(_quiet(server).serve(sockets=[listening]))
    await asyncio.wait([running, stop], return_when=asyncio.FIRST_COMPLETED)
    worker.cell.draining = True
    server.should_exit = True
    await running


def _quiet(server: uvicorn.Server) -> uvicorn.Server:
    """The signals are this process's own affair, not uvicorn's."""
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
    return server


def main() -> None:
    given = launch.read()
    configure(f"worker {given.index}")
    uvloop.run(serve(given))


if __name__ == "__main__":
    main()
