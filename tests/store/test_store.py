"""One suite for every implementation of the control plane's store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from gateway.core.clock import ManualClock
from gateway.core.errors import InvalidInput, PreconditionFailed, StoreUnavailable
from gateway.store.connect import open_store
from gateway.store.embedded import EmbeddedStore
from gateway.store.memory import MemoryStore
from gateway.store.redis_store import RedisStore
from gateway.store.schema import StoreTooNew
from gateway.store.store import Change, Gap, Record, Store, Value, Write
from tests.servers import Server, forget_scripts, kill_and_restart, listens, until

IMPLEMENTATIONS = ["memory", "valkey", "cluster", "sentinel"]


def make(kind: str, request: pytest.FixtureRequest, prefix: str, clock: ManualClock, log_length: int) -> Store:
    if kind == "memory":
        return MemoryStore(clock, log_length)
    return RedisStore(request.getfixturevalue(kind), prefix, clock, log_length)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=IMPLEMENTATIONS)
async def store(request: pytest.FixtureRequest, prefix: str, clock: ManualClock) -> AsyncIterator[Store]:
    store = make(request.param, request, prefix, clock, 20)
    yield store
    await store.close()


async def test_a_record_that_was_never_written_is_none(store: Store) -> None:
    assert await store.get("plans", "gold") is None


async def test_a_record_has_the_sequence_that_wrote_it_as_its_version(store: Store) -> None:
    first = await store.commit([Write("plans", "gold", {"limit": 5, "name": "é{}"})])
    assert await store.get("plans", "gold") == Record({"limit": 5, "name": "é{}"}, first)
    second = await store.commit([Write("plans", "gold", {"limit": 6})])
    assert await store.get("plans", "gold") == Record({"limit": 6}, second)
    assert (first, second, await store.sequence()) == (1, 2, 2)


async def test_a_deleted_record_is_none(store: Store) -> None:
    await store.commit([Write("plans", "gold", {})])
    await store.commit([Write("plans", "gold", None)])
    assert await store.get("plans", "gold") is None


async def test_a_scan_yields_every_record_of_its_table_only(store: Store) -> None:
    await store.commit([Write("keys", f"k{n}", {"n": n}) for n in range(700)])
    await store.commit([Write("plans", "gold", {})])
    found = {key: record.value["n"] async for key, record in store.scan("keys")}
    assert found == {f"k{n}": n for n in range(700)}


async def test_a_commit_whose_expectation_fails_changes_nothing(store: Store) -> None:
    await store.commit([Write("plans", "gold", {"limit": 5})])
    writes = [Write("plans", "silver", {}), Write("plans", "gold", {"limit": 6}, expect=0)]
    with pytest.raises(PreconditionFailed, match="plans/gold has changed"):
        await store.commit(writes, {"actor": "me"})
    assert await store.get("plans", "silver") is None
    assert await store.sequence() == 1
    assert await store.audit() == []


async def test_of_fifty_concurrent_writers_of_one_version_one_wins(store: Store) -> None:
    """CASES M71."""
    version = await store.commit([Write("plans", "gold", {})])
    writes = (store.commit([Write("plans", "gold", {"n": n}, expect=version)]) for n in range(50))
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(isinstance(result, int) for result in results) == 1
    assert sum(isinstance(result, PreconditionFailed) for result in results) == 49


async def test_the_change_log_tells_every_write_in_order(store: Store) -> None:
    await store.commit([Write("plans", "gold", {"limit": 5}), Write("topics", "orders", {"title": "x"})])
    await store.commit([Write("plans", "gold", None)])
    assert await store.changes(0) == [
        Change(1, "plans", "gold", {"limit": 5}),
        Change(1, "topics", "orders", {"title": "x"}),
        Change(2, "plans", "gold", None),
    ]
    assert await store.changes(1) == [Change(2, "plans", "gold", None)]
    assert await store.changes(2) == []


async def test_a_commit_for_the_audit_alone_moves_its_readers_on(store: Store) -> None:
    """Else whoever waits for what comes behind the last change would wait for nothing, again and again."""
    await store.commit([Write("plans", "gold", {})])
    await store.commit([], {"actor": "me"})
    assert await store.changes(1) == [Change(2, "", "", None)]


async def test_a_large_value_reaches_the_reader_of_the_change_log(store: Store) -> None:
    value = {"text": "x" * 100_000}
    await store.commit([Write("revisions", "abc", value)])
    assert await store.changes(0) == [Change(1, "revisions", "abc", value)]


async def test_a_trimmed_change_log_is_a_gap(store: Store) -> None:
    for n in range(25):
        await store.commit([Write("plans", "gold", {"n": n})])
    with pytest.raises(Gap):
        await store.changes(4)
    assert [change.sequence for change in await store.changes(5)] == list(range(6, 26))


async def test_a_reader_that_is_ahead_of_the_store_is_told_of_a_gap(store: Store) -> None:
    with pytest.raises(Gap):
        await store.changes(7)


async def test_wait_ends_with_the_next_commit(store: Store) -> None:
    await store.commit([Write("plans", "gold", {})])
    waiting = asyncio.create_task(store.wait(1, 30))
    await asyncio.sleep(0)
    await store.commit([Write("plans", "gold", {})])
    async with asyncio.timeout(10):
        await waiting


async def test_wait_does_not_wait_for_what_is_there_already(store: Store) -> None:
    await store.commit([Write("plans", "gold", {})])
    async with asyncio.timeout(10):
        await store.wait(0, 30)


async def test_wait_without_a_commit_ends_after_its_seconds(store: Store) -> None:
    async with asyncio.timeout(10):
        await store.wait(0, 0.02)


async def test_audit_entries_come_newest_first_with_sequence_and_time(store: Store, clock: ManualClock) -> None:
    start = clock.time()
    for n in range(3):
        await store.commit([], {"actor": "me", "n": n})
        clock.advance(1)
    found = await store.audit(limit=2)
    assert [(entry["n"], entry["sequence"], entry["at"] - start) for entry in found] == [(2, 3, 2), (1, 2, 1)]
    assert [entry["n"] for entry in await store.audit(before=3)] == [1, 0]


async def test_a_hook_gets_each_audit_entry_that_was_committed(store: Store) -> None:
    told: list[tuple[int, Value]] = []
    await store.commit([], {"action": "before"})
    store.on_audit(lambda sequence, entry: told.append((sequence, entry)))
    await store.commit([Write("plans", "gold", {})], {"action": "apply"})
    await store.commit([Write("plans", "gold", {})])
    with pytest.raises(PreconditionFailed):
        await store.commit([Write("plans", "gold", {}, expect=0)], {"action": "refused"})
    assert told == [(2, {"action": "apply"})]


async def test_a_hook_that_fails_keeps_nobody_from_a_commit_or_from_hearing_of_it(store: Store) -> None:
    told: list[int] = []

    def failing(_sequence: int, _entry: Value) -> None:
        raise OSError("no room")

    store.on_audit(failing)
    store.on_audit(lambda sequence, _: told.append(sequence))
    assert await store.commit([Write("plans", "gold", {})], {"action": "apply"}) == 1
    assert told == [1]


async def test_each_server_tells_how_it_is_set(store: Store, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.params["store"]
    found = await store.servers()
    assert len(found) == {"memory": 0, "valkey": 1, "cluster": 3, "sentinel": 1}[kind]
    for each in found:
        assert (each.eviction, each.maxmemory, each.failed) == ("noeviction", 0, "")
        assert each.server in ("redis", "valkey")
        assert int(each.version.split(".")[0]) >= 7
        assert each.used > 0
        assert each.save == ""
        assert 0 < each.ping_seconds < 10


async def test_a_node_is_listed_while_its_heart_beats(store: Store, clock: ManualClock) -> None:
    await store.beat("a", {"sequence": 4}, 60)
    await store.beat("b", {"sequence": 5}, 0.001)
    clock.advance(1)
    async with asyncio.timeout(10):
        while await store.nodes() != {"a": {"sequence": 4}}:  # noqa: ASYNC110 - the server forgets by its own clock
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
async def test_a_script_that_the_server_forgot_is_loaded_again(
    kind: str, request: pytest.FixtureRequest, prefix: str
) -> None:
    url = request.getfixturevalue(kind)
    store = RedisStore(url, prefix)
    await store.commit([Write("plans", "gold", {})])
    await asyncio.to_thread(forget_scripts, url)
    assert await store.commit([Write("plans", "gold", {})]) == 2
    await store.close()


async def test_two_prefixes_are_two_stores(valkey: str, prefix: str) -> None:
    one, two = RedisStore(valkey, prefix), RedisStore(valkey, prefix + "x")
    await one.commit([Write("plans", "gold", {})])
    assert await two.get("plans", "gold") is None
    await one.close()
    await two.close()


async def test_a_store_of_a_newer_form_is_refused_for_reading_and_writing(valkey: str, prefix: str) -> None:
    async with redis.asyncio.Redis.from_url(valkey) as client:
        await client.set(f"{{{prefix}}}:schema", "2")
    store = RedisStore(valkey, prefix)
    with pytest.raises(StoreTooNew, match="Start the newer release"):
        await store.get("plans", "gold")
    with pytest.raises(StoreTooNew):
        await store.commit([Write("plans", "gold", {})])
    await store.close()


async def test_a_store_that_is_not_there_is_unavailable() -> None:
    store = open_store("redis://:hush@127.0.0.1:1")
    with pytest.raises(StoreUnavailable) as caught:
        await store.get("plans", "gold")
    assert "127.0.0.1" not in caught.value.detail
    assert "127.0.0.1:1" in caught.value.__notes__[0]
    assert "hush" not in caught.value.__notes__[0]
    await store.close()


def test_an_unknown_scheme_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="redis\\+cluster://"):
        open_store("http://127.0.0.1")


async def test_commits_outlive_a_killed_server(embedded: EmbeddedStore) -> None:
    """CASES Q76."""
    store = RedisStore(embedded.url)
    for n in range(100):
        await store.commit([Write("plans", f"p{n}", {"n": n})], {"actor": "me"})
    await kill_and_restart(embedded)
    assert await store.sequence() == 100
    assert len([key async for key, _ in store.scan("plans")]) == 100
    assert len(await store.changes(0)) == 100
    await store.close()


async def test_who_is_cancelled_amid_its_commands_ends(valkey: str, prefix: str) -> None:
    """Whenever it is: also in the moment in which a command has just been sent."""
    store = RedisStore(valkey, prefix)

    async def beat() -> None:
        while True:
            await store.beat("a", {}, 5.0)

    for turns in range(40):
        tasks = [asyncio.create_task(beat()) for _ in range(8)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        _, forgetful = await asyncio.wait(tasks, timeout=5)
        assert not forgetful
    await store.close()


async def test_a_frozen_store_is_unavailable_and_recovers(tmp_path: Path) -> None:
    """CASES A62."""
    server = Server(tmp_path, "--port", "0", "--unixsocket", str(tmp_path / "s"))
    store = RedisStore(f"unix://{tmp_path}/s", timeout=0.1)
    try:
        await asyncio.to_thread(until, lambda: listens(tmp_path / "s"), "the server listens")
        await store.commit([Write("plans", "gold", {})])
        server.freeze()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await store.get("plans", "gold")
        server.thaw()
        assert await settled(store) == Record({}, 1)
    finally:
        server.thaw()
        await store.close()
        server.kill()


async def settled(store: Store) -> Record | None:
    """What is read once the store answers again."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await store.get("plans", "gold")
            except StoreUnavailable:
                await asyncio.sleep(0.01)


