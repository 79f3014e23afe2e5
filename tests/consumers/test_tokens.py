"""Admin tokens: made, found, bound, ended."""

from __future__ import annotations

import pytest

from gateway.consumers.tokens import ROLES, Token, create_token, find_token, list_tokens, revoke_token
from gateway.core.clock import ManualClock
from gateway.core.errors import Conflict, InvalidInput, NotFound
from gateway.core.secrets import KeyHasher, Secret
from gateway.store.memory import MemoryStore

HASHER = KeyHasher(Secret("the cluster's secret"))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock)


async def make(store: MemoryStore, clock: ManualClock, **more: object) -> tuple[str, str]:
    settings: dict[str, object] = {"name": "ci", "roles": ["publisher"], "actor": "me", **more}
    return await create_token(store, HASHER, clock, **settings)  # type: ignore[arg-type]


async def test_a_token_is_found_by_its_plaintext(store: MemoryStore, clock: ManualClock) -> None:
    id, plaintext = await make(store, clock, components=["shop"])
    assert plaintext.startswith("pt_")
    found = await find_token(store, HASHER, clock, plaintext)
    assert found == Token(id, "ci", frozenset({"publisher"}), frozenset({"shop"}))


@pytest.mark.parametrize("presented", ["", "pt_wrong", "é\0"])
async def test_an_unknown_token_is_none(store: MemoryStore, clock: ManualClock, presented: str) -> None:
    await make(store, clock)
    assert await find_token(store, HASHER, clock, presented) is None


async def test_a_revoked_token_is_none(store: MemoryStore, clock: ManualClock) -> None:
    id, plaintext = await make(store, clock)
    await revoke_token(store, clock, id, actor="me")
    assert await find_token(store, HASHER, clock, plaintext) is None


async def test_a_token_is_none_from_its_end_on(store: MemoryStore, clock: ManualClock) -> None:
    _, plaintext = await make(store, clock, ends=clock.time() + 10)
    assert await find_token(store, HASHER, clock, plaintext) is not None
    clock.advance(10)
    assert await find_token(store, HASHER, clock, plaintext) is None


async def test_a_token_of_another_secret_is_none(store: MemoryStore, clock: ManualClock) -> None:
    _, plaintext = await make(store, clock)
    assert await find_token(store, KeyHasher(Secret("another")), clock, plaintext) is None


async def test_a_chosen_token_is_made_once(store: MemoryStore, clock: ManualClock) -> None:
    chosen = "the-first-admin-token"
    assert (await make(store, clock, roles=["admin"], credential=chosen))[1] == chosen
    with pytest.raises(Conflict):
        await make(store, clock, roles=["admin"], credential=chosen)


async def test_tokens_are_listed_and_audited_without_credentials(store: MemoryStore, clock: ManualClock) -> None:
    id, plaintext = await make(store, clock)
    await revoke_token(store, clock, id, actor="you")
    listed = [token async for token in list_tokens(store)]
    audited = await store.audit()
    assert [token["id"] for token in listed] == [id]
    assert [(entry["actor"], entry["action"]) for entry in audited] == [("you", "token.revoke"), ("me", "token.create")]
    assert not any(secret in str([listed, audited]) for secret in (plaintext, HASHER.digest(plaintext.encode()).hex()))


@pytest.mark.parametrize("wrong", [{"roles": []}, {"roles": ["root"]}, {"name": " "}, {"credential": "short"}], ids=str)
async def test_a_wrong_token_is_refused(store: MemoryStore, clock: ManualClock, wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        await make(store, clock, **wrong)


async def test_an_unknown_token_cannot_be_revoked(store: MemoryStore, clock: ManualClock) -> None:
    with pytest.raises(NotFound):
        await revoke_token(store, clock, "t-none", actor="me")


def test_an_admin_may_everything_and_everybody_may_view() -> None:
    admin, viewer = Token("t", "a", frozenset({"admin"})), Token("t", "v", frozenset({"viewer"}))
    assert all(admin.may(role, "shop") and admin.may(role) for role in ROLES)
    assert [role for role in ROLES if viewer.may(role, "shop")] == ["viewer"]


def test_a_bound_token_acts_on_its_components_only() -> None:
    token = Token("t", "b", frozenset({"admin"}), frozenset({"shop"}))
    assert token.may("publisher", "shop")
    assert not token.may("publisher", "bank")
    assert not token.may("viewer", "bank")
    assert not token.may("admin")
    assert token.may("viewer")
