"""Composes the control process: store, crew, control, admin REST; tells the supervisor when the node is ready."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import uvicorn
import uvloop

from gateway import __version__
from gateway.admin.access import Access
from gateway.admin.app import Admin
from gateway.admin.callers import Callers
from gateway.admin.changes import Resolver
from gateway.admin.console.app import console_beside
from gateway.admin.examining import key_check
from gateway.admin.guard import Guarding
from gateway.admin.publishing import Publisher
from gateway.admin.runtimes import told as runtimes_told
from gateway.admin.service import Service
from gateway.consumers.expiring import ExpiryWatch
from gateway.core.clock import SystemClock
from gateway.core.egress import Egress
from gateway.core.errors import Problem, StoreUnavailable
from gateway.core.findings import DocumentsRefused
from gateway.core.listening import joined
from gateway.core.secrets import KeyHasher
from gateway.live.dry import dry_build
from gateway.manifest.transfer import gather
from gateway.relay.network import Network
from gateway.relay.outside import Outside
from gateway.runtime.hosts import CheckingHosts
from gateway.runtime.processes import Contracts
from gateway.runtime.registry import Registry
from gateway.runtime.remotes import Remotes, largest_message
from gateway.server import issuing, launch
from gateway.server.audit_log import AuditLog
from gateway.server.configured_tokens import GONE, ConfiguredTokens
from gateway.server.control import Control
from gateway.server.crew import Crew
from gateway.server.environment import names_of, node_environment, reflecting
from gateway.server.kinds import BACKEND_KINDS, node_kinds
from gateway.server.last_known_good import Shelf, write
from gateway.server.logs import configure
from gateway.server.metrics_port import MetricsServer
from gateway.server.node_metrics import NodeMetrics
from gateway.server.otlp import Exporter
from gateway.server.place import PROBE_SOCKET
from gateway.server.probe import door, local, probe
from gateway.snapshot.spec import VersionSpec
from gateway.store.connect import open_cells, open_store, open_stream_copies, open_streams, open_usage
from gateway.store.schema import CURRENT, StoreUnfit
from gateway.store.store import ACTIVE, Store
from gateway.telemetry.counters import by_revision, total
from gateway.telemetry.mirrors import total_mirrors

GRACE: Final = 3  # seconds for admin requests in flight
CREW: Final = 30.0  # seconds to wait for the first worker
WORK: Final = 5.0  # seconds between two looks at the processor time that a start takes
LEAST: Final = 0.03  # of one processor: an idle loop, its beat and its metrics take less
RUNTIMES: Final = 15.0  # seconds that a start waits for runtimes which have not told yet what they host
AGAIN: Final = 0.5  # seconds between looks for a store that is away


class NodeFailed(Exception):
    """This node cannot start; the text says why."""


class ControlProcess:
    """Everything that this process holds."""

    def __init__(self, given: launch.Launch) -> None:
        settings = given.settings
        self.given = given
        self.clock = SystemClock()
        self.hasher = KeyHasher(given.key_secret)
        self._key_check = key_check(self.hasher)
        self.store = open_store(given.store_url)
        self.audit_log: AuditLog | None = None
        if settings.audit_log is not None:
            self.audit_log = AuditLog(settings.audit_log, self.clock, given.node, _tell_audit)
            self.store.on_audit(self.audit_log.write)
        self.streams = open_streams(given.store_url)
        self.cells = open_cells(given.store_url)
        self.copies = open_stream_copies(given.store_url)
        kinds = self.kinds = node_kinds(settings.processes, given.hosted)
        hosts = CheckingHosts(given.hosted)
        environment = node_environment(settings)
        egress = Egress.parse(settings.egress, given.data)
        own = issuing.own_issuer(settings, None, self.clock)
        self.network = Network(egress, clock=self.clock)
        self.outside = Outside(self.network)
        limit = largest_message(settings)
        self.remotes = Remotes(settings.runtimes, settings.runtime_token, limit, self.network.names)
        contracts = self.contracts = Contracts(Registry.load(settings.processes), self.remotes)
        self.crew = Crew(given.control_socket, self._directory, given.run)
        self.control = Control(
            name=given.node,
            store=self.store,
            crew=self.crew,
            shelf=Shelf(given.data),
            clock=self.clock,
            values=environment.values,
            kinds=kinds,
            backend_kinds=BACKEND_KINDS,
            probe=self._probe,
            facts={"url": self.url, "urls": self.urls, "version": __version__, "pid": os.getpid()}
            | {"schema": CURRENT.form}
            | {"environment": names_of(environment)},
            expiry=ExpiryWatch(settings.expiry_warning, self.clock),
        )
        self.callers = Callers(open_usage(given.store_url), self.clock, given.node)
        self.publisher = Publisher(self.store, self.control, self.clock)
        self.metrics = NodeMetrics(settings, self.control, self.crew, self.streams, self.publisher, self.callers)
        self.crew.on_calls = self.metrics.called
        self.traces = Exporter(settings, given.node) if settings.otlp_endpoint is not None else None
        if self.traces is not None:
            self.crew.on_spans = self.traces.put
            self.metrics.more.append(self.traces.samples)
            self.traces.start()
        self.metrics_server = self._metrics_server()
        self.counting: list[asyncio.Task[None]] = []
        self.later: asyncio.Task[None] | None = None
        self.service = Service(
            node=self.control,
            store=self.store,
            streams=self.streams,
            publisher=self.publisher,
            resolver=Resolver(contracts, reflecting(environment), environment.values, kinds, contracts.away),
            processes=contracts,
            kinds=kinds,
            backend_kinds=BACKEND_KINDS,
            hasher=self.hasher,
            clock=self.clock,
            callers=self.callers,
            cells=self.cells,
            copies=self.copies,
            scratch=given.data / "run",
            signing=(settings.signing_algorithm, settings.signing_key_lead) if settings.issuer else None,
            rehearse=lambda snapshot, places: dry_build(
                snapshot, places, kinds, BACKEND_KINDS, environment.secrets, egress, hosts, own
            ),
        )

        self.guarding = Guarding(self.service, self._by_revision)
        alone = 0.0 if settings.store is None else GONE
        self.tokens = ConfiguredTokens(settings, given.node, self.store, self.hasher, self.clock, alone)
        self.control.also = self._told

    def _metrics_server(self) -> MetricsServer | None:
        if self.given.metrics_fd < 0:
            return None
        return MetricsServer(self.given.metrics_fd, self.metrics.snapshots, self.control.expiry.lines)

    def _told(self) -> dict[str, Any]:
        """What the heartbeat tells besides."""
        mirrors = total_mirrors(self.crew.metrics())
        runtimes = runtimes_told(self.contracts)
        more = {"mirrors": mirrors, "runtimes": runtimes, "key_check": self._key_check}
        return {**self.guarding.told(), **self.tokens.told(), **{name: each for name, each in more.items() if each}}

    def _by_revision(self) -> list[dict[str, Any]]:
        return by_revision(total(self.crew.metrics())["endpoints"])

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def urls(self) -> list[str]:
        """Of every listener; a unix socket's is its path."""
        listeners = zip(self.given.settings.listeners, self.given.places, strict=True)
        return [
            place if each.unix is not None else f"{'https' if each.tls is not None else 'http'}://{place}"
            for each, place in listeners
        ]

    @property
    def admin_url(self) -> str:
        """As the command line on this machine reaches it."""
        return f"http://{joined(local(self.given.settings.admin_host), self.given.admin_port)}"

    def reopen(self) -> None:
        """SIGHUP: the audit log's file may have been rotated away."""
        if self.audit_log is not None:
            self.audit_log.reopen()

    @property
    def metrics_url(self) -> str:
        """Empty where metrics have no listener of their own."""
        place = self.given.metrics_place
        return f"http://{place}/metrics" if place else ""

    async def _directory(self) -> Path | None:
        return await self.control.current_directory()

    async def _probe(self, versions: Sequence[VersionSpec]) -> None:
        settings, given = self.given.settings, self.given
        private = given.control_socket.with_name(PROBE_SOCKET)
        asked = door(settings.listeners, given.places, settings.trusted_proxies, private)
        await probe(versions, asked, given.run)

    async def keep_keys(self) -> None:
        settings = self.given.settings
        await issuing.keep_keys(settings, self.store, self.hasher, self.clock, lambda: self.control.directory)

    def write_context(self, token: str | None) -> None:
        """What the command line needs; the token stays when it was made in an earlier run."""
        path = self.given.data / "context.json"
        known: Mapping[str, Any] = orjson.loads(path.read_bytes()) if path.exists() else {}
        context = {"url": self.admin_url, "gateway": self.url, "token": token or known.get("token")}
        write(path, orjson.dumps(context) + b"\n")

    async def apply_folders(self) -> str | None:
        """Publishes the documents given at start. What is wrong with them, or None. StoreUnavailable."""
        settings = self.given.settings
        paths = [path for path in (settings.policies, settings.manifests) if path is not None]
        if not paths or not self.given.first:
            return None
        if settings.apply_at_start == "first" and await self._is_anything_live():
            return None
        await self.remotes.all_known(RUNTIMES)
        try:
            await self.service.apply(await asyncio.to_thread(gather, paths), "serve", force=True)
        except DocumentsRefused as error:
            return str(error)
        except StoreUnavailable:
            raise
        except Problem as error:
            return "\n".join(f"  {each.target}: {each.message}" for each in error.details) or error.detail
        return None

    async def _is_anything_live(self) -> bool:
        """By the store, not by what was kept of it. StoreUnavailable."""
        await self.control.follow()
        return bool(self.control.state.rows(ACTIVE))

    async def settle(self) -> str | None:
        """What a start does in the store: the first token, which is returned when it was made now, and the folders.
        NodeFailed when the documents are refused and nothing else is live."""
        token = await self.tokens.make()
        self.write_context(token)
        wrong = await self.apply_folders()
        if wrong is not None:
            live = [each.name for each in self.control.served.snapshot.versions]
            if not live:
                raise NodeFailed(f"The documents were refused, and nothing else is live:\n{wrong}")
            _tell("refused", text=f"The documents were refused; {', '.join(live)} as before:\n{wrong}")
        return token if self.given.settings.admin_token is None else None

    async def settle_later(self) -> None:
        """The store was away at start: what a start does there is done when it is back."""
        while True:
            await asyncio.sleep(AGAIN)
            try:
                token = await self.settle()
            except StoreUnavailable:
                continue
            except NodeFailed as error:
                _tell("refused", text=str(error))
                return
            if token is not None:
                _tell("token", token=token, text=f"token    {token}   (shown once)")
            return

    async def close(self) -> None:
        if self.later is not None:
            self.later.cancel()
        for task in self.counting:
            task.cancel()
        await self.control.close()
        await self.crew.close()
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)
        with contextlib.suppress(StoreUnavailable):
            await self.callers.flush()
        await self.callers.usage.close()
        await self.outside.close()
        await self.remotes.close()
        await self.network.close()
        await self.streams.close()
        if self.copies is not None:
            await self.copies.close()
        await self.cells.close()
        await self.store.close()
        if self.audit_log is not None:
            self.audit_log.close()


