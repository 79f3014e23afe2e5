"""Records of a newer release: fields that are added are passed over; one that narrows, and is not known, closes."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.consumers.directory import Directory
from gateway.consumers.records import key_id
from gateway.consumers.tokens import create_token, find_token
from gateway.core.clock import ManualClock
from gateway.core.secrets import KeyHasher, Secret
from gateway.store.memory import MemoryStore
from gateway.store.store import APPLICATIONS, CREDENTIALS, KEYS, SUBSCRIPTIONS, TOKENS, Write

DIGEST = bytes(range(32))
RECORDS: dict[str, tuple[str, dict[str, Any]]] = {
    APPLICATIONS: ("partner", {"title": ""}),
    SUBSCRIPTIONS: ("partner/shop", {"application": "partner", "api": "shop", "plan": None}),
    KEYS: (key_id(DIGEST), {"digest": DIGEST.hex(), "application": "partner", "api": "shop"}),
    CREDENTIALS: ("c-1", {"type": "basic", "name": "ann", "application": "partner", "api": "shop", "secrets": []}),
}
LATER = {"networks": ["10.0.0.0/8"]}
CRITICAL = {**LATER, "critical": ["networks"]}
CLOSED = {
    APPLICATIONS: ("suspended", "suspended"),
    SUBSCRIPTIONS: ("no subscription", "no subscription"),
    KEYS: ("revoked", None),
    CREDENTIALS: (None, "revoked"),
}


def refusals(more: dict[str, dict[str, Any]]) -> tuple[str | None, str | None]:
    """Of the key and of the credential, after a dump and a load, as a restart without the store would do."""
    directory = Directory()
    for table, (id, value) in RECORDS.items():
        directory.put(table, id, value | more.get(table, {}))
    directory = Directory.load(directory.dump())
    key, credential = directory.find(DIGEST), directory.credential("basic", "ann")
    assert key is not None
    assert credential is not None
    return key.refusal(1.0), credential.refusal("shop", 1.0)


def test_fields_that_are_not_known_are_passed_over() -> None:
    assert refusals(dict.fromkeys(RECORDS, LATER)) == (None, None)


@pytest.mark.parametrize("table", RECORDS)
def test_a_record_with_a_critical_field_that_is_not_known_opens_nothing(table: str) -> None:
    assert refusals({table: CRITICAL}) == CLOSED[table]


async def test_neither_does_an_admin_token() -> None:
    store, hasher, clock = MemoryStore(), KeyHasher(Secret("a secret of the cluster")), ManualClock()
    id, token = await create_token(store, hasher, clock, name="ci", roles=["viewer"], actor="test")
    record = await store.get(TOKENS, id)
    assert record is not None
    await store.commit([Write(TOKENS, id, {**record.value, **LATER})])
    assert await find_token(store, hasher, clock, token) is not None
    await store.commit([Write(TOKENS, id, {**record.value, **CRITICAL})])
    assert await find_token(store, hasher, clock, token) is None
