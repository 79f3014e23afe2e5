"""Writing applications and keys, and reading them from the directory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis

from gateway.consumers.applications import create_application, delete_application
from gateway.consumers.directory import Directory, load_directory
from gateway.consumers.keys import create_key, list_keys, revoke_key, rotate_key
from gateway.consumers.subscriptions import subscribe, unsubscribe
from gateway.core.clock import ManualClock
from gateway.core.errors import Conflict, InvalidInput, NotFound
from gateway.core.secrets import KeyHasher, Secret
from gateway.store.memory import MemoryStore
from gateway.store.redis_store import RedisStore
from gateway.store.store import Store

HASHER = KeyHasher(Secret("the cluster's secret"))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_700_000_000.0)


@pytest.fixture(params=["memory", "valkey"])
async def store(request: pytest.FixtureRequest, prefix: str, clock: ManualClock) -> AsyncIterator[Store]:
    memory = request.param == "memory"
    found = MemoryStore(clock) if memory else RedisStore(request.getfixturevalue("valkey"), prefix, clock)
    await create_application(found, clock, "partner", title="Partner", actor="me")
    yield found
    await found.close()


async def make(store: Store, clock: ManualClock, plan: str | None = None) -> tuple[str, str]:
    return await create_key(store, HASHER, clock, application="partner", api="shop", plan=plan, actor="me")


async def follow(store: Store, directory: Directory) -> None:
    for change in await store.changes(directory.sequence):
        directory.apply(change)


async def test_a_key_is_found_by_its_plaintext(store: Store, clock: ManualClock) -> None:
    id, plaintext = await make(store, clock, "gold")
    key = (await load_directory(store, clock)).find(HASHER.digest(plaintext.encode()))
    assert key is not None
    assert (key.id, key.application, key.api, key.plan) == (id, "partner", "shop", "gold")
    assert key.refusal(clock.time()) is None


async def test_a_key_reaches_a_loaded_directory_by_the_change_log(store: Store, clock: ManualClock) -> None:
    directory = await load_directory(store, clock)
    _, plaintext = await make(store, clock)
    await follow(store, directory)
    key = directory.find(HASHER.digest(plaintext.encode()))
    assert key is not None
    assert key.refusal(clock.time()) is None
    assert directory.sequence == await store.sequence()


async def test_an_unknown_key_is_not_found(store: Store, clock: ManualClock) -> None:
    assert (await load_directory(store, clock)).find(HASHER.digest(b"pk_unknown")) is None


async def test_a_revoked_key_is_refused(store: Store, clock: ManualClock) -> None:
    directory = await load_directory(store, clock)
    id, plaintext = await make(store, clock)
    await revoke_key(store, clock, id, actor="me")
    await revoke_key(store, clock, id, actor="me")
    await follow(store, directory)
    key = directory.find(HASHER.digest(plaintext.encode()))
    assert key is not None
    assert key.refusal(clock.time()) == "revoked"


async def test_a_key_is_valid_from_its_start_until_just_before_its_end(store: Store, clock: ManualClock) -> None:
    now = clock.time()
    _, plaintext = await create_key(
        store, HASHER, clock, application="partner", api="shop", starts=now + 10, ends=now + 20, actor="me"
    )
    key = (await load_directory(store, clock)).find(HASHER.digest(plaintext.encode()))
    assert key is not None
    assert [key.refusal(now + after) for after in (9.9, 10, 19.9, 20)] == ["not yet valid", None, None, "expired"]


async def test_a_rotated_key_goes_on_for_the_overlap(store: Store, clock: ManualClock) -> None:
    """CASES C42."""
    old, plaintext = await make(store, clock)
    new, successor = await rotate_key(store, HASHER, clock, old, overlap=60, actor="me")
    directory = await load_directory(store, clock)
    before, after = (directory.find(HASHER.digest(text.encode())) for text in (plaintext, successor))
    assert before is not None
    assert after is not None
    assert (before.id, after.id) == (old, new)
    assert before.refusal(clock.time() + 59) is None
    assert before.refusal(clock.time() + 60) == "expired"
    assert after.refusal(clock.time() + 10**9) is None


async def test_rotation_never_lengthens_a_keys_life(store: Store, clock: ManualClock) -> None:
    end = clock.time() + 10
    old, plaintext = await create_key(store, HASHER, clock, application="partner", api="shop", ends=end, actor="me")
    await rotate_key(store, HASHER, clock, old, overlap=60, actor="me")
    key = (await load_directory(store, clock)).find(HASHER.digest(plaintext.encode()))
    assert key is not None
    assert key.ends == end


async def test_a_revoked_key_has_no_successor(store: Store, clock: ManualClock) -> None:
    id, _ = await make(store, clock)
    await revoke_key(store, clock, id, actor="me")
    with pytest.raises(Conflict, match="Create another one"):
        await rotate_key(store, HASHER, clock, id, actor="me")


async def test_no_plaintext_key_is_in_the_store_or_a_dump(valkey: str, prefix: str, clock: ManualClock) -> None:
    """CASES C39."""
    store = RedisStore(valkey, prefix, clock)
    await create_application(store, clock, "partner", actor="me")
    id, plaintext = await make(store, clock)
    _, successor = await rotate_key(store, HASHER, clock, id, actor="me")
    dump = (await load_directory(store, clock)).dump()
    with redis.Redis.from_url(valkey) as client:
        everything = [dump, *(client.dump(key) or b"" for key in client.scan_iter(f"{{{prefix}}}*"))]
    assert len(everything) > 5
    for secret in (plaintext, successor):
        assert not any(secret[3:].encode() in part for part in everything)
    await store.close()


async def test_the_plan_of_a_subscription_is_the_plan_of_its_keys(store: Store, clock: ManualClock) -> None:
    directory = await load_directory(store, clock)
    _, plaintext = await make(store, clock, "gold")
    await subscribe(store, clock, application="partner", api="shop", plan="silver", actor="me")
    await follow(store, directory)
    key = directory.find(HASHER.digest(plaintext.encode()))
    assert key is not None
    assert key.plan == "silver"


async def test_another_plan_than_the_subscriptions_is_refused(store: Store, clock: ManualClock) -> None:
    await make(store, clock, "gold")
    await make(store, clock)
    with pytest.raises(Conflict, match="plan gold, not with plan silver"):
        await make(store, clock, "silver")


async def test_a_key_without_a_subscription_opens_nothing(store: Store, clock: ManualClock) -> None:
    directory = await load_directory(store, clock)
    _, plaintext = await make(store, clock)
    await unsubscribe(store, application="partner", api="shop", actor="me")
    await follow(store, directory)
    key = directory.find(HASHER.digest(plaintext.encode()))
    assert key is not None
    assert key.refusal(clock.time()) == "no subscription"
    assert directory.subscription("partner", "shop") is None


async def test_a_deleted_application_takes_its_keys_with_it(store: Store, clock: ManualClock) -> None:
    directory = await load_directory(store, clock)
    _, plaintext = await make(store, clock)
    await follow(store, directory)
    await delete_application(store, "partner", actor="me")
    await follow(store, directory)
    assert directory.find(HASHER.digest(plaintext.encode())) is None
    assert directory.application("partner") is None
    assert len(directory) == 0


async def test_keys_made_at_the_same_moment_share_one_subscription(store: Store, clock: ManualClock) -> None:
    keys = await asyncio.gather(*(make(store, clock) for _ in range(20)))
    directory = await load_directory(store, clock)
    assert len({id for id, _ in keys}) == len(directory) == 20
    assert len(list(directory.subscriptions())) == 1


async def test_every_write_is_audited_with_its_actor_and_without_a_credential(store: Store, clock: ManualClock) -> None:
    """CASES M72, C41."""
    id, plaintext = await make(store, clock)
    await revoke_key(store, clock, id, actor="somebody")
    entries = await store.audit()
    assert [(entry["actor"], entry["action"]) for entry in entries] == [
        ("somebody", "key.revoke"),
        ("me", "key.create"),
        ("me", "application.create"),
    ]
    assert plaintext not in str(entries)
    assert HASHER.digest(plaintext.encode()).hex() not in str(entries)


async def test_listed_keys_show_no_digest(store: Store, clock: ManualClock) -> None:
    id, _ = await make(store, clock)
    (listed,) = [key async for key in list_keys(store, "partner", "shop")]
    assert listed["id"] == id
    assert "digest" not in listed
    assert [key async for key in list_keys(store, "other")] == []


async def test_a_key_for_an_unknown_application_tells_the_way_out(store: Store, clock: ManualClock) -> None:
    with pytest.raises(NotFound, match="penstock apps create nobody"):
        await create_key(store, HASHER, clock, application="nobody", api="shop", actor="me")


async def test_an_application_is_created_once(store: Store, clock: ManualClock) -> None:
    with pytest.raises(Conflict, match="already"):
        await create_application(store, clock, "partner", actor="me")


@pytest.mark.parametrize("name", ["", "A", "a/b", "a b", "../x", "a\n", "x" * 64])
async def test_a_name_that_is_none_is_refused(store: Store, clock: ManualClock, name: str) -> None:
    with pytest.raises(InvalidInput):
        await create_application(store, clock, name, actor="me")


async def test_a_key_that_ends_before_it_starts_is_refused(store: Store, clock: ManualClock) -> None:
    with pytest.raises(InvalidInput, match="end after"):
        await create_key(store, HASHER, clock, application="partner", api="shop", starts=2, ends=1, actor="me")
