"""The worker's wall clock jumps by an hour (CASES A64): what has a date follows it, what takes time does not notice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import orjson
import pytest

from gateway.core.ids import id_source
from gateway.core.live import LiveCell
from gateway.policy import api_key, rate_limit
from gateway.store.redis_counters import RedisCounters
from gateway.telemetry.observer import Observer
from tests.policy.policy_harness import Gateway, OneChain
from tests.serving import Client, connected, served

HOUR: Final = 3600.0
JUMPS: Final = pytest.mark.parametrize("jump", [-HOUR, HOUR], ids=["back", "ahead"])


class TwoClocks:
    """Wall time, which somebody may set, and the time that passes."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.passed = 50.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.passed

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.passed += seconds


class Site:
    """A gateway with keys, a limit of 3 an hour and an access log."""

    def __init__(self, gateway: Gateway, clock: TwoClocks, address: tuple[str, int], log: Path) -> None:
        self.gateway, self.clock, self.address, self._log = gateway, clock, address, log

    async def ask(self, client: Client, key: str = "pk_always") -> tuple[int, dict[bytes, bytes]]:
        client.send(f"GET / HTTP/1.1\r\nHost: a\r\nX-API-KEY: {key}\r\n\r\n".encode())
        status, fields, _ = await client.answer()
        return status, fields

    async def second(self) -> None:
        """A second passes, and the sweep has seen it."""
        self.clock.advance(1.1)
        await asyncio.sleep(0.25)

    def logged(self) -> list[dict[str, object]]:
        return [orjson.loads(line) for line in self._log.read_bytes().splitlines()]


@contextlib.asynccontextmanager
async def site(gateway: Gateway, url: str, prefix: str, folder: Path) -> AsyncIterator[Site]:
    clock = TwoClocks()
    gateway.clock = clock  # type: ignore[assignment]
    counters = gateway.counters = RedisCounters(url, prefix, timeout=20.0)
    assert await counters.connect()
    now = clock.time()
    gateway.directory.current.as_of = now
    gateway.add_key(b"pk_always", "k1")
    gateway.add_key(b"pk_ends", "k2", ends=now + HOUR / 2)
    gateway.add_key(b"pk_starts", "k3", starts=now + HOUR / 2)
    gateway.add_key(b"pk_ended", "k4", ends=now - HOUR / 2)
    limit = gateway.build(rate_limit.KIND, {"limit": "3/1h", "by": "key"})
    chain = gateway.chain(gateway.build(api_key.KIND), limit)
    observer = Observer(folder / "access.log", clock)
    live = LiveCell(OneChain(chain), id_source("id"), clock, observe=observer.observe)
    try:
        async with served(live) as address:
            yield Site(gateway, clock, address, folder / "access.log")
    finally:
        observer.close()
        await counters.close()


@pytest.fixture
async def gate(valkey: str, prefix: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with site(Gateway(), valkey, prefix, tmp_path) as found:
        yield found


async def test_keys_with_a_start_and_an_end_follow_the_clock(gate: Site) -> None:
    async def opened() -> list[int]:
        async with connected(gate.address) as client:
            return [(await gate.ask(client, key))[0] for key in ("pk_ends", "pk_starts", "pk_ended")]

    assert await opened() == [200, 401, 401]
    gate.clock.wall += HOUR
    assert await opened() == [401, 200, 401]
    gate.clock.wall -= 2 * HOUR
    assert await opened() == [200, 401, 200]


@JUMPS
async def test_limits_are_counted_by_the_stores_clock_alone(gate: Site, jump: float) -> None:
    async with connected(gate.address) as client:
        assert [(await gate.ask(client))[0] for _ in range(2)] == [200, 200]
        gate.clock.wall += jump
        assert [(await gate.ask(client))[0] for _ in range(2)] == [200, 429]


@JUMPS
async def test_the_date_of_replies_follows_within_a_second(gate: Site, jump: float) -> None:
    async with connected(gate.address) as client:
        before = parsedate_to_datetime((await gate.ask(client))[1][b"date"].decode())
        gate.clock.wall += jump
        await gate.second()
        after = parsedate_to_datetime((await gate.ask(client))[1][b"date"].decode())
    assert (after - before).total_seconds() == jump + 1


@JUMPS
async def test_the_access_log_has_the_new_time_and_a_true_duration(gate: Site, jump: float, tmp_path: Path) -> None:
    async with connected(gate.address) as client:
        gate.clock.wall += jump
        await gate.ask(client)
    async with asyncio.timeout(10):
        while not gate.logged():  # noqa: ASYNC110 - lines are written by the batch
            await asyncio.sleep(0.01)
    (line,) = gate.logged()
    assert datetime.fromisoformat(str(line["time"])) == datetime.fromtimestamp(gate.clock.wall, UTC)
    assert line["ms"] == 0.0


@JUMPS
async def test_no_connection_ends_and_no_request_is_late_because_somebody_set_the_clock(
    gate: Site, jump: float
) -> None:
    async with connected(gate.address) as idle, connected(gate.address) as sending:
        await gate.ask(idle)
        sending.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        await gate.second()
        gate.clock.wall += jump
        await gate.second()
        assert (await gate.ask(idle))[0] == 200
        sending.send(b"X-API-KEY: pk_always\r\n\r\n")
        assert (await sending.answer())[0] == 200


@JUMPS
async def test_what_is_known_of_keys_is_no_older_for_a_jump_that_is_shorter_than_it_may_be_old(
    gate: Site, jump: float
) -> None:
    """The store has been heard just now; a day is allowed without it."""
    gate.clock.wall += jump
    async with connected(gate.address) as client:
        assert (await gate.ask(client))[0] == 200
