"""Changes of what this gateway serves, one at a time: compiled and rehearsed first, then on every node or on none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

from gateway.admin.changes import ChangeSet, Item
from gateway.admin.documents import refused
from gateway.admin.plan_users import components_on
from gateway.admin.publishing import Node, Published, Publisher
from gateway.admin.state import State, expectations
from gateway.admin.touched import changed_plans, touched
from gateway.admin.trial import trial
from gateway.core.errors import PreconditionFailed
from gateway.core.findings import DocumentsRefused, Finding
from gateway.snapshot.spec import Snapshot
from gateway.store.store import ACTIVE, PLANS, POLICIES, TOPICS, Store, Write

Places = Mapping[str, Mapping[str, str]]  # of bundles, by component@version
Rehearse = Callable[[Snapshot, Places], Sequence[Finding]]
Versions = Mapping[tuple[str, str], int]  # of records, by table and key; 0: there is none
SINGULAR: Final = {ACTIVE: "version", POLICIES: "policy", PLANS: "plan", TOPICS: "topic"}


class LocalNode(Node, Protocol):
    @property
    def lost(self) -> str:
        """Why a store that answers is not believed; "" when it is."""
        ...

    def compile(self, state: State) -> Snapshot: ...

    def heartbeat(self) -> dict[str, Any]: ...

    async def settled(self) -> None: ...


@dataclass
class Writing:
    """Of one control process. `turn` is held from `before` until the change is published."""

    node: LocalNode
    store: Store
    publisher: Publisher
    rehearse: Rehearse
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def before(self) -> State:
        """What there is now: what is read here is what the commit expects to find."""
        await self.node.follow()
        return self.node.state.candidate(())

    async def compiled(self, before: State, writes: Sequence[Write]) -> tuple[Snapshot | None, Snapshot]:
        """What is served, as far as it compiles, and what would be after the writes. Refused with every finding, those
        of building too."""
        try:
            return await asyncio.to_thread(self._rehearsed, before, writes)
        except DocumentsRefused as error:
            raise refused(error.findings) from None

    def _rehearsed(self, before: State, writes: Sequence[Write]) -> tuple[Snapshot | None, Snapshot]:
        after = before.candidate(writes)
        snapshot = self.node.compile(after)
        now = self._now(before)
        changed = snapshot if now is None else _changed(now, snapshot)
        names = {each.name for each in changed.versions}
        bundles = after.source().bundles if names else ()
        places = {bundle.name: bundle.places for bundle in bundles if bundle.name in names}
        if findings := self.rehearse(changed, places):
            raise DocumentsRefused(findings)
        return now, snapshot

    def _now(self, before: State) -> Snapshot | None:
        """A version that can no longer be built stands in nobody's way: None."""
        try:
            return self.node.compile(before)
        except DocumentsRefused:
            return None

    async def touched(self, now: Snapshot | None, snapshot: Snapshot) -> list[dict[str, Any]]:
        """Endpoints that the change reaches beside those of what is published."""
        if now is None:
            return []
        plans = changed_plans(now, snapshot)
        return await asyncio.to_thread(touched, now, snapshot, await components_on(self.store, plans))

    async def publish(
        self, before: State, writes: list[Write], audit: Mapping[str, Any], *, tells_touched: bool = False
    ) -> dict[str, Any]:
        """The commit's sequence and the nodes that serve it; of a trial, none. Refused. `tells_touched`: with the
        endpoints that it touches."""
        now, snapshot = await self.compiled(before, writes)
        reached = await self.touched(now, snapshot) if tells_touched or trial() is not None else []
        if trial() is not None:
            changes = ChangeSet(items=[_item(each) for each in writes if each.table in SINGULAR])
            told(changes, snapshot, reached)
            return {"sequence": 0, "live": []}
        done = await self.publisher.publish(expectations(before, writes), audit)
        more = {"touched": reached} if tells_touched else {}
        return {"sequence": done.sequence, "live": list(done.live), **more}


def check_versions(state: State, expect: Versions) -> None:
    """PreconditionFailed when a record is not at the version that the client read."""
    for (table, key), version in expect.items():
        record = state.rows(table).get(key)
        there = record.version if record else 0
        if there != version:
            now = f"its ETag is now {there}" if there else "it is not there"
            raise PreconditionFailed(f"{key} is not what If-Match says: {now}. Read it again, then write.")


def told(
    changes: ChangeSet, snapshot: Snapshot, reached: list[dict[str, Any]], done: Published | None = None
) -> dict[str, Any]:
    """The change as it is answered; a trial answers it too. `reached`: see `Writing.touched`."""
    found = {
        "items": [asdict(item) for item in changes.items],
        "breaking": [str(finding) for finding in changes.breaking],
        "touched": reached,
        "sequence": None if done is None else done.sequence,
        "snapshot": snapshot.hash,
        "live": [] if done is None else list(done.live),
    }
    if (now := trial()) is not None:
        now.told = found
    return found


def _changed(now: Snapshot, snapshot: Snapshot) -> Snapshot:
    """What differs from what was there."""
    known = {each.name: each for each in now.versions}
    versions = tuple(each for each in snapshot.versions if known.get(each.name) != each)
    plans = {name: steps for name, steps in snapshot.plans.items() if now.plans.get(name) != steps}
    return snapshot.model_copy(update={"versions": versions, "plans": plans})


def _item(write: Write) -> Item:
    return Item(SINGULAR[write.table].capitalize(), write.key, "delete" if write.value is None else "update")
