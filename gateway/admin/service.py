"""What the admin REST offers, without HTTP: each verb takes who acts, checks, writes once, and tells what it did."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from gateway.admin.application_documents import consumers_of
from gateway.admin.callers import Callers
from gateway.admin.changes import ChangeSet, Item, Resolver, active_bundle, change_set, kept, pins_before
from gateway.admin.documents import Breaking, read_documents, refused
from gateway.admin.guarding import guarded
from gateway.admin.plan_users import components_on
from gateway.admin.publishing import Node, Publisher
from gateway.admin.retention import bounded_policies, complete_index, first_writes, forget_revisions
from gateway.admin.state import State, expectations, read_bundle
from gateway.admin.touched import changed_plans, touched
from gateway.admin.trial import trial, tried
from gateway.consumers.signing import Algorithm
from gateway.core.clock import Clock, SystemClock
from gateway.core.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    Problem,
    StoreUnavailable,
)
from gateway.core.findings import DocumentsRefused, Finding
from gateway.core.kinds import BackendKinds, Kinds
from gateway.core.secrets import KeyHasher
from gateway.manifest.bundle import Bundle
from gateway.manifest.loading import Loaded
from gateway.runtime.processes import Contracts, no_processes
from gateway.snapshot.diff import diff
from gateway.snapshot.explain import Application, explain
from gateway.snapshot.lifecycle import override
from gateway.snapshot.named_operations import check_named_operations
from gateway.snapshot.other_versions import check_other_versions, check_plan_versions, newly_named
from gateway.snapshot.spec import CanarySpec, Snapshot
from gateway.store.cells import Cells
from gateway.store.memory_cells import MemoryCells
from gateway.store.store import ACTIVE, CREDENTIALS, PLANS, POLICIES, REVISIONS, SUBSCRIPTIONS, TOPICS, Store, Write
from gateway.store.stream_copies import StreamCopies
from gateway.store.streams import Streams
from gateway.store.usage import MemoryUsage

log: Final = logging.getLogger("gateway.control")

Audit = dict[str, Any]
Places = Mapping[str, Mapping[str, str]]  # of bundles, by component@version
Rehearse = Callable[[Snapshot, Places], Sequence[Finding]]
SINGULAR: Final = {ACTIVE: "version", POLICIES: "policy", PLANS: "plan", TOPICS: "topic"}
TRIES: Final = 5  # of a change that nobody pinned to a version, when other nodes were faster


class LocalNode(Node, Protocol):
    @property
    def lost(self) -> str:
        """Why a store that answers is not believed; "" when it is."""
        ...

    def compile(self, state: State) -> Snapshot: ...

    def heartbeat(self) -> dict[str, Any]: ...

    async def settled(self) -> None: ...


def _expected(state: State, expect: Mapping[tuple[str, str], int]) -> None:
    """PreconditionFailed when a record is not at the version that the client read; 0 is none."""
    for (table, key), version in expect.items():
        record = state.rows(table).get(key)
        there = record.version if record else 0
        if there != version:
            now = f"its ETag is now {there}" if there else "it is not there"
            raise PreconditionFailed(f"{key} is not what If-Match says: {now}. Read it again, then write.")


def _changed(now: Snapshot, snapshot: Snapshot) -> Snapshot:
    """What differs from what was there."""
    known = {each.name: each for each in now.versions}
    versions = tuple(each for each in snapshot.versions if known.get(each.name) != each)
    plans = {name: steps for name, steps in snapshot.plans.items() if now.plans.get(name) != steps}
    return snapshot.model_copy(update={"versions": versions, "plans": plans})


def _item(write: Write) -> Item:
    return Item(SINGULAR[write.table].capitalize(), write.key, "delete" if write.value is None else "update")


@dataclass
class Service:
    """One per control process. `rehearse` builds a snapshot for its findings alone (`live.dry`)."""

    node: LocalNode
    store: Store
    streams: Streams
    publisher: Publisher
    resolver: Resolver
    kinds: Kinds
    backend_kinds: BackendKinds
    hasher: KeyHasher
    clock: Clock
    processes: Contracts = field(default_factory=no_processes)
    rehearse: Rehearse = lambda _snapshot, _places: ()
    callers: Callers = field(default_factory=lambda: Callers(MemoryUsage(), SystemClock()))
    cells: Cells = field(default_factory=MemoryCells)
    signing: tuple[Algorithm, float] | None = None  # of new signing keys: their lead; None: no issuer of its own
    copies: StreamCopies | None = None  # of messages, for a backup; None: they are in memory
    scratch: Path | None = None  # where a backup is kept while it is read; None: the system's folder for that
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _indexed: bool = False  # every stored revision has its entry in the index

    def __post_init__(self) -> None:
        self.store = tried(self.store)

    # documents

    async def apply_body(self, body: bytes, media_type: str, label: str, actor: str, **options: Any) -> dict[str, Any]:
        """Documents as YAML or JSON text, several in one; or packed, each key with its place."""
        loaded = await asyncio.to_thread(read_documents, body, media_type, label)
        return await self.apply(loaded, actor, **options)

    async def put(
        self,
        table: str,
        kind: str,
        name: str,
        body: bytes,
        media_type: str,
        actor: str,
        *,
        expect: int | None = None,
    ) -> dict[str, Any]:
        """One document under its own name. `expect` is the version that must be there, 0 for none."""
        loaded = await asyncio.to_thread(read_documents, body, media_type, "body")
        if [(each.kind, each.name) for each in loaded] != [(kind, name)]:
            there = ", ".join(f"{each.kind} {each.name}" for each in loaded)
            raise InvalidInput(f"Send one document, {kind} {name}; this is {there}.", target="name")
        wanted = None if expect is None else {(table, name): expect}
        return await self.apply(loaded, actor, expect=wanted)

    async def apply(
        self,
        loaded: Sequence[Loaded],
        actor: str,
        *,
        dry_run: bool = False,
        activate: bool = True,
        force: bool = False,
        may: Any = None,
        expect: Mapping[tuple[str, str], int] | None = None,
        canary: CanarySpec | None = None,
        guard: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """All documents or none. `may(kind, name)` raises for what the actor may not touch; `expect` has the versions
        that records, by table and key, must have (PreconditionFailed)."""
        for each in loaded:
            if may is not None:
                may(each.kind, each.name)
        dry_run = dry_run or trial() is not None
        async with self._writing:
            for last in range(TRIES):
                try:
                    return await self._apply(loaded, actor, dry_run, activate, force, expect or {}, canary, guard)
                except PreconditionFailed:
                    if expect or last == TRIES - 1:
                        raise
        raise AssertionError

    async def _apply(
        self,
        loaded: Sequence[Loaded],
        actor: str,
        dry_run: bool,
        activate: bool,
        force: bool,
        expect: Mapping[tuple[str, str], int],
        canary: CanarySpec | None,
        guard: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        await self.node.follow()
        before = self.node.state.candidate(())  # what is read here is what the commit expects to find
        _expected(before, expect)
        try:
            recorded = await consumers_of(loaded, self.store)
            changes = await change_set(
                loaded,
                before,
                self.resolver,
                now=self.clock.time(),
                actor=actor,
                activate=activate,
                canary=canary,
                recorded=recorded,
            )
            if guard is not None:
                changes.writes = guarded(changes.writes, guard, canary is not None)
            now, snapshot = await self._compiled(before, changes.writes)
        except DocumentsRefused as error:
            raise refused(error.findings) from None
        wrong = check_other_versions(now, snapshot, self.kinds)
        of_plans = newly_named(now, snapshot, self.kinds)
        wrong += check_plan_versions(of_plans, snapshot, await components_on(self.store, of_plans))
        wrong += await asyncio.to_thread(check_named_operations, now, snapshot, self.kinds)
        if wrong:
            raise refused(wrong)
        if changes.breaking and not force:
            found = refused(changes.breaking)
            raise Breaking(f"{found.detail} Publish another version, or use --force.", details=found.details)
        reached = await self._touched(now, snapshot)
        if dry_run or changes.empty:
            return self._told(changes, snapshot, reached, sequence=None, live=())
        subject = ", ".join(f"{item.kind} {item.name}" for item in changes.items if item.action != "unchanged")
        audit = {"actor": actor, "action": "apply", "subject": subject, "forced": bool(changes.breaking)}
        gated = any(write.table in {ACTIVE, POLICIES, PLANS, TOPICS} for write in changes.writes)
        writes = await bounded_policies(self.store, before, await first_writes(self.store, changes.writes))
        done = await self.publisher.publish(expectations(before, writes), audit, gated=gated)
        await self.node.settled()
        await self._forget([item.name for item in changes.items if item.kind == "ApiComponent"])
        return self._told(changes, snapshot, reached, done.sequence, done.live)

    async def _compiled(self, before: State, writes: Sequence[Write]) -> tuple[Snapshot | None, Snapshot]:
        """What is served, as far as it compiles, and what would be after the writes. DocumentsRefused with every
        finding, those of building too."""
        return await asyncio.to_thread(self._rehearsed, before, writes)

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

    async def _touched(self, before: Snapshot | None, after: Snapshot) -> list[dict[str, Any]]:
        if before is None:
            return []
        plans = changed_plans(before, after)
        return await asyncio.to_thread(touched, before, after, await components_on(self.store, plans))

    def _told(
        self,
        changes: ChangeSet,
        snapshot: Snapshot,
        reached: list[dict[str, Any]],
        sequence: int | None,
        live: Sequence[str],
    ) -> dict[str, Any]:
        found = {
            "items": [asdict(item) for item in changes.items],
            "breaking": [str(finding) for finding in changes.breaking],
            "touched": reached,
            "sequence": sequence,
            "snapshot": snapshot.hash,
            "live": list(live),
        }
        if (now := trial()) is not None:
            now.told = found
        return found

    # versions and revisions

    def components(self) -> list[dict[str, Any]]:
        found: dict[str, list[str]] = {}
        for name in sorted(self.node.state.rows(ACTIVE)):
            component, _, version = name.partition("@")
            found.setdefault(component, []).append(version)
        return [{"name": name, "versions": versions} for name, versions in found.items()]

    def live_names(self) -> list[str]:
        """component@version of each live version."""
        return sorted(self.node.state.rows(ACTIVE))

    def versions(self) -> list[dict[str, Any]]:
        return [self.version(name) for name in sorted(self.node.state.rows(ACTIVE))]

    def version(self, name: str) -> dict[str, Any]:
        record = self._active(name)
        bundle = self._bundle_of(name)
        manifest = bundle.manifest
        life = override(manifest.lifecycle, record.get("lifecycle"))
        return {
            "name": name,
            "revision": record["revision"],
            "since": record["since"],
            "history": list(record.get("history", [])),
            "pins": dict(record.get("pins", {})),
            "title": manifest.title,
            "status": life.status,
            "lifecycle": life.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            "lifecycle_from": "manifest" if record.get("lifecycle") is None else "version",
            "canary": record.get("canary"),
            "base_path": manifest.base_path,
            "endpoints": len(manifest.rest),
            "operations": sorted(manifest.operations),
        }

    def _active(self, name: str) -> Mapping[str, Any]:
        record = self.node.state.rows(ACTIVE).get(name)
        if record is None:
            known = ", ".join(sorted(self.node.state.rows(ACTIVE))) or "none"
            raise NotFound(f"{name} is not live. Live are: {known}.")
        return record.value

    def _bundle_of(self, name: str) -> Bundle:
        bundle = active_bundle(self.node.state, name)
        assert bundle is not None
        return bundle

    async def revision(self, revision: str) -> Bundle:
        known = self.node.state.revisions.get(revision)
        if known is not None:
            return known
        record = await self.store.get(REVISIONS, revision)
        if record is None:
            raise NotFound(f"There is no revision {revision}.")
        return read_bundle(record.value)

    def active_revisions(self) -> set[str]:
        return {str(record.value["revision"]) for record in self.node.state.rows(ACTIVE).values()}

    async def complete_index(self) -> None:
        """Once in the life of this process."""
        if not self._indexed:
            await complete_index(self.store)
            self._indexed = True

    def pointer(self, name: str) -> tuple[Mapping[str, Any], int]:
        """The active pointer of a live version, and the version of its record. NotFound."""
        return self._active(name), self.version_of(ACTIVE, name)

    async def repoint(
        self,
        name: str,
        actor: str,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        expect: int | None = None,
        **audit: Any,
    ) -> dict[str, Any]:
        """Changes the pointer of a live version, of which `change` gets a copy, on every node or not at all. `expect`
        is the version that its record must have."""
        async with self._writing:
            await self.node.follow()
            before = self.node.state.candidate(())
            if expect is not None:
                _expected(before, {(ACTIVE, name): expect})
            pointer = change(dict(self._active(name)))
            entry = {"actor": actor, "subject": name, **audit}
            return {"name": name, **await self._publish(before, [Write(ACTIVE, name, pointer)], entry)}

    async def rollback(
        self,
        name: str,
        actor: str,
        *,
        to: str | None = None,
        with_policies: bool = False,
        of: str | None = None,
        **why: Any,
    ) -> dict[str, Any]:
        """Points a version at an earlier revision; by default the one before. A canary ends. `with_policies` pins the
        policies that it was published with; without, what it was pinned to when it was active last holds again. `of`:
        only if that is the active one."""
        async with self._writing:
            await self.node.follow()
            before = self.node.state.candidate(())
            record = self._active(name)
            history = list(record.get("history", []))
            target = to or (history[-1] if history else None)
            if target is None:
                raise Conflict(f"{name} has no earlier revision to go back to.")
            bundle = await self.revision(target)
            if bundle.name != name:
                raise InvalidInput(f"Revision {target} is one of {bundle.name}, not of {name}.", target="to")
            current = str(record["revision"])
            if of not in (None, current):
                raise Conflict(f"The active revision is another one now: {current}.")
            pins = dict(bundle.policies) if with_policies else pins_before(record, target)
            pointer = {
                "revision": target,
                "since": self.clock.time(),
                "actor": actor,
                "history": [*history, current][-50:] if target not in history[-1:] else history[:-1],
                "pins": pins,
                "rolled_back": True,  # no guard watches what one goes back to
                **kept(record),
            }
            writes = [await self._revision_write(bundle, target, actor), Write(ACTIVE, name, pointer)]
            audit = {
                "actor": actor,
                "action": "rollback",
                "subject": name,
                "from": current,
                "to": target,
                "pins": pins,
                **why,
            }
            return {
                "name": name,
                "from": current,
                "to": target,
                "pins": pins,
                **await self._publish(before, writes, audit),
            }

    async def _revision_write(self, bundle: Bundle, revision: str, actor: str) -> Write:
        """The revision as it is stored, once more: nodes that do not hold it read it from the proposal."""
        stored = await self.store.get(REVISIONS, revision)
        content = {"bundle": bundle.content(), "at": self.clock.time(), "actor": actor, "name": bundle.name}
        return Write(REVISIONS, revision, stored.value if stored else content)

    async def _forget(self, names: Sequence[str]) -> None:
        """What is not kept of versions that have a new revision. The change is live; this is tidying up."""
        try:
            await self.complete_index()
            await forget_revisions(self.store, self.node.state, names)
        except StoreUnavailable as error:
            log.warning("old revisions stay for now: %s", error.detail)

    async def put_back(
        self, table: str, name: str, actor: str, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        """Writes what `change` makes of a record, on every node or not at all. NotFound."""
        async with self._writing:
            await self.node.follow()
            before = self.node.state.candidate(())
            if name not in before.rows(table):
                raise NotFound(f"There is no {SINGULAR[table]} {name}.")
            old = before.rows(table)[name].value
            new = change(dict(old))
            numbers = {"from": old["revision"], "to": new["revision"]}
            writes = await bounded_policies(self.store, before, [Write(table, name, new)])
            audit = {"actor": actor, "action": f"{SINGULAR[table]}.rollback", "subject": name, **numbers}
            return {"name": name, **numbers, **await self._publish(before, writes, audit, reach=True)}

    async def remove(self, table: str, name: str, actor: str, expect: int | None = None) -> dict[str, Any]:
        """Takes a policy, plan, topic or live version away, when nothing needs it any more."""
        async with self._writing:
            await self.node.follow()
            before = self.node.state.candidate(())
            if name not in before.rows(table):
                raise NotFound(f"There is no {SINGULAR[table]} {name}.")
            if expect is not None:
                _expected(before, {(table, name): expect})
            if table == PLANS:
                await self._nobody_on(name)
            audit = {"actor": actor, "action": f"{SINGULAR[table]}.delete", "subject": name}
            return {"deleted": name, **await self._publish(before, [Write(table, name, None)], audit)}

    async def _nobody_on(self, plan: str) -> None:
        """Conflict while an application is on that plan: its keys would open nothing."""
        async for key, record in self.store.scan(SUBSCRIPTIONS):
            if record.value.get("plan") == plan:
                raise Conflict(f"The plan {plan} has subscriptions, such as {key}. Move them to another plan first.")
        async for key, record in self.store.scan(CREDENTIALS):
            if record.value.get("plan") == plan and record.value["revoked"] is None:
                raise Conflict(f"The plan {plan} has credentials of its own, such as {key}. Revoke them first.")

    async def _publish(
        self, before: State, writes: list[Write], audit: Audit, *, reach: bool = False
    ) -> dict[str, Any]:
        """`reach`: tells which endpoints it touches, too."""
        try:
            now, snapshot = await self._compiled(before, writes)
        except DocumentsRefused as error:
            raise refused(error.findings) from None
        reached = await self._touched(now, snapshot) if reach or trial() is not None else []
        if trial() is not None:
            changes = ChangeSet(items=[_item(each) for each in writes if each.table in SINGULAR])
            self._told(changes, snapshot, reached, None, ())
            return {"sequence": 0, "live": []}
        done = await self.publisher.publish(expectations(before, writes), audit)
        return {"sequence": done.sequence, "live": list(done.live), **({"touched": reached} if reach else {})}

    # looking

    def snapshot(self) -> Snapshot:
        return self.node.compile(self.node.state)

    def diff(self, first: Bundle, second: Bundle) -> list[dict[str, Any]]:
        return [each.as_json() for each in diff(first, second) if not each.path.startswith("places")]

    async def named(self, name: str) -> Bundle:
        """A revision by its hash, or a live version by its name."""
        if "@" in name:
            self._active(name)
            return self._bundle_of(name)
        return await self.revision(name)

    async def explain(
        self,
        snapshot: Snapshot,
        method: str,
        url: str,
        headers: Mapping[str, str],
        plan: str | None = None,
        application: str | None = None,
    ) -> dict[str, Any]:
        """`application`: who calls; credentials are not read here."""
        caller = None if application is None else Application(application, await self._pins(snapshot, application))
        return explain(snapshot, method, url, headers, self.kinds, plan, caller).as_json()

    async def _pins(self, snapshot: Snapshot, application: str) -> dict[str, str]:
        """By component; of those alone where a pin could choose."""
        found = {}
        for component in {each.component for each in snapshot.versions if each.select_by != ("path",)}:
            record = await self.store.get(SUBSCRIPTIONS, f"{application}/{component}")
            if record is not None and record.value.get("version"):
                found[component] = str(record.value["version"])
        return found

    def policy_kinds(self) -> list[dict[str, Any]]:
        return [
            {
                "name": kind.name,
                "stage": kind.stage.name,
                "protects": kind.protects,
                "reply_stage": kind.reply_stage.name,
                "family": kind.family,
                "summary": kind.summary,
                "example": dict(kind.example),
                "config": kind.config.model_json_schema(),
            }
            for kind in sorted(self.kinds.values(), key=lambda each: each.name)
        ]

    def stored(self, table: str) -> list[dict[str, Any]]:
        rows = self.node.state.rows(table)
        return [{"name": name, **rows[name].value} for name in sorted(rows)]

    def stored_one(self, table: str, name: str) -> tuple[dict[str, Any], int]:
        record = self.node.state.rows(table).get(name)
        if record is None:
            raise NotFound(f"There is no {SINGULAR[table]} {name}.")
        return {"name": name, **record.value}, record.version

    def version_of(self, table: str, name: str) -> int:
        """Of the record, as its ETag tells it; 0 when there is none."""
        record = self.node.state.rows(table).get(name)
        return record.version if record else 0

    async def nodes(self) -> list[dict[str, Any]]:
        return [{"name": name, **state} for name, state in sorted((await self.store.nodes()).items())]

    async def health(self) -> tuple[dict[str, Any], bool]:
        """Healthy: something serves and the store answers, or the last known good serves."""
        beat = self.node.heartbeat()
        try:
            await self.store.sequence()
            store = self.node.lost or "up"
        except Problem as error:
            store = error.detail or "down"
        ready = bool(beat["snapshot"]) and beat["workers"] > 0
        return {"ready": ready, "store": store, **beat}, ready
