"""Whose callers have a plan: what a change of the plan reaches."""

from __future__ import annotations

from collections.abc import Collection

from gateway.store.store import CREDENTIALS, KEYS, SUBSCRIPTIONS, Store


async def components_on(store: Store, plans: Collection[str]) -> dict[str, set[str]]:
    """The components, by plan, to which an application is subscribed with it, or for which a key or a credential has
    it. Reads the tables when there are plans, and else nothing."""
    found: dict[str, set[str]] = {name: set() for name in plans}
    if not found:
        return found
    apis: dict[str, set[str]] = {}
    async for _, record in store.scan(SUBSCRIPTIONS):
        value = record.value
        apis.setdefault(value["application"], set()).add(value["api"])
        if value.get("plan") in found:
            found[value["plan"]].add(value["api"])
    for table in (KEYS, CREDENTIALS):
        async for _, record in store.scan(table):
            value = record.value
            if value.get("plan") in found:
                found[value["plan"]] |= {value["api"]} if value["api"] else apis.get(value["application"], set())
    return found
