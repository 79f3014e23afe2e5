"""Sentinels: who is the master now (Redis Sentinel, client guidelines). Asked for every connection that is made, and
every second besides: a master that a planned failover replaces takes writes for some seconds more, which are lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.store.address import Address, Server

PATIENCE: Final = 0.5  # seconds for each Sentinel: one that is gone with its master must not keep anybody from the next
LOOK: Final = 1.0  # seconds between two questions who the master is


class _Asked(Sentinel):
    """One Sentinel after the other. Times are kept by `asyncio.timeout`, as in `store.client`."""

    async def discover_master(self, service_name: str) -> Server:
        for number, each in enumerate(self.sentinels):
            with contextlib.suppress(RedisError, OSError):
                async with asyncio.timeout(PATIENCE):
                    masters: Any = await each.sentinel_masters()
                state = masters.get(service_name)
                if state and self.check_master_state(state, service_name):
                    self.sentinels.insert(0, self.sentinels.pop(number))
                    return str(state["ip"]), int(state["port"])
        raise MasterNotFoundError(f"No Sentinel that answers knows a master {service_name!r} that is up")


def _asked(address: Address) -> _Asked:
    about = {**address.sentinel, "ssl": address.tls, **address.certificates, "socket_timeout": None, "protocol": 2}
    about["retry"] = Retry(NoBackoff(), 0)  # the next one is asked instead
    return _Asked(address.servers, sentinel_kwargs=about)  # type: ignore[no-untyped-call]


class Sentinels:
    """For a connection that is made by hand."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._asked: _Asked | None = None

    async def master(self) -> Server:
        """Where it is. ConnectionError when no Sentinel knows."""
        if self._asked is None:
            self._asked = _asked(self._address)
        try:
            return await self._asked.discover_master(self._address.master)
        except RedisError as error:
            raise ConnectionError(str(error)) from error

    async def close(self) -> None:
        if self._asked is not None:
            await self._asked.aclose()


def master_client(address: Address, **options: Any) -> Redis:
    """redis-py's client of the master, whoever that is when it connects; `close_client` ends it."""
    given: dict[str, Any] = {**address.options, **options, "ssl": address.tls}
    found: Redis = _asked(address).master_for(address.master, **given)
    return found


class Following:
    """A client's idle connections, closed once the Sentinels name another master than the one that they are to."""

    def __init__(self, client: Any) -> None:
        self._pool: Any = getattr(client, "connection_pool", None)
        self._due = 0.0

    async def look(self) -> None:
        """At most once in a second; Sentinels that do not answer change nothing, and hold a command up for no longer
        than one of them may take."""
        if not isinstance(self._pool, SentinelConnectionPool) or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + LOOK
        with contextlib.suppress(RedisError, OSError):
            async with asyncio.timeout(PATIENCE):
                await self._pool.get_master_address()  # type: ignore[no-untyped-call]
        self._due = time.monotonic() + LOOK


async def close_client(client: Any) -> None:
    """A client of redis-py's with what it asks Sentinels by, if it does."""
    await client.aclose()
    asked = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    if asked is not None:
        await asked.aclose()
