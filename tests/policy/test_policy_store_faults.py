"""Keys and limits while the store refuses, closes, stays silent (CASES A62): limits are open or closed as they say,
keys go on from memory, every exchange is answered by its own verdict, and all recovers by itself."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from zlib import crc32

import pytest

from gateway.core.ids import id_source
from gateway.core.live import LiveCell
from gateway.policy import api_key, rate_limit
from gateway.store.redis_counters import RedisCounters
from tests.policy.policy_harness import Gateway, OneChain
from tests.serving import Client, connected, served
from tests.store.scripted import (
    Answering,
    Close,
    Hang,
    ScriptedStore,
    closing,
    numbers,
    refusing,
    scripted,
    silent,
    well,
)

KEY = "pk_right"
FAULTS: dict[str, Answering] = {
    "oom": refusing("OOM command not allowed when used memory > 'maxmemory'."),
    "readonly": refusing("READONLY You can't write against a read only replica."),
    "loading": refusing("LOADING Valkey is loading the dataset in memory"),
    "disk full": refusing("MISCONF Errors writing to the AOF file: No space left on device"),
    "closes": closing(),
    "closes within a verdict": closing(b"*5\r\n:1\r\n:0\r\n"),
    "silent": silent,
    "no verdict": lambda command: b"+what\r\n" if command[0] == b"EVALSHA" else well(command),
}


class Limited:
    """A gateway whose endpoint needs a key and counts by the header X-Who."""

    def __init__(self, gateway: Gateway, store: ScriptedStore, address: tuple[str, int]) -> None:
        self.gateway, self.store, self.address = gateway, store, address

    async def ask(self, client: Client, key: str = KEY, who: str = "one") -> tuple[int, dict[bytes, bytes]]:
        client.send(f"GET / HTTP/1.1\r\nHost: a\r\nX-API-KEY: {key}\r\nX-Who: {who}\r\n\r\n".encode())
        status, fields, _ = await client.answer()
        return status, fields


@contextlib.asynccontextmanager
async def limited(gateway: Gateway, folder: Path, loss: str) -> AsyncIterator[Limited]:
    async with scripted(folder) as store:
        counters = gateway.counters = RedisCounters(store.url, timeout=0.05)
        counters.connection._backoff = 0.005, 0.02
        await counters.connect()
        gateway.add_key(KEY.encode())
        limit = {"limit": "100/1m", "by": {"header": "X-Who"}, "on_store_loss": loss}
        chain = gateway.chain(gateway.build(api_key.KIND), gateway.build(rate_limit.KIND, limit, "burst"))
        try:
            async with served(LiveCell(OneChain(chain), id_source("id"), gateway.clock)) as address:
                yield Limited(gateway, store, address)
        finally:
            await counters.close()


@pytest.mark.parametrize("loss", ["open", "closed"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_limit_that_cannot_be_counted_is_open_or_closed_as_it_says(
    gateway: Gateway, tmp_path: Path, fault: Answering, loss: str
) -> None:
    async with limited(gateway, tmp_path, loss) as site, connected(site.address) as client:
        status, fields = await site.ask(client)
        assert (status, b"ratelimit" in fields) == (200, True)

        site.store.answer = fault
        for _ in range(5):
            status, fields = await site.ask(client)
            assert status == (200 if loss == "open" else 503)
            assert b"ratelimit" not in fields
            assert (b"retry-after" in fields) == (loss == "closed")
            assert (await site.ask(client, "pk_wrong"))[0] == 401, "keys are decided from memory"

        site.store.answer = well
        async with asyncio.timeout(10):
            while b"ratelimit" not in (await site.ask(client))[1]:  # noqa: ASYNC110 - that is how it shows
                await asyncio.sleep(0.005)


async def test_no_exchange_is_left_waiting_or_told_the_verdict_of_another(gateway: Gateway, tmp_path: Path) -> None:
    """CASES A63. Each of 30 clients knows how much is left to itself alone."""
    chance = random.Random(63)

    def left_to(command: list[bytes]) -> bytes:
        return numbers((1, 0, 0, 0, crc32(command[3]) % 90, 60_000_000))

    def moody(command: list[bytes]) -> bytes:
        luck = chance.random()
        if command[0] != b"EVALSHA":
            return well(command)
        if luck < 0.02:
            raise Hang
        if luck < 0.04:
            raise Close(left_to(command)[: chance.randrange(9)])
        return b"-READONLY no\r\n" if luck < 0.05 else left_to(command)

    async def client(number: int) -> list[tuple[int, bytes | None]]:
        async with connected(site.address) as connection:
            found = [await site.ask(connection, who=f"who-{number}") for _ in range(40)]
            return [(status, fields.get(b"ratelimit")) for status, fields in found]

    async with limited(gateway, tmp_path, "open") as site:
        site.store.answer = lambda command: left_to(command) if command[0] == b"EVALSHA" else well(command)
        expected = [{told for _, told in await client(number)} for number in range(30)]
        assert all(len(told) == 1 for told in expected)
        site.store.answer = moody
        told = await asyncio.gather(*(client(number) for number in range(30)))
    for own, found in zip(expected, told, strict=True):
        assert {status for status, _ in found} == {200}
        assert {verdict for _, verdict in found} <= own | {None}
    assert any(verdict is None for found in told for _, verdict in found), "the store did misbehave"
