"""The supervisor: owns the sockets and the children of a node (DESIGN, section 8).

It starts the embedded store if there is one, the control process and the workers; it replaces what died or hangs, and
on SIGTERM lets the workers drain before it ends the rest, in that order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.core.settings import Settings
from gateway.server.key_secret import key_secret
from gateway.server.launch import Launch
from gateway.server.place import private_folder, socket_path
from gateway.store.embedded import EmbeddedStore

log: Final = logging.getLogger("gateway.supervisor")
SILENCE: Final = 5.0  # seconds without a sign of life after which a worker counts as stuck
LOOK: Final = 0.5
BACKOFF: Final = 0.2
STARTUP: Final = 60.0

Announce = Callable[[dict[str, Any]], None]


class NotStarted(Exception):
    """The node could not start; the text says why and what to do."""


@dataclass(eq=False)
class Child:
    """One child process. `heard` is when a worker last told that its loop turns."""

    name: str
    module: str
    process: asyncio.subprocess.Process
    pipe: int = -1
    heard: float = 0.0
    watching: asyncio.Task[None] | None = None
    telling: asyncio.Task[None] | None = None


@dataclass
class Supervisor:
    """`announce` hears of each event of the control process: `{"event": "ready", …}`."""

    settings: Settings
    announce: Announce
    children: dict[str, Child] = field(default_factory=dict)
    stopping: bool = False

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. NotStarted when the node cannot come up."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        self._ready = asyncio.Event()
        store: EmbeddedStore | None = None
        try:
            data = private_folder(self.settings.data)
            self._bind()
            url = self.settings.store
            if url is None:
                store = EmbeddedStore(data)
                url = await store.start()
            self._launch = self._make_launch(data, url)
            await self._start(stop)
            watch = asyncio.create_task(self._watch(store))
            await stop.wait()
            watch.cancel()
        finally:
            await self._stop()
            if store is not None:
                await store.stop()

    def _bind(self) -> None:
        self._gateway = _listen(self.settings.host, self.settings.port, "--port")
        self._admin = _listen(self.settings.admin_host, self.settings.admin_port, "--admin-port")

    def _make_launch(self, data: Path, url: str) -> Launch:
        port = self._gateway.getsockname()[1]
        return Launch(
            settings=self.settings,
            store_url=url,
            data=data,
            control_socket=socket_path(data),
            node=self.settings.node or f"{socket.gethostname()}:{port}",
            gateway_port=port,
            admin_port=self._admin.getsockname()[1],
            key_secret=key_secret(self.settings, data),
        )

    async def _start(self, stop: asyncio.Event) -> None:
        await self._spawn("control", "gateway.server.control_process", 0)
        for index in range(self.settings.workers):
            await self._spawn(f"worker-{index}", "gateway.server.worker", index)
        waiting = [asyncio.create_task(each.wait()) for each in (self._ready, stop)]
        done, _ = await asyncio.wait(waiting, timeout=STARTUP, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        if not done:
            raise NotStarted(f"The gateway was not ready within {STARTUP:g} s; its log above says why.")

    # children

    async def _spawn(self, name: str, module: str, index: int) -> None:
        control = name == "control"
        socket_ = self._admin if control else self._gateway
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        fds = (socket_.fileno(), writing)
        launch = self._launch.model_copy(
            update={"admin_fd" if control else "gateway_fd": fds[0], "beat_fd": writing, "index": index}
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if control else None,
            pass_fds=fds,
            start_new_session=True,  # a Ctrl-C of the terminal goes to the supervisor alone
        )
        os.close(writing)
        assert process.stdin is not None
        process.stdin.write(launch.dump())
        loop = asyncio.get_running_loop()
        child = Child(name, module, process, reading, loop.time() + STARTUP)
        loop.add_reader(reading, self._heard, child)
        self.children[name] = child
        child.watching = asyncio.create_task(self._wait(child, index))
        if control:
            child.telling = asyncio.create_task(self._events(child))

    def _heard(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(BlockingIOError):
            if os.read(child.pipe, 4096):
                child.heard = max(loop.time(), child.heard if child.heard < loop.time() + 1 else 0)
            else:
                loop.remove_reader(child.pipe)

    async def _wait(self, child: Child, index: int) -> None:
        """Replaces a child that ends while it should run."""
        code = await child.process.wait()
        loop = asyncio.get_running_loop()
        loop.remove_reader(child.pipe)
        os.close(child.pipe)
        if self.stopping or self.children.get(child.name) is not child:
            return
        log.warning("%s (pid %s) ended with %s; starting another", child.name, child.process.pid, code)
        await asyncio.sleep(BACKOFF)
        if not self.stopping:
            await self._spawn(child.name, child.module, index)

    async def _events(self, child: Child) -> None:
        assert child.process.stdout is not None
        while line := await child.process.stdout.readline():
            event = orjson.loads(line)
            if event.get("event") == "ready":
                self._ready.set()
            self.announce(event)

    async def _watch(self, store: EmbeddedStore | None) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK)
            for child in list(self.children.values()):
                if loop.time() - child.heard > SILENCE:
                    log.warning("%s (pid %s) hangs; it is replaced", child.name, child.process.pid)
                    child.heard = loop.time() + STARTUP
                    _signal(child, signal.SIGKILL)
            if store is not None and store.pid is None:
                log.warning("the embedded store ended; starting it again")
                await store.start()

    async def _stop(self) -> None:
        """Workers drain first, then the control process ends."""
        self.stopping = True
        workers = [child for child in self.children.values() if child.name != "control"]
        await _end(workers, self.settings.grace + 1)
        await _end([child for child in self.children.values() if child.name == "control"], 5.0)
        for listening in (getattr(self, "_gateway", None), getattr(self, "_admin", None)):
            if listening is not None:
                listening.close()


def _listen(host: str, port: int, flag: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise NotStarted(f"Cannot listen on {host}:{port}: {error.strerror}. Choose another with {flag}.") from error
    listening.listen(2048)
    listening.setblocking(False)
    return listening


def _signal(child: Child, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.process.send_signal(number)


async def _end(children: list[Child], seconds: float) -> None:
    for child in children:
        if child.process.returncode is None:
            _signal(child, signal.SIGTERM)
    waiting = [child.watching for child in children if child.watching is not None]
    if not waiting:
        return
    _, late = await asyncio.wait(waiting, timeout=seconds)
    if late:
        for child in children:
            _signal(child, signal.SIGKILL)
        await asyncio.wait(late)
