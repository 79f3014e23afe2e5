"""The supervisor: owns the sockets and the children of a node (DESIGN, section 8).

It starts the embedded store if there is one, the control process and the workers; it replaces what died or hangs. On
SIGTERM or SIGINT the workers drain first, then the rest ends; a second signal ends everything at once. Should the
supervisor itself be killed, its children end by themselves (`launch.end_with_supervisor`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from gateway.core.listening import UNIX, Listener, joined
from gateway.core.otel_variables import unused
from gateway.core.secrets import revealed
from gateway.core.settings import Settings
from gateway.server.child import SILENCE, STARTUP, Child
from gateway.server.key_secret import key_secret
from gateway.server.launch import Launch
from gateway.server.logs import configure
from gateway.server.open_files import raise_open_files
from gateway.server.opening import CannotListen, Opened, open_listener
from gateway.server.orphans import Orphans, is_first
from gateway.server.place import PROBE_SOCKET, PlaceUnusable, hold, private_folder, socket_path
from gateway.server.policy_hosts import HostsFailed, PolicyHosts
from gateway.server.probe import askable
from gateway.server.tls_files import CertificateUnusable
from gateway.server.tls_keeper import Keeper, refresh
from gateway.store.address import with_password
from gateway.store.embedded import EmbeddedStore, EmbeddedStoreError
from gateway.telemetry.line_file import STDOUT, open_lines, write_lines

log: Final = logging.getLogger("gateway.supervisor")
LOOK: Final = 0.5  # seconds between looks at the children
STARTUPS: Final = 10  # how often STARTUP may pass while the control process works
CONTROL_END: Final = 5.0
AGAIN: Final = 1.0  # seconds between two starts of a store that does not start
HINT: Final = "Choose another place in listen."
METRICS_HINT: Final = "Choose another with metrics_port."
ADMIN_HINT: Final = "Choose another with --admin-port."

Announce = Callable[[dict[str, Any]], None]


class NotStarted(Exception):
    """The node could not start; the text says why and what to do."""


class Supervisor:
    """`announce` hears of the node's events: `{"event": "ready", …}` once, then what else has to be told, as `text`."""

    def __init__(self, settings: Settings, announce: Announce) -> None:
        self.settings = settings
        self.announce = announce
        self._children: dict[Child, asyncio.Task[None]] = {}
        self._opened: list[Opened] = []
        self._keepers: list[Keeper | None] = []
        self._admin: Opened | None = None
        self._metrics: Opened | None = None
        self._probe: Opened | None = None
        self._store: EmbeddedStore | None = None
        self._output = -1  # standard output, for the audit
        self._is_ready = False
        self._is_working = False  # the control process has told so

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. NotStarted when the node cannot come up."""
        configure("supervisor", self.settings.log_level, self.settings.log_format)
        if self.settings.otlp_endpoint is not None and (others := unused(os.environ)):
            log.info("these variables of OpenTelemetry say nothing here: %s", ", ".join(others))
        self._stop, self._force = asyncio.Event(), asyncio.Event()
        self._outcome: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._refresh)
        watching: list[asyncio.Task[None]] = []
        lock = -1
        try:
            data = private_folder(self.settings.data)
            lock = hold(data)
            launch = await self._prepare(data)
            watching = [asyncio.create_task(self._watch()), asyncio.create_task(self._keep_store())]
            await self._start(launch)
            await self._stop.wait()
        except (PlaceUnusable, CannotListen, CertificateUnusable, HostsFailed) as error:
            raise NotStarted(str(error)) from None
        finally:
            await _cancel(watching)
            await self._end()
            if lock >= 0:
                os.close(lock)

    def _signalled(self) -> None:
        if self._stop.is_set():
            log.warning("told to end again: what is in flight is given up")
            self._force.set()
        self._stop.set()

    async def _prepare(self, data: Path) -> Launch:
        """Sockets and store; what every child is given."""
        settings = self.settings
        self._keepers = [Keeper.open(each) if each.tls is not None else None for each in settings.listeners]
        raise_open_files()
        for index, each in enumerate(settings.listeners):
            hint = "Choose another with --port." if not index and each not in settings.listen else HINT
            self._opened.append(open_listener(each, settings.workers, hint))
        self._admin = open_listener(Listener(address=joined(settings.admin_host, settings.admin_port)), 1, ADMIN_HINT)
        if settings.metrics_port is not None:
            place = joined(settings.metrics_host, settings.metrics_port)
            self._metrics = open_listener(Listener(address=place), 1, METRICS_HINT)
        if not any(askable(each, settings.trusted_proxies) for each in settings.listeners):
            private = Listener(unix=socket_path(data).with_name(PROBE_SOCKET), mode="0600")
            self._probe = open_listener(private, 1)
        secret = key_secret(settings, data)
        url = settings.store
        if url is None:
            self._store = EmbeddedStore(data)
            url = await self._store.start()
        else:
            url = with_password(url, revealed(settings.store_password), revealed(settings.sentinel_password))
        places = tuple(each.place for each in self._opened)
        return Launch(
            settings=settings,
            run=secrets.token_hex(8),
            store_url=url,
            data=data,
            control_socket=socket_path(data),
            node=settings.node or f"{socket.gethostname()}:{_distinct(places[0])}",
            places=places,
            admin_port=self._admin.sockets[0].getsockname()[1],
            metrics_place=self._metrics.place if self._metrics is not None else "",
            key_secret=secret,
        )

    async def _start(self, launch: Launch) -> None:
        """Until the control process says that the node is ready, or why it cannot be."""
        if self.settings.policies_code:
            from gateway.server.kinds import POLICY_KINDS  # with all behind them, which this process has no use for

            hosts = PolicyHosts(self.settings, launch.control_socket.parent, POLICY_KINDS)
            launch = launch.model_copy(update={"hosted": await hosts.start(self._keep, STARTUP)})
        self._keep(Child("control", "gateway.server.control_process", partial(self._control, launch), self._told))
        for index in range(self.settings.workers):
            self._keep(Child(f"worker {index}", "gateway.server.worker", partial(self._worker, launch, index)))
        stop = asyncio.create_task(self._stop.wait())
        waiting: list[asyncio.Future[Any]] = [self._outcome, stop]
        ready = await self._until_done(waiting)
        stop.cancel()
        if not ready:
            raise NotStarted(f"The gateway was not ready within {STARTUP:g} s; its log above says why.")
        if self._outcome.done() and (failed := self._outcome.result()) is not None:
            raise NotStarted(failed)

    async def _until_done(self, waiting: Sequence[asyncio.Future[Any]]) -> bool:
        """False when that takes too long: much to compile on a busy machine does not, as long as it goes on."""
        for _ in range(STARTUPS):
            self._is_working = False
            done, _ = await asyncio.wait(waiting, timeout=STARTUP, return_when=asyncio.FIRST_COMPLETED)
            if done or not self._is_working:
                return bool(done)
        return False

    def _control(self, launch: Launch) -> Launch:
        """A control process that replaces another must not apply the folders again: the admin REST may have changed
        what they said."""
        assert self._admin is not None
        metrics = self._metrics.descriptors(0)[0] if self._metrics is not None else -1
        given = {"admin_fd": self._admin.descriptors(0)[0], "metrics_fd": metrics, "first": not self._is_ready}
        return launch.model_copy(update=given)

    def _worker(self, launch: Launch, index: int) -> Launch:
        """Certificates go along, so that a worker starts while their files are broken."""
        refresh(self._keepers)
        return launch.model_copy(
            update={
                "gateway_fds": tuple(each.descriptors(index) for each in self._opened),
                "probe_fd": self._probe.descriptors(index)[0] if self._probe is not None else -1,
                "tls": tuple(keeper and keeper.material for keeper in self._keepers),
                "index": index,
            }
        )

    def _refresh(self) -> None:
        """SIGHUP: files are looked at now, here and in the workers."""
        refresh(self._keepers, anyway=True)
        for child in self._children:
            if child.is_up and (child.name == "control" or child in self._workers()):  # before that, it would end it
                child.signal(signal.SIGHUP)

    def _workers(self) -> list[Child]:
        return [child for child in self._children if child.name.startswith("worker")]

    def _keep(self, child: Child) -> None:
        self._children[child] = asyncio.create_task(child.keep())

    def _told(self, event: Mapping[str, Any]) -> None:
        what = event.get("event")
        if what == "failed":
            if self._outcome.done():
                log.error("the control process cannot start: %s", event["text"])
            else:
                self._outcome.set_result(str(event["text"]))
                for child in self._children:
                    child.stop()
        elif what == "audit":
            self._audit(str(event["line"]).encode())
        elif what == "working":
            self._is_working = True
        elif what != "ready":
            self.announce(dict(event))
        elif not self._is_ready:
            self._is_ready = True
            if not self._outcome.done():
                self._outcome.set_result(None)
            self.announce(dict(event))

    def _audit(self, line: bytes) -> None:
        """On standard output, which is this process's."""
        if self._output < 0:
            self._output = open_lines(STDOUT)
        if write_lines(self._output, [line]):
            log.error("nobody reads standard output: a line of the audit is in the store alone")

    # what dies or hangs

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        looked = loop.time()
        orphans = Orphans() if is_first() else None
        while True:
            await asyncio.sleep(LOOK)
            now = loop.time()
            for child in self._children:
                if now - looked > LOOK + SILENCE / 2:
                    child.pardon(now)
                child.replace_if_stuck(now)
            refresh(self._keepers)
            if orphans is not None:
                orphans.look()
            looked = now

    async def _keep_store(self) -> None:
        while self._store is not None:
            try:
                code = await self._store.ended()
                log.warning("the embedded store ended with %s; starting it again", code)
                await self._store.start()
            except EmbeddedStoreError as error:
                log.error("%s Trying again.", error)
                await asyncio.sleep(AGAIN)
                with contextlib.suppress(EmbeddedStoreError):
                    await self._store.start()

    # the end

    async def _end(self) -> None:
        """Workers drain first, then the control process ends, then the store. The gateway's sockets are the workers'
        alone now: when they have stopped to accept, connections are refused and none waits in vain."""
        for opened in self._opened:
            opened.close()
        workers = self._workers()
        await self._end_children(workers, self.settings.grace + 0.5)
        await self._end_children([child for child in self._children if child not in workers], CONTROL_END)
        for each in (self._admin, self._probe, self._metrics):
            if each is not None:
                each.close()
        if self._store is not None:
            await self._store.stop()

    async def _end_children(self, children: Sequence[Child], seconds: float) -> None:
        if not children:
            return
        for child in children:
            child.stop()
        ending = asyncio.gather(*(self._children[child] for child in children), return_exceptions=True)
        force = asyncio.create_task(self._force.wait())
        waiting: list[asyncio.Future[Any]] = [ending, force]
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        force.cancel()
        for child in children:
            child.kill()
        await ending


def _distinct(place: str) -> str:
    """What tells a node from others on its machine: its first port, or its socket."""
    return place if place.startswith(UNIX) else place.rpartition(":")[2]


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
