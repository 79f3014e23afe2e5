"""Documents applied: all of them or none, with what would be served checked before, and told after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.admin.application_documents import consumers_of
from gateway.admin.changes import ChangeSet, Resolver, change_set
from gateway.admin.documents import Breaking, read_documents, refused
from gateway.admin.guarding import guarded
from gateway.admin.plan_users import components_on
from gateway.admin.publishing import Published
from gateway.admin.retention import bounded_policies, first_writes
from gateway.admin.revisions import Revisions
from gateway.admin.state import State, expectations
from gateway.admin.trial import trial
from gateway.admin.writing import SINGULAR, Versions, Writing, check_versions, told
from gateway.core.clock import Clock
from gateway.core.errors import InvalidInput, PreconditionFailed, StoreUnavailable
from gateway.core.findings import DocumentsRefused
from gateway.core.kinds import Kinds
from gateway.manifest.loading import Loaded
from gateway.snapshot.named_operations import check_named_operations
from gateway.snapshot.other_versions import check_other_versions, check_plan_versions, newly_named
from gateway.snapshot.spec import CanarySpec, Snapshot

log: Final = logging.getLogger("gateway.control")
TRIES: Final = 5  # of a change that nobody pinned to a version, when other nodes were faster


@dataclass(frozen=True, slots=True)
class Terms:
    """Of one apply. `may(kind, name)` raises for what the actor may not touch; `expect` has the versions that records
    must have (PreconditionFailed)."""

    activate: bool = True
    force: bool = False
    canary: CanarySpec | None = None
    guard: Mapping[str, Any] | None = None
    may: Callable[[str, str], None] | None = None
    expect: Versions = field(default_factory=dict)


@dataclass
class Applying:
    """Of one control process. Raises Refused with every finding, Breaking, PreconditionFailed."""

    writing: Writing
    revisions: Revisions
    resolver: Resolver
    kinds: Kinds
    clock: Clock

    async def apply_body(self, body: bytes, media_type: str, label: str, actor: str, terms: Terms) -> dict[str, Any]:
        """Documents as YAML or JSON text, several in one; or packed, each key with its place."""
        loaded = await asyncio.to_thread(read_documents, body, media_type, label)
        return await self.apply(loaded, actor, terms)

    async def put(
        self,
        record: tuple[str, str],
        kind: str,
        body: bytes,
        media_type: str,
        actor: str,
        *,
        expect: int | None = None,
    ) -> dict[str, Any]:
        """One document under its own name. `record`: its table and that name; `expect` is the version that must be
        there, 0 for none."""
        loaded = await asyncio.to_thread(read_documents, body, media_type, "body")
        name = record[1]
        if [(each.kind, each.name) for each in loaded] != [(kind, name)]:
            there = ", ".join(f"{each.kind} {each.name}" for each in loaded)
            raise InvalidInput(f"Send one document, {kind} {name}; this is {there}.", target="name")
        return await self.apply(loaded, actor, Terms(expect={} if expect is None else {record: expect}))

    async def apply(self, loaded: Sequence[Loaded], actor: str, terms: Terms) -> dict[str, Any]:
        for each in loaded:
            if terms.may is not None:
                terms.may(each.kind, each.name)
        async with self.writing.turn:
            for last in range(TRIES):
                try:
                    return await self._applied(loaded, actor, terms)
                except PreconditionFailed:
                    if terms.expect or last == TRIES - 1:
                        raise
        raise AssertionError

    async def _applied(self, loaded: Sequence[Loaded], actor: str, terms: Terms) -> dict[str, Any]:
        before = await self.writing.before()
        check_versions(before, terms.expect)
        changes = await self._changes(loaded, actor, terms, before)
        now, snapshot = await self.writing.compiled(before, changes.writes)
        await self._check_beside(now, snapshot)
        if changes.breaking and not terms.force:
            found = refused(changes.breaking)
            raise Breaking(f"{found.detail} Publish another version, or use --force.", details=found.details)
        reached = await self.writing.touched(now, snapshot)
        if trial() is not None or changes.empty:
            return told(changes, snapshot, reached)
        done = await self._published(before, changes, actor)
        await self.writing.node.settled()
        await self._forget([item.name for item in changes.items if item.kind == "ApiComponent"])
        return told(changes, snapshot, reached, done)

    async def _changes(self, loaded: Sequence[Loaded], actor: str, terms: Terms, before: State) -> ChangeSet:
        try:
            changes = await change_set(
                loaded,
                before,
                self.resolver,
                now=self.clock.time(),
                actor=actor,
                activate=terms.activate,
                canary=terms.canary,
                recorded=await consumers_of(loaded, self.writing.store),
            )
        except DocumentsRefused as error:
            raise refused(error.findings) from None
        if terms.guard is not None:
            changes.writes = guarded(changes.writes, terms.guard, terms.canary is not None)
        return changes

    async def _check_beside(self, now: Snapshot | None, snapshot: Snapshot) -> None:
        """Refused for what does not fit to the other versions, or names an operation that is none."""
        wrong = check_other_versions(now, snapshot, self.kinds)
        of_plans = newly_named(now, snapshot, self.kinds)
        wrong += check_plan_versions(of_plans, snapshot, await components_on(self.writing.store, of_plans))
        wrong += await asyncio.to_thread(check_named_operations, now, snapshot, self.kinds)
        if wrong:
            raise refused(wrong)

    async def _published(self, before: State, changes: ChangeSet, actor: str) -> Published:
        subject = ", ".join(f"{item.kind} {item.name}" for item in changes.items if item.action != "unchanged")
        audit = {"actor": actor, "action": "apply", "subject": subject, "forced": bool(changes.breaking)}
        gated = any(write.table in SINGULAR for write in changes.writes)
        store = self.writing.store
        writes = await bounded_policies(store, before, await first_writes(store, changes.writes))
        return await self.writing.publisher.publish(expectations(before, writes), audit, gated=gated)

    async def _forget(self, names: Sequence[str]) -> None:
        """What is not kept of versions that have a new revision. The change is live; this is tidying up."""
        try:
            await self.revisions.forget(names)
        except StoreUnavailable as error:
            log.warning("old revisions stay for now: %s", error.detail)
