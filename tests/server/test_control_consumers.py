"""Consumers change one at a time: each change costs that change, whatever the directory holds (counted work)."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.consumers.applications import change_application
from gateway.consumers.directory import TABLES
from gateway.consumers.issuing import Issuing, create_credential, revoke_credential
from gateway.consumers.keys import create_key, revoke_key, rotate_key
from gateway.consumers.records import key_id
from gateway.consumers.subscriptions import subscribe
from gateway.core.secrets import KeyHasher, Secret
from gateway.store.store import APPLICATIONS, KEYS, SUBSCRIPTIONS, Write
from tests.server.test_control import Bench, bench

__all__ = ["bench"]  # the fixture

HASHER = KeyHasher(Secret("the cluster's secret"))
ROUNDS = 25


def key(number: int) -> Write:
    digest = HASHER.digest(f"pk_{number}".encode())
    about = {"application": "partner", "api": "shop", "plan": None, "starts": None, "ends": None, "revoked": None}
    return Write(KEYS, key_id(digest), {"digest": digest.hex(), **about})


async def filled(bench: Bench, keys: int) -> None:
    await bench.store.commit(
        [
            Write(APPLICATIONS, "partner", {"title": "", "created": 1}),
            Write(SUBSCRIPTIONS, "partner/shop", {"plan": None, "created": 1}),
        ]
    )
    for begin in range(0, keys, 500):
        await bench.store.commit([key(number) for number in range(begin, min(begin + 500, keys))])


async def change_everything(bench: Bench) -> int:
    """How many changes it makes."""
    store, clock = bench.store, bench.clock
    issuing = Issuing(store, HASHER, clock, "me")
    before = await store.sequence()
    for number in range(ROUNDS):
        id, _ = await create_key(store, HASHER, clock, application="partner", api="shop", actor="me")
        new, _ = await rotate_key(store, HASHER, clock, id, overlap=60, actor="me")
        await revoke_key(store, clock, new, actor="me")
        made = await create_credential(issuing, type="oauth-client", application="partner")
        await revoke_credential(issuing, made.id)
        await subscribe(store, clock, application="partner", api="shop", plan=f"plan-{number % 2}", actor="me")
        status = ("suspended", "active")[number % 2]
        await change_application(store, "partner", {"status": status}, expect=None, actor="me")
    return sum(change.table in TABLES for change in await store.changes(before))


@pytest.mark.parametrize("keys", [10, 5000])
async def test_a_change_is_told_by_itself_and_nothing_is_loaded_again(
    bench: Bench, keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(bench, keys)
    scans: Counter[str] = Counter()
    scan = bench.store.scan

    def counted(table: str) -> AsyncIterator[Any]:
        scans[table] += 1
        return scan(table)

    async with bench.control(workers=2) as (control, workers):
        monkeypatch.setattr(bench.store, "scan", counted)
        changes = await change_everything(bench)
        await control.follow()
        assert not scans
        assert len(control.directory) == keys + 2 * ROUNDS
        for worker in workers:
            await worker.heard_of(await bench.store.sequence())
            told = Counter(each["do"] for each in worker.told)
            assert (told["directory"], told["change"]) == (1, changes)
            assert changes == ROUNDS * 8
