"""Writing keys. Each function is one commit with its audit entry.

A key's plaintext is returned once, by the function that makes it; the store holds its keyed hash. A key's id begins
that hash, so it can be shown and logged. Records:
KEYS id → digest (hex), application, api, plan (None: the subscription's), starts, ends, revoked, created, replaces.

A key that is made while its application is deleted opens nothing: the directory asks for the application, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from gateway.consumers.applications import entry, known_application
from gateway.consumers.records import key_id
from gateway.consumers.subscriptions import subscription_writes
from gateway.core.clock import Clock
from gateway.core.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from gateway.core.secrets import KeyHasher, new_credential
from gateway.store.store import KEYS, Record, Store, Value, Write

DAY: Final = 86_400.0


async def create_key(
    store: Store,
    hasher: KeyHasher,
    clock: Clock,
    *,
    application: str,
    api: str,
    plan: str | None = None,
    starts: float | None = None,
    ends: float | None = None,
    actor: str,
) -> tuple[str, str]:
    """(id, plaintext); the plaintext cannot be had again. The subscription is made when it is missing, with `plan`;
    an existing one must have that plan, or `plan` is None. Times are seconds since 1970."""
    check_period(starts, ends)
    await known_application(store, application)
    value = {"application": application, "api": api, "plan": None, "starts": starts, "ends": ends}
    id, plaintext, write = _new_key(hasher, clock, value)
    audit = entry(actor, "key.create", id, application=application, api=api, plan=plan)
    while True:
        try:
            await store.commit([*await subscription_writes(store, clock, application, api, plan), write], audit)
        except PreconditionFailed:  # somebody made the subscription at the same moment
            continue
        return id, plaintext


def check_period(starts: float | None, ends: float | None) -> None:
    if starts is not None and ends is not None and ends <= starts:
        raise InvalidInput("A key must end after it starts.", target="ends")


def ends_within(value: Value, now: float, until: float) -> bool:
    """Whether a credential that holds at `now`, or will, has ended at `until`."""
    ends = value["ends"]
    return value["revoked"] is None and ends is not None and now < ends <= until


def _new_key(hasher: KeyHasher, clock: Clock, value: dict[str, Any]) -> tuple[str, str, Write]:
    plaintext = new_credential()
    digest = hasher.digest(plaintext.encode())
    id = key_id(digest)
    record = {"digest": digest.hex(), **value, "revoked": None, "created": clock.time()}
    return id, plaintext, Write(KEYS, id, record, expect=0)


async def _key(store: Store, id: str) -> Record:
    record = await store.get(KEYS, id)
    if record is None:
        raise NotFound(f"There is no key {id}.")
    return record


async def revoke_key(store: Store, clock: Clock, id: str, *, expect: int | None = None, actor: str) -> None:
    """At once, on every node that hears of it. A key that is revoked stays as it is. NotFound for an unknown one;
    `expect` is the version that its record must have (PreconditionFailed)."""
    record = await _key(store, id)
    if record.value["revoked"] is None:
        value = {**record.value, "revoked": clock.time()}
        write = Write(KEYS, id, value, expect=record.version if expect is None else expect)
        await store.commit([write], entry(actor, "key.revoke", id, api=value["api"]))


async def rotate_key(
    store: Store,
    hasher: KeyHasher,
    clock: Clock,
    id: str,
    *,
    overlap: float = DAY,
    ends: float | None = None,
    actor: str,
) -> tuple[str, str]:
    """(id, plaintext) of a successor. The old key goes on for `overlap` seconds, or until its own end if that is
    sooner (CASES C42); the new one ends at `ends`. Conflict for a key that is revoked or has ended."""
    if overlap < 0:
        raise InvalidInput("The overlap is a number of seconds, 0 or more.", target="overlap")
    record, now = await _key(store, id), clock.time()
    old = record.value
    if old["revoked"] is not None or (old["ends"] is not None and old["ends"] <= now):
        raise Conflict(f"Key {id} is revoked or has ended. Create another one instead.")
    check_period(now, ends)
    last = now + overlap if old["ends"] is None else min(old["ends"], now + overlap)
    value = {**{name: old[name] for name in ("application", "api", "plan")}, "starts": None, "ends": ends}
    new, plaintext, write = _new_key(hasher, clock, {**value, "replaces": id})
    audit = entry(actor, "key.rotate", id, successor=new, until=last)
    await store.commit([Write(KEYS, id, {**old, "ends": last}, expect=record.version), write], audit)
    return new, plaintext


async def list_keys(
    store: Store, application: str | None = None, api: str | None = None, ending: tuple[float, float] | None = None
) -> AsyncIterator[Value]:
    """Keys as they may be shown: each with its `id`, without its digest. `ending`: those that hold at the first of two
    times and no more at the second."""
    async for id, record in store.scan(KEYS):
        value = record.value
        wanted = application in (None, value["application"]) and api in (None, value["api"])
        if wanted and (ending is None or ends_within(value, *ending)):
            yield {"id": id, **{name: found for name, found in value.items() if name != "digest"}}
