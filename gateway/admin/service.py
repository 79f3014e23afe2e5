"""What the admin REST offers, without HTTP: its parts, and what this node and its snapshot tell. Each verb that writes
takes who acts, checks, writes once, and tells what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.admin.applying import Applying, Terms
from gateway.admin.callers import Callers
from gateway.admin.changes import Resolver
from gateway.admin.live_versions import LiveVersions
from gateway.admin.publishing import Publisher
from gateway.admin.records import Records
from gateway.admin.revisions import Revisions
from gateway.admin.trial import tried
from gateway.admin.writing import LocalNode, Rehearse, Writing
from gateway.consumers.signing import Algorithm
from gateway.core.clock import Clock, SystemClock
from gateway.core.errors import Problem
from gateway.core.kinds import BackendKinds, Kinds
from gateway.core.secrets import KeyHasher
from gateway.manifest.loading import Loaded
from gateway.runtime.processes import Contracts, no_processes
from gateway.snapshot.explain import Application, explain
from gateway.snapshot.spec import Snapshot
from gateway.store.cells import Cells
from gateway.store.memory_cells import MemoryCells
from gateway.store.store import SUBSCRIPTIONS, Store
from gateway.store.stream_copies import StreamCopies
from gateway.store.streams import Streams
from gateway.store.usage import MemoryUsage


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
    revisions: Revisions = field(init=False)
    versions: LiveVersions = field(init=False)
    records: Records = field(init=False)
    documents: Applying = field(init=False)

    def __post_init__(self) -> None:
        self.store = tried(self.store)
        writing = Writing(self.node, self.store, self.publisher, self.rehearse)
        self.revisions = Revisions(self.node, self.store)
        self.versions = LiveVersions(writing, self.revisions, self.clock)
        self.records = Records(writing)
        self.documents = Applying(writing, self.revisions, self.resolver, self.kinds, self.clock)

    async def apply(self, loaded: Sequence[Loaded], actor: str, *, force: bool = False) -> dict[str, Any]:
        """What a node is started with."""
        return await self.documents.apply(loaded, actor, Terms(force=force))

    def snapshot(self) -> Snapshot:
        return self.node.compile(self.node.state)

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
