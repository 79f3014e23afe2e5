"""Writing applications. Each function is one commit with its audit entry.

Records: APPLICATIONS name → title, owner, contacts, attributes, status (`active`, `suspended`), created. One that is
suspended keeps everything that is its own, and nothing of it opens anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.consumers.records import SUSPENDED
from gateway.core.clock import Clock
from gateway.core.errors import Conflict, InvalidInput, NotFound
from gateway.store.store import APPLICATIONS, CREDENTIALS, KEYS, SUBSCRIPTIONS, Record, Store, Value, Write

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")
_ATTRIBUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}\Z")
ACTIVE: Final = "active"
STATUSES: Final = (ACTIVE, SUSPENDED)
DEFAULTS: Final[Value] = {"title": "", "owner": "", "contacts": [], "attributes": {}, "status": ACTIVE}


def named(what: str, name: str) -> str:
    if _NAME.match(name) is None:
        raise InvalidInput(
            f"{name!r} is no name of an {what}: a small letter, then up to 62 of a-z, 0-9, _ and -.", target=what
        )
    return name


def entry(actor: str, action: str, subject: str, **more: Any) -> Value:
    """An audit entry: who did what to which record; never a credential."""
    return {"actor": actor, "action": action, "subject": subject, **more}


def checked(about: Mapping[str, Any]) -> dict[str, Any]:
    """What an application's record says of it. InvalidInput."""
    found = {**DEFAULTS, **{name: value for name, value in about.items() if name in DEFAULTS}}
    if found["status"] not in STATUSES:
        raise InvalidInput(f"A status is {' or '.join(STATUSES)}.", target="status")
    if not all(isinstance(each, str) and each.strip() for each in found["contacts"]):
        raise InvalidInput("`contacts` is a list of addresses, each a text.", target="contacts")
    for name, value in found["attributes"].items():
        if _ATTRIBUTE.match(name) is None or not isinstance(value, str):
            raise InvalidInput(
                f"`attributes` has texts by name; {name[:63]!r} is no name, or has no text.", target="attributes"
            )
    return found


async def create_application(store: Store, clock: Clock, name: str, *, actor: str, **about: Any) -> Value:
    """The new record. Conflict when there is one of that name."""
    value = {**checked(about), "created": clock.time()}
    if await store.get(APPLICATIONS, named("application", name)) is not None:
        raise Conflict(f"There is an application {name} already.")
    await store.commit([Write(APPLICATIONS, name, value, expect=0)], entry(actor, "application.create", name))
    return value


async def put_application(
    store: Store, clock: Clock, name: str, about: Mapping[str, Any], *, expect: int | None, actor: str
) -> Record:
    """The whole of it; what is left out gets its default. `expect` is the version that must be there, 0 for none, None
    for any (PreconditionFailed)."""
    record = await store.get(APPLICATIONS, named("application", name))
    created = clock.time() if record is None else record.value["created"]
    value = {**checked(about), "created": created}
    return await _write(store, name, value, record, expect, actor)


async def change_application(
    store: Store, name: str, changes: Mapping[str, Any], *, expect: int | None, actor: str
) -> Record:
    """What is named, merged (RFC 7396): an attribute that is None goes. NotFound, PreconditionFailed."""
    record = await known_application(store, name)
    old = {**DEFAULTS, **record.value}
    attributes = {**old["attributes"], **changes.get("attributes", {})}
    kept = {key: value for key, value in attributes.items() if value is not None}
    value = {**checked({**old, **changes, "attributes": kept}), "created": old["created"]}
    return await _write(store, name, value, record, expect, actor)


async def _write(
    store: Store, name: str, value: Value, record: Record | None, expect: int | None, actor: str
) -> Record:
    there = record.version if record else 0
    old = None if record is None else record.value.get("status", ACTIVE)
    action = "create" if record is None else "update"
    if old != value["status"] and record is not None:
        action = "suspend" if value["status"] == SUSPENDED else "activate"
    wanted = there if expect is None else expect
    write = Write(APPLICATIONS, name, value, expect=wanted)
    return Record(value, await store.commit([write], entry(actor, f"application.{action}", name)))


async def delete_application(store: Store, name: str, *, expect: int | None = None, actor: str) -> None:
    """The application with its subscriptions, keys and other credentials. NotFound when there is none."""
    record = await known_application(store, name)
    writes = [Write(APPLICATIONS, name, None, expect=record.version if expect is None else expect)]
    for table in (SUBSCRIPTIONS, KEYS, CREDENTIALS):
        async for key, found in store.scan(table):
            if found.value["application"] == name:
                writes.append(Write(table, key, None, expect=found.version))
    await store.commit(writes, entry(actor, "application.delete", name, ended=len(writes) - 1))


async def known_application(store: Store, name: str) -> Record:
    record = await store.get(APPLICATIONS, name)
    if record is None:
        raise NotFound(f"There is no application {name}. Create it first: penstock apps create {name}")
    return record
