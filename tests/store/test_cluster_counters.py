"""Counters on a cluster whose slots move and whose primaries die."""

from __future__ import annotations

import asyncio
import os
import signal

import redis

from gateway.store.cluster_counters import ClusterCounters
from gateway.store.counters import Rule, Verdict
from tests.servers import running_cluster
from tests.store.counting import one, take_all

RULES = (Rule("gcra", 100, 3600.0),)


async def take(counters: ClusterCounters, key: str) -> Verdict | None:
    return await take_all(counters, key, one(RULES))


async def test_subjects_spread_over_the_primaries(cluster: str, prefix: str) -> None:
    counters = ClusterCounters(cluster, prefix)
    assert await counters.connect()
    for number in range(60):
        await take(counters, f"s{number}")
    ports = [address[1] for address in counters._nodes]
    held = []
    for port in ports:
        with redis.Redis(port=port) as client:
            held.append(sum(1 for _ in client.scan_iter(f"{prefix}:c:*")))
    assert sum(held) == 60
    assert min(held) > 0
    await counters.close()


async def test_a_wrong_map_costs_a_redirection_and_no_decision(cluster: str, prefix: str) -> None:
    counters = ClusterCounters(cluster, prefix)
    assert await counters.connect()
    counters._slots = counters._slots[6000:] + counters._slots[:6000]
    verdicts = await asyncio.gather(*(take(counters, "a") for _ in range(150)))
    assert sum(verdict is not None and verdict.allowed for verdict in verdicts) == 100
    assert None not in verdicts
    await counters.close()


async def test_a_dead_primary_costs_its_own_subjects_only() -> None:
    with running_cluster() as url:
        counters = ClusterCounters(url)
        assert await counters.connect()
        address, node = next(iter(counters._nodes.items()))
        with redis.Redis(port=address[1]) as client:
            pid = client.info()["process_id"]
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            while node.up:  # noqa: ASYNC110 - its state is what is tested
                await asyncio.sleep(0.005)
        verdicts = await asyncio.gather(*(take(counters, f"s{number}") for number in range(60)))
        assert 0 < verdicts.count(None) < 60
        await counters.close()


async def test_a_cluster_that_is_not_there_decides_nothing() -> None:
    counters = ClusterCounters("redis+cluster://127.0.0.1:1")
    assert not await counters.connect()
    assert await take(counters, "a") is None
    await counters.close()