async def test_a_full_store_refuses_commits_whole_and_recovers(embedded: EmbeddedStore) -> None:
    """CASES Q77."""
    store = RedisStore(embedded.url)
    await store.commit([Write("plans", "gold", {})])
    await store._client.execute("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="answered OutOfMemory"):
        await store.commit([Write("plans", "gold", None), Write("plans", "silver", {})])
    assert await store.get("plans", "gold") == Record({}, 1)
    await store._client.execute("CONFIG", "SET", "maxmemory", "0")
    assert await store.commit([Write("plans", "gold", {})]) == 2
    await store.close()


async def test_a_server_that_keeps_its_configuration_to_itself_tells_the_rest(embedded: EmbeddedStore) -> None:
    store = RedisStore(embedded.url)
    await store._client.execute("ACL", "SETUSER", "default", "-config")
    (found,) = await store.servers()
    assert (found.save, found.appendfsync, found.appendonly) == (None, None, True)
    await store.close()


async def test_pages_have_every_record_once_in_the_order_of_keys(store: Store) -> None:
    names = ["b", "a", "é", "z", "a1", "A"]
    for name in names:
        await store.commit([Write("plans", name, {"name": name}), Write("other", name, {})])
    await store.commit([Write("plans", "gone", {})])
    await store.commit([Write("plans", "gone", None)])
    found, after = [], ""
    while page := await store.page("plans", after, 2):
        assert len(page) <= 2
        found += page
        after = page[-1][0]
    assert [key for key, _ in found] == sorted(names, key=str.encode)
    assert all(record.value == {"name": key} for key, record in found)
    assert await store.page("nothing") == []


async def test_a_store_that_knows_no_order_of_its_keys_learns_it(valkey: str, prefix: str) -> None:
    """One that an older release wrote."""
    store = RedisStore(valkey, prefix)
    await store.commit([Write("plans", name, {}) for name in ("b", "a")])
    async with redis.asyncio.Redis.from_url(valkey) as client:
        await client.delete(f"{{{prefix}}}:i:plans")
    assert [key for key, _ in await store.page("plans")] == ["a", "b"]
    await store.close()
