"""Writing subscriptions: the tie of an application to an API, with its plan and, perhaps, the version it is pinned to.

Records: SUBSCRIPTIONS `application/api` → application, api, plan, version, created. Keys and credentials follow theirs:
a change of its plan is one write, whatever their number.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

from gateway.consumers.applications import entry, known_application, named
from gateway.core.clock import Clock
from gateway.core.errors import Conflict, NotFound
from gateway.store.store import SUBSCRIPTIONS, Record, Store, Value, Write

OPEN: Final = ("published", "draft")  # the statuses of a version that takes consumers


def refusal(api: str, version: str | None, statuses: Iterable[tuple[str, str]]) -> str | None:
    """Why nobody new may use an API, or the version of it that is named; None if they may. `statuses`: of each version.
    What is deprecated goes on for who uses it."""
    asked = [(each, status) for each, status in statuses if version in (None, each)]
    if not asked or any(status in OPEN for _, status in asked):
        return None
    told = ", ".join(f"{each} is {status}" for each, status in sorted(asked))
    return f"{api} takes no new consumers: {told}."


async def subscribe(
    store: Store,
    clock: Clock,
    *,
    application: str,
    api: str,
    plan: str | None = None,
    version: str | None = None,
    actor: str,
) -> Value:
    """Subscribes an application to an API, or makes its subscription (and so its keys) be like that."""
    await known_application(store, application)
    key = f"{application}/{named('api', api)}"
    old = await store.get(SUBSCRIPTIONS, key)
    created = clock.time() if old is None else old.value["created"]
    value = {"application": application, "api": api, "plan": plan, "version": version, "created": created}
    await _write(store, key, value, old.version if old else 0, actor)
    return value


async def change_subscription(
    store: Store, *, application: str, api: str, changes: Mapping[str, Any], expect: int | None, actor: str
) -> Record:
    """Another plan or version, None for none; at once for all its keys. NotFound, PreconditionFailed."""
    key, record = f"{application}/{api}", await known_subscription(store, application, api)
    value = {"version": None, **record.value, **changes}
    version = await _write(store, key, value, record.version if expect is None else expect, actor)
    return Record(value, version)


async def _write(store: Store, key: str, value: Value, expect: int, actor: str) -> int:
    audit = entry(actor, "subscription.write", key, plan=value["plan"], version=value["version"])
    return await store.commit([Write(SUBSCRIPTIONS, key, value, expect=expect)], audit)


async def unsubscribe(store: Store, *, application: str, api: str, expect: int | None = None, actor: str) -> None:
    """Ends a subscription; its keys open nothing until there is one again. NotFound when there is none."""
    key, record = f"{application}/{api}", await known_subscription(store, application, api)
    write = Write(SUBSCRIPTIONS, key, None, expect=record.version if expect is None else expect)
    await store.commit([write], entry(actor, "subscription.delete", key))


async def known_subscription(store: Store, application: str, api: str) -> Record:
    record = await store.get(SUBSCRIPTIONS, f"{application}/{api}")
    if record is None:
        raise NotFound(f"{application} is not subscribed to {api}.")
    return record


async def list_subscriptions(
    store: Store, application: str | None = None, api: str | None = None, plan: str | None = None
) -> AsyncIterator[Value]:
    async for _, record in store.scan(SUBSCRIPTIONS):
        value = {"version": None, **record.value}
        wanted = ((application, "application"), (api, "api"), (plan, "plan"))
        if all(each in (None, value[name]) for each, name in wanted):
            yield value


async def subscription_writes(store: Store, clock: Clock, application: str, api: str, plan: str | None) -> list[Write]:
    """What makes the subscription that a new credential needs, if it is missing; an existing one must have that plan,
    or `plan` is None (Conflict)."""
    key = f"{application}/{named('api', api)}"
    record = await store.get(SUBSCRIPTIONS, key)
    if record is None:
        value = {"application": application, "api": api, "plan": plan, "version": None, "created": clock.time()}
        return [Write(SUBSCRIPTIONS, key, value, expect=0)]
    there = record.value.get("plan")
    if plan is not None and plan != there:
        raise Conflict(
            f"{application} is subscribed to {api} with {f'plan {there}' if there else 'no plan'}, "
            f"not with plan {plan}. Change the subscription, which moves its keys, or leave the plan out.",
            target="plan",
        )
    return []