def _tell(event: str, **more: Any) -> None:
    """A line for the supervisor."""
    sys.stdout.buffer.write(orjson.dumps({"event": event, **more}) + b"\n")
    sys.stdout.buffer.flush()


def _tell_audit(line: bytes) -> None:
    _tell("audit", line=line.decode())


async def _tell_work(spent: Callable[[], float] = time.process_time, every: float = WORK) -> None:
    """While this process has much to do, as the first time that it compiles a thousand versions: what waits for another
    takes no processor."""
    last = spent()
    while True:
        await asyncio.sleep(every)
        now = spent()
        if now - last > every * LEAST:
            _tell("working")
        last = now


async def _start(process: ControlProcess) -> None:
    """Returns when the node is ready; NodeFailed says why it cannot be."""
    telling = asyncio.create_task(_tell_work())
    try:
        await _come_up(process)
    finally:
        telling.cancel()


async def _come_up(process: ControlProcess) -> None:
    process.remotes.start()
    await process.crew.start()
    try:
        await process.crew.until(1, CREW)
    except TimeoutError:
        raise NodeFailed(f"No worker came up within {CREW:g} s; the log above says why.") from None
    await _fitting(process.store)
    await process.control.start()
    process.counting = [
        asyncio.create_task(process.callers.flush_forever()),
        asyncio.create_task(process.metrics.watch_topics()),
        asyncio.create_task(process.guarding.watch_forever()),
        asyncio.create_task(process.keep_keys()),
        asyncio.create_task(process.tokens.watch()),
    ]
    token = None
    try:
        token = await process.settle()
    except StoreUnavailable:
        _tell("warning", text="The store is away: the admin REST answers 503 until it is back.")
        chosen = process.given.settings.admin_token
        process.write_context(chosen.reveal() if chosen else None)
        process.later = asyncio.create_task(process.settle_later())
    urls = {"urls": process.urls, "admin": process.admin_url, "metrics": process.metrics_url}
    _tell("ready", url=process.url, **urls, token=token, node=process.given.node)


