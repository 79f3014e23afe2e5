"""The life of signing keys and of revoked tokens, over a store and a clock that the test sets."""

from __future__ import annotations

from gateway.consumers.directory import Directory, load_directory
from gateway.consumers.signing import LEEWAY, LONGEST
from gateway.consumers.signing_writes import forget_revoked, keep_signing_keys, retire_signing_key, revoke_token
from gateway.core.clock import ManualClock
from gateway.core.secrets import KeyHasher, Secret
from gateway.store.memory import MemoryStore

AGE, LEAD = 1000.0, 100.0
HASHER = KeyHasher(Secret("of the cluster"))


class Cluster:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)

    async def keep(self) -> Directory:
        """What a node looks after now and then."""
        keys = (await load_directory(self.store, self.clock)).signing_keys
        await keep_signing_keys(self.store, HASHER, self.clock, "ES256", AGE, LEAD, keys)
        return await load_directory(self.store, self.clock)


async def test_a_new_key_is_published_before_it_signs_and_the_old_one_stays_until_its_tokens_have_ended() -> None:
    cluster = Cluster()
    first = (await cluster.keep()).signing_keys.signing(cluster.clock.time())
    assert first is not None
    cluster.clock.advance(AGE - LEAD)
    keys = (await cluster.keep()).signing_keys
    assert keys.signing(cluster.clock.time()) == first
    assert len(keys.published(cluster.clock.time())) == 2
    cluster.clock.advance(LEAD)
    second = keys.signing(cluster.clock.time())
    assert second != first
    cluster.clock.advance(LONGEST + LEEWAY - 1)
    assert first in keys.published(cluster.clock.time())
    cluster.clock.advance(1)
    assert first not in keys.published(cluster.clock.time())


async def test_of_several_nodes_one_makes_the_key() -> None:
    cluster = Cluster()
    empty = Directory().signing_keys
    for _ in range(3):
        await keep_signing_keys(cluster.store, HASHER, cluster.clock, "ES256", AGE, LEAD, empty)
    keys = (await load_directory(cluster.store, cluster.clock)).signing_keys
    assert keys.signing(cluster.clock.time()) is not None
    assert len(keys) == 1


async def test_a_retired_key_ends_at_once_and_another_one_signs() -> None:
    cluster = Cluster()
    first = (await cluster.keep()).signing_keys.signing(cluster.clock.time())
    assert first is not None
    made = await retire_signing_key(cluster.store, HASHER, cluster.clock, first.kid, "ES256", actor="test")
    keys = (await load_directory(cluster.store, cluster.clock)).signing_keys
    assert keys.signing(cluster.clock.time()) == made
    assert keys.published(cluster.clock.time()) == [made]


async def test_a_dump_has_keys_and_revoked_tokens_and_shows_no_private_key() -> None:
    cluster = Cluster()
    await revoke_token(cluster.store, "j1", "machine", cluster.clock.time() + 60, actor="machine")
    directory = await cluster.keep()
    dumped = directory.dump()
    assert b"PRIVATE" not in dumped
    assert b'"d":' not in dumped
    again = Directory.load(dumped)
    assert list(again.signing_keys) == list(directory.signing_keys)
    assert "j1" in again.revoked_tokens
    assert again.revoked_tokens.count("machine") == 1


async def test_a_revoked_token_is_forgotten_once_it_has_ended_anyway() -> None:
    cluster = Cluster()
    await revoke_token(cluster.store, "j1", "machine", cluster.clock.time() + 60, actor="machine")
    for seconds, known in ((60.0, True), (LEEWAY, False)):
        cluster.clock.advance(seconds)
        revoked = (await load_directory(cluster.store, cluster.clock)).revoked_tokens
        await forget_revoked(cluster.store, cluster.clock, revoked)
        assert ("j1" in (await load_directory(cluster.store, cluster.clock)).revoked_tokens) is known
