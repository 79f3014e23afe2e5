"""One suite for every implementation of leases, and what those in the store survive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis

from gateway.store.connect import OwnedCounters, connect_counters
from gateway.store.leases import Lease
from gateway.store.redis_counters import RedisCounters
from gateway.store.redis_leases import RedisLeases


@pytest.fixture(params=["memory", "valkey", "cluster"])
async def counters(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[OwnedCounters]:
    url = "memory://" if request.param == "memory" else str(request.getfixturevalue(request.param))
    found = await connect_counters(url, prefix)
    yield found
    await found.close()


async def take(lease: Lease, subject: str = "a") -> bool | None:
    found: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
    lease.take(subject, found.set_result)
    return await found


async def test_so_many_are_granted_at_once_and_no_more(counters: OwnedCounters) -> None:
    lease = counters.leases.lease("l", 3)
    granted = await asyncio.gather(*(take(lease) for _ in range(10)))
    assert granted.count(True) == 3
    assert granted.count(False) == 7


async def test_what_is_given_back_is_granted_again(counters: OwnedCounters) -> None:
    lease = counters.leases.lease("l", 1)
    await take(lease)
    lease.give("a")  # loads the script, if the server does not know it
    async with asyncio.timeout(10):
        while not await take(lease):
            pass
    lease.give("a")
    for _ in range(5):
        assert await take(lease) is True
        assert await take(lease) is False
        lease.give("a")


async def test_subjects_and_limits_are_apart(counters: OwnedCounters) -> None:
    one, other = counters.leases.lease("l", 1), counters.leases.lease("m", 1)
    assert [await take(one, "a"), await take(one, "b"), await take(other, "a")] == [True, True, True]


async def test_a_changed_limit_goes_on_with_what_is_held(counters: OwnedCounters) -> None:
    await take(counters.leases.lease("l", 5))
    assert await take(counters.leases.lease("l", 1)) is False
    assert await take(counters.leases.lease("l", 2)) is True


async def test_of_this_worker_alone_no_store_is_asked(counters: OwnedCounters) -> None:
    lease = counters.leases.own("l", 1)
    found: list[bool | None] = []
    lease.take("a", found.append)
    lease.take("a", found.append)
    lease.give("a")
    lease.take("a", found.append)
    assert found == [True, False, True]


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
async def test_workers_share_the_slots(kind: str, request: pytest.FixtureRequest, prefix: str) -> None:
    workers = [await connect_counters(str(request.getfixturevalue(kind)), prefix) for _ in range(4)]
    leases = [worker.leases.lease("l", 10) for worker in workers]
    granted = await asyncio.gather(*(take(lease) for _ in range(10) for lease in leases))
    assert granted.count(True) == 10
    for worker in workers:
        await worker.close()


class Worker:
    """Leases of one worker, of which slots live for so many seconds."""

    def __init__(self, url: str, prefix: str, life: float) -> None:
        self.counters = RedisCounters(url, prefix)
        self.leases = RedisLeases(self.counters.connection.call, prefix, life)

    async def __aenter__(self) -> RedisLeases:
        assert await self.counters.connect()
        return self.leases

    async def __aexit__(self, *_: object) -> None:
        self.leases.close()
        await self.counters.close()


async def test_the_slots_of_a_worker_that_died_come_back(valkey: str, prefix: str) -> None:
    async with Worker(valkey, prefix, 0.2) as dead, Worker(valkey, prefix, 0.2) as other:
        assert await take(dead.lease("l", 1)) is True
        dead.close()  # renews no more
        assert await take(other.lease("l", 1)) is False
        async with asyncio.timeout(10):
            while not await take(other.lease("l", 1)):
                pass


async def test_what_is_held_is_renewed_by_one_command_for_a_subject(valkey: str, prefix: str) -> None:
    async with Worker(valkey, prefix, 60.0) as leases:
        lease = leases.lease("l", 50)
        for _ in range(20):
            await take(lease)
        with redis.Redis.from_url(valkey) as client:
            key = leases.key("l", "a")
            client.pexpire(key, 30_000)
            send, sent = leases._send, []
            leases._send = lambda *call: (sent.append(call[3]), send(*call))[1]
            leases.renew()
            await take(leases.lease("m", 1))
            assert sent == [key, leases.key("m", "a")]
            assert client.pttl(key) > 50_000


async def test_slots_that_ran_out_while_the_store_was_away_are_held_again(valkey: str, prefix: str) -> None:
    async with Worker(valkey, prefix, 60.0) as leases, Worker(valkey, prefix, 60.0) as other:
        await take(leases.lease("l", 2))
        await take(leases.lease("l", 2))
        with redis.Redis.from_url(valkey) as client:
            client.delete(leases.key("l", "a"))
        leases.renew()
        await take(leases.lease("m", 1))
        assert await take(other.lease("l", 2)) is False


async def test_a_slot_whose_give_back_was_lost_is_free_after_the_next_renewal(valkey: str, prefix: str) -> None:
    async with Worker(valkey, prefix, 60.0) as leases, Worker(valkey, prefix, 60.0) as other:
        lease = leases.lease("l", 1)
        await take(lease)
        send, leases._send = leases._send, lambda _command, answer, _script, _key: answer(None)
        lease.give("a")
        leases._send = send
        assert await take(other.lease("l", 1)) is False
        leases.renew()
        await take(leases.lease("m", 1))
        assert await take(other.lease("l", 1)) is True
        assert leases.key("l", "a") not in leases._held


async def test_no_lease_is_without_a_time_to_live(valkey: str, prefix: str) -> None:
    """CASES A64."""
    async with Worker(valkey, prefix, 60.0) as leases:
        lease = leases.lease("l", 3)
        for number in range(10):
            if await take(lease, f"s{number % 4}") and number % 3:
                lease.give(f"s{number % 4}")
        leases.renew()
        await take(lease, "last")
        with redis.Redis.from_url(valkey) as client:
            lives = [client.pttl(key) for key in client.scan_iter(f"{prefix}:l:*")]
        assert lives
        assert -1 not in lives


async def test_a_store_that_is_away_decides_nothing() -> None:
    counters = RedisCounters("redis://127.0.0.1:1")
    await counters.connect()
    assert await take(counters.leases.lease("l", 1)) is None
    await counters.close()
