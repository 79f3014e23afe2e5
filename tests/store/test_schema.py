"""The form of the store: which release may use it, and how it becomes another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis.asyncio

from gateway.core.errors import StoreUnavailable
from gateway.store import migrating
from gateway.store.migrating import Migrating
from gateway.store.redis_store import RedisStore
from gateway.store.schema import CURRENT, Schema, Step, StoreInUse, StoreTooNew, StoreTooOld
from gateway.store.store import Write

Opened = Callable[[Schema], RedisStore]
Raw = Callable[..., Awaitable[object]]


def step(to: int, apart: bool = False, ran: list[int] | None = None) -> Step:
    async def run(work: Migrating) -> None:
        if ran is not None:
            ran.append(to)
        await work.client.execute("SET", work.key(f"made-by-{to}"), "1")

    return Step(to, f"what form {to} brings", run, apart)


def release(form: int, *, first: int = 1, apart: bool = False, ran: list[int] | None = None) -> Schema:
    """One that knows this form, and the steps from `first` on."""
    return Schema(form, tuple(step(to, apart and to == form, ran) for to in range(first + 1, form + 1)))


@pytest.fixture
async def opened(valkey: str, prefix: str) -> AsyncIterator[Opened]:
    made: list[RedisStore] = []

    def open(schema: Schema) -> RedisStore:
        made.append(RedisStore(valkey, prefix, schema=schema))
        return made[-1]

    yield open
    for each in made:
        await each.close()


@pytest.fixture
async def raw(valkey: str, prefix: str) -> AsyncIterator[Raw]:
    async with redis.asyncio.Redis.from_url(valkey, decode_responses=True) as client:

        async def tell(command: str, key: str, *rest: object) -> object:
            return await client.execute_command(command, f"{{{prefix}}}:{key}", *rest)

        yield tell


async def test_this_release_has_no_gap_in_its_steps() -> None:
    assert [each.to for each in CURRENT.steps] == list(range(CURRENT.first + 1, CURRENT.form + 1))


async def test_an_empty_store_gets_the_form_of_who_writes_first(opened: Opened, raw: Raw) -> None:
    await opened(release(2)).commit([Write("plans", "gold", {})])
    assert [await raw("GET", key) for key in ("schema", "schema:oldest")] == ["2", "1"]


async def test_the_first_node_of_a_newer_release_takes_every_step_once(opened: Opened) -> None:
    ran: list[int] = []
    await opened(release(1)).commit([Write("plans", "gold", {"limit": 5})])
    newer = [opened(release(3, ran=ran)) for _ in range(4)]
    found = await asyncio.gather(*(each.get("plans", "gold") for each in newer))
    assert ran == [2, 3]
    assert [each and each.value for each in found] == [{"limit": 5}] * 4


async def test_two_adjacent_releases_read_and_write_one_store_at_the_same_time(opened: Opened) -> None:
    older, newer = opened(release(1)), opened(release(2))
    await older.commit([Write("plans", "gold", {"by": "older"})])
    await newer.commit([Write("plans", "gold", {"by": "newer"})])
    await older.commit([Write("plans", "silver", {"by": "older"})])
    told = [(each.key, each.value) for each in await older.changes(0)]
    assert told == [(each.key, each.value) for each in await newer.changes(0)]
    assert told == [("gold", {"by": "older"}), ("gold", {"by": "newer"}), ("silver", {"by": "older"})]


async def test_a_release_of_two_forms_ago_is_refused_by_every_command(opened: Opened) -> None:
    oldest = opened(release(1))
    await oldest.commit([Write("plans", "gold", {})])
    await opened(release(3)).sequence()
    with pytest.raises(StoreTooNew, match="in form 3, which releases that know form 2 or a later"):
        await oldest.commit([Write("plans", "gold", {"limit": 6})])
    with pytest.raises(StoreTooNew):
        await oldest.changes(0)
    with pytest.raises(StoreTooNew, match="restore a backup"):
        await opened(release(1)).get("plans", "gold")
    record = await opened(release(3)).get("plans", "gold")
    assert record is not None
    assert record.value == {}


async def test_a_store_of_too_long_ago_names_the_release_between(opened: Opened) -> None:
    await opened(release(1)).commit([Write("plans", "gold", {})])
    with pytest.raises(StoreTooOld, match="in form 1; this release can begin with form 2"):
        await opened(release(3, first=2)).sequence()


async def test_a_step_that_was_cut_off_runs_again(opened: Opened) -> None:
    tries: list[str] = []

    async def run(_work: Migrating) -> None:
        tries.append("try")
        if len(tries) == 1:
            raise StoreUnavailable("The store went away.")

    await opened(release(1)).commit([Write("plans", "gold", {})])
    newer = opened(Schema(2, (Step(2, "may fail", run),)))
    with pytest.raises(StoreUnavailable, match="went away"):
        await newer.sequence()
    assert await newer.sequence() == 1
    assert len(tries) == 2


async def test_the_steps_of_one_that_died_are_left_to_the_next(opened: Opened, raw: Raw) -> None:
    """Its lock ends by itself."""
    ran: list[int] = []
    await opened(release(1)).commit([Write("plans", "gold", {})])
    await raw("SET", "migrating", "somebody", "PX", 300)
    assert await opened(release(2, ran=ran)).sequence() == 1
    assert ran == [2]


async def test_who_lost_the_lock_notes_nothing(opened: Opened, raw: Raw) -> None:
    async def run(work: Migrating) -> None:
        await work.client.execute("SET", work.key("migrating"), "somebody")

    await opened(release(1)).commit([Write("plans", "gold", {})])
    with pytest.raises(StoreUnavailable, match="Another node took over"):
        await opened(Schema(2, (Step(2, "loses its lock", run),))).sequence()
    assert await raw("GET", "schema") == "1"


@pytest.mark.parametrize(("form", "apart"), [(3, False), (2, True)])
async def test_a_step_waits_for_nodes_that_could_not_go_on_and_names_them(
    opened: Opened, form: int, apart: bool
) -> None:
    older = opened(release(1))
    await older.commit([Write("plans", "gold", {})])
    await older.beat("gw-7", {"serving": 1}, 60)
    ran: list[int] = []
    work = Migrating(older._client, older._key, older._alive)
    with pytest.raises(StoreInUse, match="after which gw-7 could not go on"):
        await migrating.migrate(work, release(form, apart=apart, ran=ran), 0.3)
    await older.beat("gw-7", {"schema": form - 1 + apart}, 60)
    await migrating.migrate(work, release(form, apart=apart, ran=ran), 0.3)
    assert ran[-1] == form


async def test_a_cluster_migrates_as_one_server_does(cluster: str, prefix: str) -> None:
    ran: list[int] = []
    older, newer = (
        RedisStore(cluster, prefix, schema=release(1)),
        RedisStore(cluster, prefix, schema=release(2, ran=ran)),
    )
    await older.commit([Write("plans", "gold", {})])
    assert await newer.sequence() == 1
    await older.commit([Write("plans", "silver", {})])
    assert (ran, await newer.sequence()) == ([2], 2)
    await older.close()
    await newer.close()
