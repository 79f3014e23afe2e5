"""Brings a store to this release's form: step by step, under a lock, by the first node that finds it in an older one.

`{penstock}:migrating` is who does it, with a time to live that is prolonged meanwhile: one that dies leaves the rest to
the next, who begins again with the step that was not noted as done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.errors import StoreUnavailable
from gateway.store.client import Client, Script
from gateway.store.schema import Schema, Step, StoreInUse, fits

log: Final = logging.getLogger("gateway.store")
HELD: Final = 30.0  # seconds until the lock of one that died is another's
POLL: Final = 0.2
PATIENCE: Final = 8.0  # seconds: longer than a heartbeat of a node that was killed lasts
SILENT: Final = 1  # the form of a node whose heartbeat names none

# KEYS: lock, schema, oldest. ARGV: who, form, oldest. Notes a step as done, while the lock is held.
_NOTE: Final = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[3])
return 1
""")
_PROLONG: Final = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")
_UNLOCK: Final = Script("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")


@dataclass(frozen=True)
class Migrating:
    """What a step works on. `key` gives the full name of a key of the control plane."""

    client: Client
    key: Callable[[str], str]
    nodes: Callable[[], Awaitable[Mapping[str, Mapping[str, Any]]]]


async def forms(work: Migrating) -> tuple[int, int] | None:
    """The form of the store, and the oldest whose releases may use it; None for an empty store."""
    found, oldest = await work.client.execute("MGET", work.key("schema"), work.key("schema:oldest"))
    return None if found is None else (int(found), int(oldest or found))


async def migrate(work: Migrating, schema: Schema, patience: float = PATIENCE) -> None:
    """Returns once the store is in a form that this release can use. StoreUnfit when it cannot be; StoreUnavailable
    while another node is at it for longer than `patience` seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while True:
        found = await forms(work)
        if found is None:
            return
        fits(schema, *found)
        if found[0] >= schema.form:
            return
        async with _locked(work) as who:
            if who is not None:
                await _go(work, schema, found[0], who, end)
                continue
        if loop.time() > end:
            raise StoreUnavailable("The store is being brought to this release's form by another node. Trying again.")
        await asyncio.sleep(POLL)


async def _go(work: Migrating, schema: Schema, found: int, who: str, end: float) -> None:
    now = await forms(work)  # another may have been faster before the lock was ours
    for step in schema.since(max(found, now[0] if now else found)):
        await _older_nodes_have_ended(work, step, end)
        log.info("the store goes to form %d: %s", step.to, step.title)
        await step.run(work)
        oldest = step.to if step.apart else step.to - 1
        keys = [work.key(name) for name in ("migrating", "schema", "schema:oldest")]
        if not await work.client.run(_NOTE, keys, [who, step.to, oldest]):
            raise StoreUnavailable("Another node took over to bring the store to this release's form. Trying again.")
        log.info("the store is in form %d", step.to)


async def _older_nodes_have_ended(work: Migrating, step: Step, end: float) -> None:
    """Waits a little: the heartbeat of a node that was killed lasts some seconds. StoreInUse."""
    least = step.to if step.apart else step.to - 1
    while True:
        told = await work.nodes()
        older = sorted(name for name, state in told.items() if state and int(state.get("schema", SILENT)) < least)
        if not older:
            return
        if asyncio.get_running_loop().time() > end:
            raise StoreInUse(
                f"The store has to go to form {step.to} ({step.title}), after which {', '.join(older)} could not go "
                "on. End those nodes, or upgrade them to the release before this one, then start this one again."
            )
        await asyncio.sleep(POLL)


@asynccontextmanager
async def _locked(work: Migrating) -> AsyncIterator[str | None]:
    """A name while the lock is ours, None when it is another's."""
    who, key = uuid.uuid4().hex, work.key("migrating")
    if not await work.client.execute("SET", key, who, "NX", "PX", round(HELD * 1000)):
        yield None
        return
    holding = asyncio.create_task(_hold(work.client, key, who))
    try:
        yield who
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        with contextlib.suppress(StoreUnavailable):
            await work.client.run(_UNLOCK, [key], [who])


async def _hold(client: Client, key: str, who: str) -> None:
    while True:
        await asyncio.sleep(HELD / 3)
        with contextlib.suppress(StoreUnavailable):
            await client.run(_PROLONG, [key], [who, round(HELD * 1000)])
