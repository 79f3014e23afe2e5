"""Writing applications, subscriptions and keys. Each function is one commit with its audit entry.

A key's plaintext is returned once, by the function that makes it; the store holds its keyed hash. A key's id begins
that hash, so it can be shown and logged. Records:
APPLICATIONS name → title, owner, created · SUBSCRIPTIONS `application/api` → application, api, plan, created ·
KEYS id → digest (hex), application, api, plan (None: the subscription's), starts, ends, revoked, created, replaces.

A key that is made while its application is deleted opens nothing: the directory asks for the application, too.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Final

from gateway.consumers.records import key_id
from gateway.core.clock import Clock
from gateway.core.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from gateway.core.secrets import KeyHasher, new_credential
from gateway.store.store import APPLICATIONS, CREDENTIALS, KEYS, SUBSCRIPTIONS, Record, Store, Value, Write

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")
DAY: Final = 86_400.0


def _named(what: str, name: str) -> str:
    if _NAME.match(name) is None:
        raise InvalidInput(
            f"{name!r} is no name of an {what}: a small letter, then up to 62 of a-z, 0-9, _ and -.", target=what
        )
    return name


def entry(actor: str, action: str, subject: str, **more: Any) -> Value:
    """An audit entry: who did what to which record; never a credential."""
    return {"actor": actor, "action": action, "subject": subject, **more}


async def create_application(
    store: Store, clock: Clock, name: str, *, title: str = "", owner: str = "", actor: str
) -> Value:
    """The new record. Conflict when there is one of that name."""
    value = {"title": title, "owner": owner, "created": clock.time()}
    if await store.get(APPLICATIONS, _named("application", name)) is not None:
        raise Conflict(f"There is an application {name} already.")
    await store.commit([Write(APPLICATIONS, name, value, expect=0)], entry(actor, "application.create", name))
    return value


async def delete_application(store: Store, name: str, *, actor: str) -> None:
    """The application with its subscriptions, keys and other credentials. NotFound when there is none."""
    record = await known_application(store, name)
    writes = [Write(APPLICATIONS, name, None, expect=record.version)]
    for table in (SUBSCRIPTIONS, KEYS, CREDENTIALS):
        async for key, found in store.scan(table):
            if found.value["application"] == name:
                writes.append(Write(table, key, None, expect=found.version))
    await store.commit(writes, entry(actor, "application.delete", name))


async def known_application(store: Store, name: str) -> Record:
    record = await store.get(APPLICATIONS, name)
    if record is None:
        raise NotFound(f"There is no application {name}. Create it first: penstock apps create {name}")
    return record


async def subscribe(
    store: Store, clock: Clock, *, application: str, api: str, plan: str | None = None, actor: str
) -> Value:
    """Subscribes an application to an API, or moves its subscription (and so its keys) to another plan."""
    await known_application(store, application)
    key = f"{application}/{_named('api', api)}"
    old = await store.get(SUBSCRIPTIONS, key)
    created = clock.time() if old is None else old.value["created"]
    value = {"application": application, "api": api, "plan": plan, "created": created}
    write = Write(SUBSCRIPTIONS, key, value, expect=old.version if old else 0)
    await store.commit([write], entry(actor, "subscription.write", key, plan=plan))
    return value


async def unsubscribe(store: Store, *, application: str, api: str, actor: str) -> None:
    """Ends a subscription; its keys open nothing until there is one again. NotFound when there is none."""
    key = f"{application}/{api}"
    record = await store.get(SUBSCRIPTIONS, key)
    if record is None:
        raise NotFound(f"{application} is not subscribed to {api}.")
    await store.commit(
        [Write(SUBSCRIPTIONS, key, None, expect=record.version)], entry(actor, "subscription.delete", key)
    )


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


async def subscription_writes(store: Store, clock: Clock, application: str, api: str, plan: str | None) -> list[Write]:
    key = f"{application}/{_named('api', api)}"
    record = await store.get(SUBSCRIPTIONS, key)
    if record is None:
        value = {"application": application, "api": api, "plan": plan, "created": clock.time()}
        return [Write(SUBSCRIPTIONS, key, value, expect=0)]
    there = record.value.get("plan")
    if plan is not None and plan != there:
        raise Conflict(
            f"{application} is subscribed to {api} with {f'plan {there}' if there else 'no plan'}, "
            f"not with plan {plan}. Change the subscription, which moves its keys, or leave the plan out.",
            target="plan",
        )
    return []


def check_period(starts: float | None, ends: float | None) -> None:
    if starts is not None and ends is not None and ends <= starts:
        raise InvalidInput("A key must end after it starts.", target="ends")


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


async def revoke_key(store: Store, clock: Clock, id: str, *, actor: str) -> None:
    """At once, on every node that hears of it. A key that is revoked stays as it is. NotFound for an unknown one."""
    record = await _key(store, id)
    if record.value["revoked"] is None:
        value = {**record.value, "revoked": clock.time()}
        await store.commit([Write(KEYS, id, value, expect=record.version)], entry(actor, "key.revoke", id))


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


async def list_keys(store: Store, application: str | None = None, api: str | None = None) -> AsyncIterator[Value]:
    """Keys as they may be shown: each with its `id`, without its digest."""
    async for id, record in store.scan(KEYS):
        value = record.value
        if application in (None, value["application"]) and api in (None, value["api"]):
            yield {"id": id, **{name: found for name, found in value.items() if name != "digest"}}