async def _fitting(store: Store) -> None:
    """NodeFailed for a store that this release cannot use; one that is away may be well."""
    try:
        await store.sequence()
    except StoreUnfit as error:
        raise NodeFailed(error.detail) from None
    except StoreUnavailable:
        return


async def serve(given: launch.Launch) -> None:
    process = ControlProcess(given)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, process.reopen)
    beat = asyncio.create_task(launch.beat(given.beat_fd))
    people = issuing.people(given.settings, process.outside, process.clock)
    ways = issuing.ways(given.settings, people, process.outside, process.clock)
    access = Access(process.store, process.hasher, process.clock, people)
    admin = Admin(process.service, access, process.metrics.snapshots, process.control.expiry.lines)
    config = uvicorn.Config(
        console_beside(admin, given.settings.admin_origins, ways),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
    running = asyncio.create_task(server.serve(sockets=[socket.socket(fileno=given.admin_fd)]))
    if process.metrics_server is not None:
        scraped = asyncio.create_task(process.metrics_server.run_here())
    starting = asyncio.create_task(_start(process))
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            await asyncio.to_thread(process.kinds.load)  # the next documents may use any
            await waiting
    finally:
        starting.cancel()
        server.should_exit = True
        await running
        if process.metrics_server is not None:
            process.metrics_server.should_exit = True
            await scraped
        await process.close()
        beat.cancel()


def main() -> None:
    given = launch.read()
    configure("control", given.settings.log_level, given.settings.log_format)
    launch.end_with_supervisor(given.settings.grace + 5)  # after the workers
    try:
        uvloop.run(serve(given))
    except (NodeFailed, DocumentsRefused, Problem) as error:
        _tell("failed", text=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
