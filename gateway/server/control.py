"""The control process: follows the store, compiles, tells the workers, and hosts the admin REST API.

It is never on a request's path. What it learns goes to the workers by its socket: snapshots by file, changes of the
directory one by one. Without its store it serves the last known good from disk and goes on trying.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.admin.state import FOLLOWED, State, Values, fetch_revisions, load
from gateway.consumers.directory import TABLES, Directory, load_directory
from gateway.core.clock import Clock
from gateway.core.errors import Problem, StoreUnavailable
from gateway.core.findings import DocumentsRefused
from gateway.core.kinds import BackendKinds, Kinds
from gateway.server.crew import Crew
from gateway.server.last_known_good import Shelf
from gateway.snapshot.spec import Snapshot, VersionSpec
from gateway.store.store import PROPOSALS, Change, Gap, Store, Write

log: Final = logging.getLogger("gateway.control")
BEAT: Final = 1.0  # seconds between heartbeats
TTL: Final = 5.0  # seconds after which a silent node is forgotten
RETRY: Final = 0.5


@dataclass
class Served:
    """What this node serves: up to which sequence, and what went wrong last."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    hash: str = ""
    sequence: int = 0
    error: str = ""
    prepared: dict[str, str] = field(default_factory=dict)


class Control:
    """This node's brain. Implements `admin.publishing.Node`."""

    def __init__(
        self,
        *,
        name: str,
        store: Store,
        crew: Crew,
        shelf: Shelf,
        clock: Clock,
        values: Values,
        kinds: Kinds,
        backend_kinds: BackendKinds,
        probe: Callable[[Sequence[VersionSpec]], Awaitable[None]],
        facts: Mapping[str, Any],
    ) -> None:
        self.name = name
        self.store = store
        self.crew = crew
        self.shelf = shelf
        self.clock = clock
        self.values = values
        self.kinds = kinds
        self.backend_kinds = backend_kinds
        self.probe = probe
        self.facts = facts
        self.state = State()
        self.directory = Directory()
        self.served = Served()
        self.store_up = False
        self._loaded = False
        self._unwritten = False
        self._known = False
        self._following = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Loads what the store has, or the last known good; then follows and beats until `close`."""
        try:
            await self._load()
        except StoreUnavailable as error:
            log.warning("%s Serving the last known good.", error)
            await self._restore()
        self._tasks = [asyncio.create_task(self._follow_forever()), asyncio.create_task(self._beat_forever())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # loading

    async def _load(self) -> None:
        self.state = await load(self.store)
        self.directory = await load_directory(self.store, self.clock)
        self.store_up = self._known = True
        self.crew.directory(self.write_directory())
        self._loaded = True
        await self._serve(self.state.sequence)

    def current_directory(self) -> Path | None:
        """For a worker that connects; None while nothing is known, so that the last known good stays untouched."""
        return self.write_directory() if self._known else None

    def write_directory(self) -> Path:
        """The directory as it is now, on disk: for a worker that connects, and as the last known good."""
        self._unwritten = False
        return self.shelf.put_directory(self.directory.dump())

    async def _restore(self) -> None:
        kept = self.shelf.read()
        if kept is None:
            log.warning("This node has no last known good: it serves nothing until its store answers.")
            return
        if kept.directory is not None:
            self.directory = Directory.load(kept.directory)
            self._known = True
            self.crew.directory(self.write_directory())
        await self._activate(kept.snapshot, kept.sequence, kept.at)

    # following

    async def _follow_forever(self) -> None:
        while True:
            try:
                if not self._loaded:
                    async with self._following:
                        await self._load()
                await self.store.wait(self.state.sequence, BEAT)
                await self.follow()
            except StoreUnavailable as error:
                self._lost(error)
                await asyncio.sleep(RETRY)
            except Exception:
                log.exception("following the store failed; trying again")
                await asyncio.sleep(RETRY)

    def _lost(self, error: StoreUnavailable) -> None:
        if self.store_up:
            log.warning("%s What is cached goes on.", error)
        self.store_up = False

    async def follow(self) -> None:
        """Reads the change log now, and serves what it says."""
        async with self._following:
            try:
                changes = await self.store.changes(self.state.sequence)
            except Gap:
                await self._load()
                return
            self.store_up = True
            now = self.clock.time()
            self.directory.as_of = now
            self.crew.heard(now)
            if changes:
                await self._apply(changes)

    async def _apply(self, changes: list[Change]) -> None:
        for change in changes:
            self.state.apply(change)
            self.directory.apply(change)
            if change.table in TABLES:
                self.crew.change(change)
                self._unwritten = True
        if any(change.table in FOLLOWED for change in changes):
            await fetch_revisions(self.store, self.state)
            await self._serve(self.state.sequence)
        else:
            self.served.sequence = self.state.sequence
        for change in changes:
            if change.table == PROPOSALS:
                await self._proposal(change)
        await self._beat()

    async def _proposal(self, change: Change) -> None:
        """Builds what a proposal would make of this node, and says whether it could serve it."""
        if change.value is None:
            self.served.prepared.pop(change.key, None)
            return
        writes = [Write(table, key, value) for table, key, value in change.value["writes"]]
        try:
            snapshot = self.compile(self.state.candidate(writes))
            hash, path = self.shelf.put(snapshot)
            await self.crew.prepare(hash, path)
            self.served.prepared[change.key] = "ok"
        except (DocumentsRefused, Problem) as error:
            self.served.prepared[change.key] = str(error)
        except Exception as error:
            log.exception("a proposal could not be built")
            self.served.prepared[change.key] = f"{type(error).__name__}: {error}"

    def compile(self, state: State) -> Snapshot:
        """What this node would serve of a state. DocumentsRefused with every finding."""
        return state.compile(self.values, self.kinds, self.backend_kinds)

    async def _serve(self, sequence: int) -> None:
        try:
            snapshot = self.compile(self.state)
        except DocumentsRefused as error:
            log.error("sequence %s cannot be served here, the old snapshot goes on: %s", sequence, error)
            self.served.error, self.served.sequence = str(error), sequence
            return
        await self._activate(snapshot, sequence, self.clock.time())

    async def _activate(self, snapshot: Snapshot, sequence: int, at: float) -> None:
        hash, path = self.shelf.put(snapshot)
        if hash != self.served.hash:
            try:
                await self._put_in_place(snapshot, hash, path)
            except Problem as error:
                log.error("snapshot %s cannot be served here, the old one goes on: %s", hash, error)
                self.served.error, self.served.sequence = str(error), sequence
                return
            self.served.snapshot, self.served.hash = snapshot, hash
            log.info("snapshot %s serves: %s", hash, ", ".join(each.name for each in snapshot.versions) or "nothing")
        self.served.error, self.served.sequence = "", sequence
        self.shelf.mark(hash, sequence, at)

    async def _put_in_place(self, snapshot: Snapshot, hash: str, path: Path) -> None:
        """Workers swap, then the gateway's own port is asked for what changed; a refusal brings the old one back."""
        before, old = self.served.snapshot, self.served.hash
        await self.crew.activate(hash, path)
        if not self.crew.size:
            return
        known = {version.name: version for version in before.versions}
        changed = [version for version in snapshot.versions if known.get(version.name) != version]
        try:
            await self.probe(changed)
        except BaseException:
            if old:
                await self.crew.activate(old, self.shelf.path(old))
            raise

    # heartbeats

    async def _beat_forever(self) -> None:
        while True:
            with contextlib.suppress(StoreUnavailable):
                await self._beat()
            if self._unwritten:
                self.write_directory()
            await asyncio.sleep(BEAT)

    async def _beat(self) -> None:
        await self.store.beat(self.name, self.heartbeat(), TTL)

    def heartbeat(self) -> dict[str, Any]:
        return {
            **self.facts,
            "serving": self.served.sequence,
            "snapshot": self.served.hash,
            "error": self.served.error,
            "prepared": self.served.prepared,
            "workers": self.crew.size,
            "at": self.clock.time(),
        }
