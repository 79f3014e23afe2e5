"""The publisher decides by what the nodes say; here they say what a test has written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gateway.admin.publishing import NotPublished, Publisher
from gateway.admin.state import State, load
from gateway.core.clock import ManualClock, SystemClock
from gateway.core.errors import PreconditionFailed, StoreUnavailable, Unavailable
from gateway.store.memory import MemoryStore
from gateway.store.store import APPLICATIONS, POLICIES, PROPOSALS, Value, Write

OLD = {"title": "", "revision": 1, "revisions": {"1": []}}
NEW = {"title": "", "revision": 2, "revisions": {"1": [], "2": []}}
WHO = {"actor": "somebody", "action": "apply", "subject": "Policy rules"}

Says = Callable[[str | None, int], Mapping[str, Any] | None]


class Scripted:
    """This node, which is `here`, and others: each `says` its heartbeat for the open proposal and the sequence; None
    for silence."""

    name, run = "here", "run-1"

    def __init__(self, store: MemoryStore, **says: Says) -> None:
        self.store = store
        self.state = State()
        self.says: dict[str, Says] = {"here": well, **says}

    async def follow(self) -> None:
        await asyncio.sleep(0)  # as a real store would
        self.state = await load(self.store)
        proposals = [key async for key, _ in self.store.scan(PROPOSALS)]
        for node, say in self.says.items():
            said = say(proposals[0] if proposals else None, self.state.sequence)
            await self.store.beat(node, said or {"serving": 0}, 60.0)


def well(proposal: str | None, sequence: int) -> Mapping[str, Any]:
    return {"serving": sequence, "error": "", "prepared": {proposal: "ok"} if proposal else {}}


def cannot_prepare(proposal: str | None, sequence: int) -> Mapping[str, Any]:
    return {"serving": sequence, "prepared": {proposal: "value erp_url is missing."} if proposal else {}}


def cannot_serve(proposal: str | None, sequence: int) -> Mapping[str, Any]:
    """It builds the proposal; when that is committed, its probe fails. The old state it serves well."""
    return {**well(proposal, sequence), "error": "not reachable" if sequence == 3 else ""}


def silent(_proposal: str | None, _sequence: int) -> None:
    return None


async def stored() -> MemoryStore:
    store = MemoryStore()
    await store.commit([Write(POLICIES, "rules", OLD), Write(APPLICATIONS, "partner", {"title": "kept"})])  # 1
    return store


async def published(node: Scripted, *writes: Write, patience: float = 30.0) -> Any:
    await node.follow()
    publisher = Publisher(node.store, node, SystemClock(), patience)
    return await publisher.publish(writes or [Write(POLICIES, "rules", NEW)], WHO)


async def value(store: MemoryStore, table: str = POLICIES, key: str = "rules") -> Value | None:
    record = await store.get(table, key)
    return record.value if record else None


async def no_proposal(store: MemoryStore) -> bool:
    return not [key async for key, _ in store.scan(PROPOSALS)]


async def test_a_change_is_live_when_every_node_serves_it() -> None:
    store = await stored()
    done = await published(Scripted(store, there=well))
    assert (done.sequence, done.live) == (3, ("here", "there"))
    assert await value(store) == NEW
    assert await no_proposal(store)
    assert [entry["action"] for entry in await store.audit()] == ["apply"]


async def test_a_node_that_cannot_build_it_is_named_and_nothing_changes() -> None:
    store = await stored()
    with pytest.raises(NotPublished, match=r"Node there cannot serve it: value erp_url is missing\. Nothing was"):
        await published(Scripted(store, there=cannot_prepare))
    assert await value(store) == OLD
    assert await no_proposal(store)
    (entry,) = await store.audit()
    assert (entry["outcome"], entry["actor"]) == ("refused", "somebody")


async def test_a_failing_probe_brings_every_old_value_back() -> None:
    store = await stored()
    writes = [
        Write(POLICIES, "rules", NEW),
        Write(POLICIES, "more", NEW),
        Write(APPLICATIONS, "partner", {"title": "changed"}),
        Write(APPLICATIONS, "visitor", {"title": "new"}),
    ]
    with pytest.raises(NotPublished, match="Node there could not serve it: not reachable The old state is back"):
        await published(Scripted(store, there=cannot_serve), *writes)
    assert await value(store) == OLD
    assert await value(store, POLICIES, "more") is None
    assert await value(store, APPLICATIONS, "partner") == {"title": "kept"}
    assert await value(store, APPLICATIONS, "visitor") is None
    assert [entry.get("outcome") for entry in await store.audit()] == ["rolled back", None]


async def test_a_newer_change_is_not_overwritten_by_bringing_back() -> None:
    store = await stored()
    newer = {**NEW, "revision": 7}

    def overtaken(proposal: str | None, sequence: int) -> Mapping[str, Any]:
        return {**well(proposal, sequence), "error": "not reachable" if sequence >= 3 else ""}

    class Racing(Scripted):
        async def follow(self) -> None:
            if await self.store.sequence() == 3:
                await self.store.commit([Write(POLICIES, "rules", newer)])
            await super().follow()

    with pytest.raises(NotPublished):
        await published(Racing(store, there=overtaken))
    assert await value(store) == newer
    assert (await store.audit())[0]["outcome"] == "overtaken"


async def test_a_silent_node_is_named_after_the_timeout() -> None:
    store = await stored()
    with pytest.raises(Unavailable, match=r"No answer from there within 0\.1 s"):
        await published(Scripted(store, there=silent), patience=0.1)
    assert await value(store) == OLD
    assert await no_proposal(store)


async def test_a_node_that_tells_of_steps_is_given_time_for_all_of_them() -> None:
    """It takes ten times as long as a silent one would be waited for."""
    patience = 0.2
    store = await stored()
    looks = 0

    class Stepping(Scripted):
        async def look(self) -> dict[str, Value]:
            nonlocal looks
            looks += 1
            nodes = await known()
            done = well(await self.proposal(), await store.sequence()) if looks > 40 else {"serving": 0}
            return {**nodes, "there": {**done, "steps": looks}}

        async def proposal(self) -> str | None:
            return next(iter([key async for key, _ in self.store.scan(PROPOSALS)]), None)

    known, node = store.nodes, Stepping(store)
    store.nodes = node.look  # type: ignore[method-assign]
    assert (await published(node, patience=patience)).live == ("here", "there")


async def test_a_node_whose_heartbeat_ends_is_no_longer_waited_for() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    await store.commit([Write(POLICIES, "rules", OLD)])

    class Dying(Scripted):
        async def follow(self) -> None:
            await super().follow()
            if self.state.sequence == 1:
                await self.store.beat("there", {"serving": 0}, 5.0)

    node = Dying(store)
    await node.follow()
    publishing = asyncio.create_task(published_with(node, clock))
    await store.wait(1, 30.0)
    clock.advance(6.0)
    assert (await publishing).live == ("here",)


async def published_with(node: Scripted, clock: ManualClock) -> Any:
    return await Publisher(node.store, node, clock).publish([Write(POLICIES, "rules", NEW)], WHO)


async def test_what_changed_since_the_caller_looked_is_not_overwritten() -> None:
    store = await stored()
    node = Scripted(store)
    await node.follow()
    publisher = Publisher(store, node, SystemClock())
    answers = await asyncio.gather(
        publisher.publish([Write(POLICIES, "rules", NEW)], WHO),
        publisher.publish([Write(POLICIES, "rules", {**NEW, "title": "mine"})], WHO),
        return_exceptions=True,
    )
    assert not isinstance(answers[0], BaseException)
    assert isinstance(answers[1], PreconditionFailed)
    assert await value(store) == NEW


async def test_a_commit_whose_answer_was_lost_counts_when_it_was_made() -> None:
    class Lossy(MemoryStore):
        async def commit(self, writes: Any, audit: Any = None) -> int:
            sequence = await super().commit(writes, audit)
            if any(write.table == PROPOSALS and write.value is None for write in writes):
                raise StoreUnavailable("the answer was lost")
            return sequence

    store = Lossy()
    await store.commit([Write(POLICIES, "rules", OLD)])
    done = await published(Scripted(store))
    assert done.live == ("here",)
    assert await value(store) == NEW
