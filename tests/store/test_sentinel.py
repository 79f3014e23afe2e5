"""A store behind real Sentinels, whose master is lost, frozen or demoted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis

from gateway.core.errors import StoreUnavailable
from gateway.store.address import with_password
from gateway.store.client import Client
from gateway.store.hot import HotConnection, pack
from tests.servers import Watched, until, watched_by_sentinels
from tests.store.unreachable import is_no_store

PASSWORD = "p@ss:word/1"


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with watched_by_sentinels(PASSWORD) as found:
        yield found


@pytest.fixture
def url(watched: Watched) -> str:
    return with_password(watched.url, PASSWORD)


@pytest.fixture
async def hot(url: str) -> AsyncIterator[HotConnection]:
    connection = HotConnection(url)
    assert await connection.connect()
    yield connection
    await connection.close()


@pytest.fixture
async def control(url: str) -> AsyncIterator[Client]:
    client = Client(url)
    yield client
    await client.close()


async def ask(connection: HotConnection, *command: bytes) -> Any:
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    connection.call(pack(*command), found.set_result)
    return await found


async def arrived(watched: Watched, number: int, name: str, write: Callable[[], Awaitable[object]]) -> None:
    """Writes until that server has it; what is refused meanwhile is tried again."""
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(has, watched, number, name):
            with contextlib.suppress(StoreUnavailable):
                await write()


def has(watched: Watched, number: int, name: str) -> bool:
    with watched.client(watched.ports[number]) as client, contextlib.suppress(redis.RedisError):
        return bool(client.exists(name))
    return False


async def test_both_ways_to_the_store_reach_the_master(watched: Watched, hot: HotConnection, control: Client) -> None:
    assert await ask(hot, b"SET", b"by-the-line", b"1") == b"OK"
    await control.execute("SET", "by-the-client", "1")
    assert has(watched, 0, "by-the-line")
    assert has(watched, 0, "by-the-client")


async def test_a_sentinel_that_hangs_keeps_nobody_from_the_master(watched: Watched, url: str) -> None:
    watched.sentinels[0].freeze()
    connection, client = HotConnection(url), Client(url)
    try:
        assert await connection.connect()
        assert await client.execute("PING")
    finally:
        watched.sentinels[0].thaw()
        await connection.close()
        await client.close()


async def test_after_a_planned_failover_both_write_to_the_new_master(
    watched: Watched, hot: HotConnection, control: Client
) -> None:
    old = int(watched.is_master(1))
    await control.execute("PING")
    with redis.Redis(port=watched.watching[1]) as sentinel:
        until(lambda: _failover(sentinel), "the Sentinels agree to a failover")
    await asyncio.to_thread(until, lambda: watched.is_master(1 - old), "the other is the master")
    await arrived(watched, 1 - old, "by-line-later", lambda: ask(hot, b"SET", b"by-line-later", b"1"))
    await arrived(watched, 1 - old, "by-client-later", lambda: control.execute("SET", "by-client-later", "1"))


def _failover(sentinel: redis.Redis) -> bool:
    try:
        return bool(sentinel.execute_command("SENTINEL", "FAILOVER", "shop"))
    except redis.ResponseError:
        return False


async def test_a_master_that_is_lost_is_replaced_on_both_ways() -> None:
    with watched_by_sentinels() as watched:
        connection, client = HotConnection(watched.url), Client(watched.url)
        try:
            assert await connection.connect()
            await client.execute("SET", "before", "1")
            watched.servers[0].kill()
            assert await ask(connection, b"SET", b"meanwhile", b"1") is None
            with pytest.raises(StoreUnavailable):
                await client.execute("SET", "meanwhile", "1")
            await arrived(watched, 1, "by-the-line", lambda: ask(connection, b"SET", b"by-the-line", b"1"))
            await arrived(watched, 1, "by-the-client", lambda: client.execute("SET", "by-the-client", "1"))
            assert has(watched, 1, "before")
        finally:
            await connection.close()
            await client.close()


async def test_where_no_sentinel_answers_there_is_no_store() -> None:
    await is_no_store("redis+sentinel://127.0.0.1:1,127.0.0.1:2/shop")


async def test_a_master_that_no_sentinel_watches_is_no_store(watched: Watched) -> None:
    client = Client(watched.url.replace("/shop/", "/shoe/"))
    with pytest.raises(StoreUnavailable):
        await client.execute("PING")
    await client.close()
