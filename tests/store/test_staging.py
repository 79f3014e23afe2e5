"""Replacing all that a store holds: one suite for every implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from gateway.core.clock import ManualClock
from gateway.core.errors import Conflict, PreconditionFailed
from gateway.store.redis_staging import _UNSTAGE
from gateway.store.schema import CURRENT
from gateway.store.staging import LEAP, Staging
from gateway.store.store import Gap, Record, Store, Value, Write
from tests.store.test_store import IMPLEMENTATIONS, make


@pytest.fixture(params=IMPLEMENTATIONS)
async def store(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Store]:
    store = make(request.param, request, prefix, ManualClock(), 20)
    await store.commit([Write("plans", "old", {"n": 1}), Write("keys", "k", {})], {"action": "before"})
    yield store
    await store.close()


async def staged(store: Store) -> Staging:
    staging = store.staging()
    await staging.begin()
    await staging.put("plans", [("gold", Record({"n": 2}, 40)), ("silver", Record({"n": 3}, 7))])
    await staging.audit([(39, 5.0, {"action": "once"}), (40, 6.0, {"action": "twice"})])
    return staging


async def test_what_is_staged_is_seen_by_nobody(store: Store) -> None:
    await staged(store)
    assert await store.sizes() == {"plans": 1, "keys": 1}
    assert await store.get("plans", "gold") is None
    assert await store.sequence() == 1


async def test_it_takes_the_place_of_everything_with_its_versions_and_in_its_order(store: Store) -> None:
    await (await staged(store)).activate(40, CURRENT.form, {"action": "restore"}, None)
    assert await store.sizes() == {"plans": 2}
    assert await store.page("plans") == [("gold", Record({"n": 2}, 40)), ("silver", Record({"n": 3}, 7))]
    assert await store.many("plans", ["silver", "old"]) == [Record({"n": 3}, 7), None]
    told = await store.audited(0)
    assert [(each[0], each[2]["action"]) for each in told] == [(39, "once"), (40, "twice"), (40 + LEAP, "restore")]


async def test_a_hook_gets_the_entry_of_what_was_put_in_place_once(store: Store) -> None:
    told: list[tuple[int, Value]] = []
    store.on_audit(lambda sequence, entry: told.append((sequence, entry)))
    sequence = await (await staged(store)).activate(40, CURRENT.form, {"action": "restore"}, None)
    assert told == [(sequence, {"action": "restore"})]


async def test_a_hook_hears_nothing_of_what_was_not_put_in_place(store: Store) -> None:
    told: list[int] = []
    store.on_audit(lambda sequence, _: told.append(sequence))
    with pytest.raises(PreconditionFailed):
        await (await staged(store)).activate(40, CURRENT.form, {"action": "restore"}, 77)
    assert told == []


async def test_the_sequence_leaps_and_whoever_follows_loads_everything(store: Store) -> None:
    sequence = await (await staged(store)).activate(40, CURRENT.form, {"action": "restore"}, None)
    assert sequence == 40 + LEAP == await store.sequence()
    for known in (0, 1, 40, 39 + LEAP - 1):
        with pytest.raises(Gap):
            await store.changes(known)
    assert await store.changes(sequence) == []
    await store.commit([Write("plans", "gold", {"n": 9})])
    assert [each.key for each in await store.changes(sequence)] == ["gold"]


async def test_one_who_has_seen_more_than_the_backup_loads_everything_too(store: Store) -> None:
    for number in range(60):
        await store.commit([Write("plans", "old", {"n": number})])
    assert await (await staged(store)).activate(40, CURRENT.form, {}, None) == 61 + LEAP


async def test_it_waits_for_nobody_who_wrote_meanwhile(store: Store) -> None:
    staging = await staged(store)
    await store.commit([Write("plans", "new", {})])
    with pytest.raises(PreconditionFailed, match="it was at sequence 1, it is at 2"):
        await staging.activate(40, CURRENT.form, {}, 1)
    assert set(await store.sizes()) == {"plans", "keys"}
    assert await staging.activate(40, CURRENT.form, {}, 2) == 40 + LEAP


async def test_of_two_the_later_one_goes_on(store: Store) -> None:
    first = await staged(store)
    second = await staged(store)
    for refused in (first.put("plans", [("x", Record({}, 1))]), first.activate(40, CURRENT.form, {}, None)):
        with pytest.raises(Conflict, match="Another restore has begun"):
            await refused
    await first.drop()
    await second.activate(40, CURRENT.form, {}, None)
    assert set(await store.sizes()) == {"plans"}


async def test_what_a_killed_one_left_is_not_in_the_next(store: Store) -> None:
    await staged(store)
    staging = store.staging()
    await staging.begin()
    await staging.put("topics", [("orders", Record({}, 3))])
    await staging.activate(3, CURRENT.form, {}, None)
    assert await store.sizes() == {"topics": 1}


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
async def test_what_becomes_live_lasts_and_nothing_else_is_left(
    kind: str, request: pytest.FixtureRequest, prefix: str
) -> None:
    url = request.getfixturevalue(kind)
    store = make(kind, request, prefix, ManualClock(), 20)
    await store.commit([Write("plans", "old", {})])
    await (await staged(store)).activate(40, CURRENT.form, {}, None)
    await store.close()
    client = redis.asyncio.RedisCluster if kind == "cluster" else redis.asyncio.Redis
    async with client.from_url(url.replace("+cluster", "")) as raw:  # type: ignore[attr-defined]
        names = {key async for key in raw.scan_iter(f"{{{prefix}}}*")}
        lasting = {name.decode().partition(":")[2] for name in names}
        assert lasting == {"t:plans", "i:plans", "seq", "log", "audit", "schema", "schema:oldest", "id"}
        assert {await raw.pttl(name) for name in names} == {-1}


async def test_nothing_is_put_in_place_of_which_the_store_lost_a_part(valkey: str, prefix: str) -> None:
    store = make("valkey", _Given(valkey), prefix, ManualClock(), 20)  # type: ignore[arg-type]
    await store.commit([Write("plans", "old", {"n": 1})])
    staging = await staged(store)
    async with redis.asyncio.from_url(valkey) as client:
        await client.hdel(f"{{{prefix}}}:r:t:plans", "gold")
    with pytest.raises(Conflict, match="lost a part"):
        await staging.activate(40, CURRENT.form, {}, None)
    assert await store.sizes() == {"plans": 1}
    await store.close()


async def test_what_was_done_until_the_last_moment_is_in_the_audit(valkey: str, prefix: str) -> None:
    store = make("valkey", _Given(valkey), prefix, ManualClock(), 20)  # type: ignore[arg-type]
    for number in range(45):
        await store.commit([Write("plans", "old", {"n": number})], {"action": f"before {number}"})
    staging = await staged(store)
    await staging.audit([(each[0], each[1], each[2]) for each in await store.audited(40)])
    await store.commit([Write("plans", "old", {})], {"action": "mallory"})
    await staging.activate(40, CURRENT.form, {"action": "restore"}, None)
    told = [each[2]["action"] for each in await store.audited(0)]
    assert told[:2] == ["once", "twice"]
    assert told[-2:] == ["mallory", "restore"]
    assert len(told) == len(set(told))
    await store.close()


async def test_who_gives_way_takes_nothing_of_the_other_away(valkey: str, prefix: str) -> None:
    """However slow it is: it still holds the names of what it found."""
    store = make("valkey", _Given(valkey), prefix, ManualClock(), 20)  # type: ignore[arg-type]
    first = await staged(store)
    found = [f"{{{prefix}}}:r:t:plans", f"{{{prefix}}}:r:i:plans"]
    second = await staged(store)
    for key in found:
        assert not await first._client.run(_UNSTAGE, [f"{{{prefix}}}:r", key], [first._me])  # type: ignore[attr-defined]
    await first.drop()
    await second.activate(40, CURRENT.form, {}, None)
    assert await store.sizes() == {"plans": 2}
    await store.close()


class _Given:
    """What `make` asks a test's request for."""

    def __init__(self, url: str) -> None:
        self._url = url

    def getfixturevalue(self, _name: str) -> str:
        return self._url
