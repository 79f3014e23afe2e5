"""Runtimes in this process's loop, on unix sockets or ports, and gateways' sides of them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.core.call import Call, Context
from gateway.core.runtimes import RuntimeTarget
from gateway.core.secrets import Secret
from gateway.relay.names import FixedResolver, Names, Resolved
from gateway.runtime.embedded import EmbeddedRuntime
from gateway.runtime.fitting import Signed
from gateway.runtime.registry import Registry
from gateway.runtime.remote_server import RuntimeServer
from gateway.runtime.remotes import Remotes, Running
from tests.runtime import far_processes as far

LIMIT = 1_000_000
FUNCTIONS = (far.weigh, far.who_calls, far.wait, far.wait_writing, far.plain, far.fail, far.odd, far.echo)
WAIT = 10.0  # seconds that only a failing test reaches


async def within(awaited: Any) -> Any:
    async with asyncio.timeout(WAIT):
        return await awaited


async def until(remotes: Remotes, condition: Callable[[], Any]) -> None:
    """What is connected changes until that holds."""
    async with asyncio.timeout(WAIT):
        while not condition():
            await remotes.news(WAIT)


class Runtime:
    """One process of a runtime, without the process."""

    def __init__(self, *functions: Any, token: str | None = "t" * 16, limit: int = LIMIT, digest: str = "") -> None:
        registry = Registry.of(*(functions or FUNCTIONS))
        if digest:
            registry = Registry({each.name: _with(each, digest) for each in registry})
        self.embedded = EmbeddedRuntime(registry, place="runtime")
        self.server = RuntimeServer(self.embedded, "test", token and Secret(token), limit)
        self.listening: asyncio.Server | None = None
        self.port = 0

    async def on(self, path: Path) -> Runtime:
        self.listening = await asyncio.get_running_loop().create_unix_server(self.server.connection, path)
        return self

    async def at(self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> Runtime:
        self.listening = await asyncio.get_running_loop().create_server(self.server.connection, host, port, ssl=tls)
        self.port = self.listening.sockets[0].getsockname()[1]
        return self

    async def end(self) -> None:
        """As a process that dies: no word to anybody."""
        assert self.listening is not None
        self.listening.close()
        for each in tuple(self.server.connections):
            if each._transport is not None:
                each._transport.abort()
        self.embedded.close()


def _with(process: Any, digest: str) -> Any:
    from dataclasses import replace

    return replace(process, digest=digest)


def signed(function: Any, digest: str | None = None) -> Signed:
    """What a revision remembers of a process."""
    registry = Registry.of(function)
    (process,) = registry
    return Signed(process.operation, process.types, process.digest if digest is None else digest)


def gateway(
    *targets: Any, token: str | None = "t" * 16, addresses: tuple[str, ...] = (), limit: int = LIMIT
) -> Remotes:
    """A worker's side; `targets` are paths, ports, or whole ones."""
    made = [_target(each, index) for index, each in enumerate(targets)]
    names = Names(FixedResolver({"far.test": Resolved(addresses)}))
    remotes = Remotes(made, token and Secret(token), limit, names)
    remotes.start()
    return remotes


def _target(given: Any, index: int) -> RuntimeTarget:
    if isinstance(given, RuntimeTarget):
        return given
    place: dict[str, Any] = {"unix": given} if isinstance(given, Path) else {"address": f"127.0.0.1:{given}"}
    return RuntimeTarget(name=f"far{index}", **place)


async def connected(*targets: Any, **options: Any) -> Remotes:
    remotes = gateway(*targets, **options)
    await until(remotes, lambda: all(each.links for each in remotes))
    return remotes


def runner(remotes: Remotes, function: Any, digest: str | None = None, here: Any = None) -> Running:
    published = signed(function, digest)
    return remotes.runner(published.operation.name, published, here)


async def call(running: Any, context: Context | None = None, **given: Any) -> Any:
    return await within(running(Call("operation", given, context or Context("call-1"))))
