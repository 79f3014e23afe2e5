"""The cache over a real store that dies and comes back."""

from __future__ import annotations

import asyncio
import os
import signal

from gateway.store.connect import open_cells
from gateway.store.embedded import EmbeddedStore
from tests.policy.cache_harness import Cached, how
from tests.policy.policy_harness import Gateway


async def _until(shop: Cached, wanted: str) -> None:
    async with asyncio.timeout(20):
        while not how(await shop.get()).startswith(wanted):  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.02)


async def test_a_store_that_dies_or_freezes_costs_nobody_an_answer(embedded: EmbeddedStore) -> None:
    """CASES A62"""
    gateway = Gateway()
    gateway.cells = cells = open_cells(embedded.url)
    shop = Cached(gateway)
    shop.told.fields["Cache-Control"] = "max-age=3600"
    shop.told.body = b"x" * 200_000
    await _until(shop, "hit")
    assert (await shop.get()).body == shop.told.body
    assert embedded.pid is not None
    os.kill(embedded.pid, signal.SIGSTOP)
    answers = await asyncio.gather(*(shop.get() for _ in range(20)))
    assert {(answer.status, how(answer)) for answer in answers} == {(200, "fwd=bypass; detail=store")}
    os.kill(embedded.pid, signal.SIGCONT)
    await _until(shop, "hit")
    os.kill(embedded.pid, signal.SIGKILL)
    await embedded.ended()
    assert (await shop.get()).status == 200
    await embedded.start()
    await _until(shop, "hit")
    await cells.close()
