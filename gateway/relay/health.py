"""Active checks: a GET of every target every so often, off the request path, each over a connection of its own."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import replace
from typing import Final

from gateway.core.errors import Problem
from gateway.relay.fetch import Fetching
from gateway.relay.network import Network
from gateway.relay.rotation import Rotation
from gateway.relay.settings import Health
from gateway.relay.target import Pool

log: Final = logging.getLogger("gateway.relay")

LIMIT: Final = 65_536  # bytes of an answer
SPREAD: Final = 0.1  # of the interval, so that workers and nodes do not ask all at once


class Checks:
    """One task of an upstream; ended by `close`."""

    def __init__(self, rotation: Rotation, health: Health, network: Network, tls: ssl.SSLContext | None) -> None:
        self._rotation = rotation
        self._health = health
        self._network = network
        self._tls = tls
        self._changed = asyncio.Event()
        rotation.changed = self._changed.set
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            pools = [pool for pool in self._rotation.pools if pool.address is not None or pool.target.socket]
            await asyncio.gather(*(self._check(pool) for pool in pools))
            await self._pause()

    async def _pause(self) -> None:
        """Until the next round, or until a name has other addresses."""
        chance = self._network.chance()
        wait = self._health.interval * (1 + SPREAD * (2 * chance - 1))
        pausing = [asyncio.ensure_future(self._network.sleep(wait)), asyncio.ensure_future(self._changed.wait())]
        try:
            await asyncio.wait(pausing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in pausing:
                each.cancel()

    async def _check(self, pool: Pool) -> None:
        was = pool.state.healthy
        try:
            reason = await self._ask(pool)
        except Exception as error:  # whatever it is, the other targets must be asked
            log.exception("the check of %s failed", pool)
            reason = repr(error)
        self._rotation.checked(pool, not reason)
        if was and not pool.state.healthy:
            log.warning("the upstream %s is not healthy: %s", pool, reason)
        elif not was and pool.state.healthy:
            log.info("the upstream %s is healthy again", pool)

    async def _ask(self, pool: Pool) -> str:
        """Why it is not well; empty when it is."""
        health = self._health
        settings = replace(
            pool.settings, timeout=health.timeout, connect_timeout=health.timeout, idle_timeout=health.timeout,
            total_timeout=0.0, keep=0.0, max_requests=1, retries=0, retry_on=frozenset(), max_connections=1,
        )  # fmt: skip
        asking = Pool(pool.target, settings, self._network, self._tls, pool.address, quiet=True)
        fetching = Fetching(_One(asking), b"GET", health.path, [], b"", LIMIT)  # type: ignore[arg-type]
        fetching.go()
        try:
            async with asyncio.timeout(health.timeout):
                status = (await fetching.future).status
        except Problem as problem:
            return problem.detail
        except TimeoutError:
            return "it did not answer in time"
        finally:
            fetching.withdraw()
            await asking.close()
        well = status in health.statuses if health.statuses else 200 <= status < 300
        return "" if well else f"it answered {status}"

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


class _One:
    """What a sending needs of a rotation, over one pool: no budget, no other place to go."""

    def __init__(self, pool: Pool) -> None:
        self.settings = pool.settings
        self.budget = self
        self._pool = pool
        self.monotonic = pool.clock.monotonic

    def take(self) -> Pool:
        return self._pool

    def earn(self) -> None:
        """A check pays nothing in."""

    def missed(self, pool: Pool) -> None:
        """The check itself decides."""

    def another(self, _tried: tuple[Pool, ...], beside: bool) -> None:
        return None
