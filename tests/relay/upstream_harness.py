"""Upstreams in time that stands still: a clock, and sleeps that end when it is moved."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from gateway.core.clock import ManualClock
from gateway.core.locations import Location
from gateway.relay.names import FixedResolver, Resolver
from gateway.relay.network import Network
from gateway.relay.rotation import Rotation
from gateway.relay.settings import Balancing, Settings
from gateway.relay.target import Pool


class Time(ManualClock):
    """A clock whose `sleep` ends when `advance` passes it."""

    def __init__(self) -> None:
        super().__init__(1000.0)
        self._sleeping: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeping.append((self.now + seconds, future))
        await future

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        due = [future for at, future in self._sleeping if at <= self.now]
        self._sleeping = [(at, future) for at, future in self._sleeping if at > self.now]
        for future in due:
            if not future.done():
                future.set_result(None)

    async def pass_(self, seconds: float) -> None:
        """Moves on, and lets what wakes up run."""
        self.advance(seconds)
        for _ in range(20):
            await asyncio.sleep(0)


def numbers(*given: float) -> Any:
    """Chance that brings these, again and again."""
    many: Iterator[float] = iter(())

    def chance() -> float:
        nonlocal many
        value = next(many, None)
        if value is None:
            many = iter(given)
            value = next(many)
        return value

    return chance


def network(time: Time, resolver: Resolver | None = None, **more: Any) -> Network:
    return Network(None, resolver or FixedResolver({}), time, time.sleep, **more)


def rotation(
    weights: list[int], balancing: Balancing, time: Time, settings: Settings | None = None, **more: Any
) -> Rotation:
    """Over literal addresses; nothing is connected."""
    targets = [(Location.parse(f"http://127.0.0.{index + 1}:9"), weight) for index, weight in enumerate(weights)]
    return Rotation(targets, settings or Settings(), network(time, **more), balancing)


def index(pool: Pool | None) -> int:
    """Which target it is, from 1; 0: none."""
    return 0 if pool is None else int(str(pool.target).partition(":")[0].rpartition(".")[2])


def end(rotation: Rotation, pool: Pool, failed: bool | None) -> None:
    """One attempt at this target, and what becomes of it."""
    rotation.judge(pool, rotation.enter(pool), failed)


async def until(condition: Callable[[], object]) -> None:
    """Waits until it holds; the bound is reached by a failure only."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def black_hole(*addresses: str) -> AsyncIterator[int]:
    """A port of listening sockets whose backlogs are full: the handshake of a further connection is never answered."""
    with contextlib.ExitStack() as stack:
        port = 0
        for address in addresses or ("127.0.0.1",):
            listening = stack.enter_context(socket.socket())
            listening.bind((address, port))
            listening.listen(0)
            port = listening.getsockname()[1]
            for _ in range(4):
                filling = stack.enter_context(socket.socket())
                filling.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    filling.connect(listening.getsockname())
        await asyncio.sleep(0)
        yield port
