"""The control process: follows the store, compiles, tells the workers, and hosts the admin REST API.

It is never on a request's path. What it learns goes to the workers by its socket: snapshots by file, changes of the
directory one by one. Without its store it serves the last known good from disk and goes on trying.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.admin.publishing import STALE
from gateway.admin.state import FOLLOWED, State, Values, fetch_revisions, load
from gateway.consumers.directory import TABLES, Directory, load_directory
from gateway.consumers.expiring import ExpiryWatch
from gateway.core.clock import Clock
from gateway.core.errors import Problem, StoreUnavailable
from gateway.core.findings import DocumentsRefused
from gateway.core.kinds import BackendKinds, Kinds
from gateway.server import collector
from gateway.server.crew import Crew
from gateway.server.last_known_good import Shelf
from gateway.snapshot.memo import Memo
from gateway.snapshot.spec import Snapshot, VersionSpec
from gateway.store.store import PROPOSALS, Change, Gap, Store, Value, Write

log: Final = logging.getLogger("gateway.control")
BEAT: Final = 1.0  # seconds between heartbeats
TTL: Final = 5.0  # seconds after which a silent node is forgotten
RETRY: Final = 0.5
AGAIN: Final = 5.0  # seconds until what could not be served is tried again
TRIES: Final = 3  # to write the directory between two changes
LISTED: Final = 50  # versions that a line of the log names
MARK: Final = 10.0  # seconds between two notes on disk of when the store was heard


@dataclass
class Served:
    """What this node serves: up to which sequence, and what went wrong last. `prepared` answers open proposals."""

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
        expiry: ExpiryWatch | None = None,
    ) -> None:
        self.name = name
        self.run = uuid.uuid4().hex
        self.store = store
        self.crew = crew
        self.shelf = shelf
        self.clock = clock
        self.values = values
        self.kinds = kinds
        self.backend_kinds = backend_kinds
        self.probe = probe
        self.facts = facts
        self.expiry = expiry or ExpiryWatch(0.0, clock)
        self.also: Callable[[], Mapping[str, Any]] = dict  # what else the heartbeat tells
        self.state = State()
        self.directory = Directory()
        self.served = Served()
        self.store_up = False
        self.lost = ""  # why the store that answers is not believed
        self._disk = ""  # why the last known good cannot be written
        self._followed, self._store_id = shelf.followed()  # of the store, before this start
        self._reason = ""  # why the store is not up, as it was logged
        self._loaded = False
        self._memo = Memo()
        self._frozen = 0  # how many versions had been compiled when the collector was told to pass over them
        self._known = False  # the directory is worth telling
        self._unwritten = False  # the directory has changes that are not on disk
        self._unserved = False  # the state has changes that are not served, or could not be
        self._again = 0.0
        self._marked = 0.0
        self._proposals: dict[str, Value] = {}
        self._met: dict[str, float] = {}  # when this node heard of a proposal, on its own monotonic clock
        self._candidates: dict[str, str] = {}  # proposal: hash of what was prepared for it
        self._dropped: set[str] = set()  # hashes of proposals that are gone
        self._following = asyncio.Lock()
        self._writing = asyncio.Lock()  # of the directory
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Loads what the store has, or the last known good; then follows and beats until `close`."""
        try:
            async with self._following:
                await self._load()
                await self._settle()
        except StoreUnavailable as error:
            log.warning("%s Serving the last known good.", error)
            await self._restore_directory()
        if not self.served.hash:
            await self._restore_snapshot()
        if not self.served.hash:
            self.crew.idle()
        lasting = (self._follow_forever(), self._beat_forever(), self.expiry.watch(lambda: self.directory))
        self._tasks = [asyncio.create_task(each) for each in lasting]

    async def close(self) -> None:
        """Leaves its last state on disk, and the list of nodes at once instead of when its heartbeat ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(OSError):
            await self._keep(now=True)
        with contextlib.suppress(StoreUnavailable):
            await self.store.beat(self.name, {}, 0.001)

    # loading

    async def _load(self) -> None:
        """Everything the store has, and which proposals wait for this node."""
        state = await load(self.store)
        await self._believe(state)
        directory = await load_directory(self.store, self.clock)
        proposals = {key: record.value async for key, record in self.store.scan(PROPOSALS)}
        for id in set(self._proposals) - set(proposals):
            self._withdrawn(id)
        self.state, self.directory, self._proposals = state, directory, proposals
        self.store_up = self._known = self._loaded = self._unserved = self._unwritten = True
        self.crew.directory(await self.write_directory())

    async def _believe(self, state: State) -> None:
        """StoreUnavailable for a store that has lost what this node knows of it, now or from before its start: what it
        has left would end everything that is served."""
        id, most = await self.store.id(), max(self.state.sequence, self._followed)
        if state.sequence <= most and (not state.sequence or self._store_id not in (None, id)) and most:
            what = "another one, which knows less" if state.sequence else "empty"
            self.lost = (
                f"The store answers, but it is {what}: it has lost its data. Restore it: penstock restore. If it shall "
                f"be like that, end this node and take {self.shelf.folder} away."
            )
            raise StoreUnavailable(self.lost)
        self._store_id, self._followed, self.lost = id, 0, ""

    async def current_directory(self) -> Path | None:
        """For a worker that connects; None while nothing is known, so that the last known good stays untouched. The
        file holds every change that was told until this returns."""
        return await self.write_directory() if self._known else None

    async def write_directory(self) -> Path:
        """The directory as it is when this returns, on disk: for a worker that connects, and as the last known good.
        A change meanwhile has it written again; when they do not end, at last in one piece."""
        async with self._writing:
            for _ in range(TRIES):
                await self._write_slices()
            if self._unwritten:
                self.shelf.put_directory(self.directory.dump())
                self._unwritten = False
        return self.shelf.directory_path

    async def _write_slices(self) -> None:
        if not self._unwritten:
            return
        self._unwritten = False
        try:
            lines = []
            for line in self.directory.lines():
                lines.append(line)
                await asyncio.sleep(0)
            await asyncio.to_thread(self.shelf.put_directory, b"".join(lines))
        except BaseException:
            self._unwritten = True
            raise

    async def _restore_directory(self) -> None:
        kept = await asyncio.to_thread(self.shelf.read)
        if kept is not None and kept.directory is not None:
            self.directory = kept.directory
            self._known = self._unwritten = True
            self.crew.directory(await self.write_directory())

    async def _restore_snapshot(self) -> None:
        kept = await asyncio.to_thread(self.shelf.read)
        if kept is None:
            log.warning("This node has no last known good: it serves nothing until it can follow its store.")
            return
        error = self.served.error
        await self._activate(kept.snapshot, kept.sequence, kept.at)
        if error:
            self.served.error, self.served.sequence = error, self.state.sequence

    # following

    async def _follow_forever(self) -> None:
        while True:
            try:
                if self._loaded:
                    await self.store.wait(self.state.sequence, BEAT)
                await self.follow()
            except StoreUnavailable as error:
                self._lost(error)
                await asyncio.sleep(RETRY)
            except Exception:
                log.exception("following the store failed; trying again")
                await asyncio.sleep(RETRY)

    def _lost(self, error: StoreUnavailable) -> None:
        if self.store_up or str(error) != self._reason:
            log.warning("%s What is cached goes on.", error)
        self.store_up, self._reason = False, str(error)

    async def follow(self) -> None:
        """Reads the change log now, and serves what it says. StoreUnavailable; what was read is served later then."""
        async with self._following:
            await self._read()
            await self._settle()

    async def settled(self) -> None:
        """Follows, and waits until this node's workers know it: what was written holds for the next request. Never
        fails: what was written is written, and reaches a worker that is late or new all the same."""
        try:
            await self.follow()
            await self.crew.settle()
        except Problem as error:
            log.warning("a change has not reached every worker yet: %s", error)

    async def _read(self) -> None:
        if not self._loaded:
            await self._load()
            return
        try:
            changes = await self.store.changes(self.state.sequence)
        except Gap:
            await self._load()
            return
        if not self.store_up:
            log.info("the store is back")
        self.store_up = True
        if changes:
            await asyncio.to_thread(self.state.read_ahead, changes)
            self._store_id = self._store_id or await self.store.id()
        now = self.clock.time()
        self.directory.as_of = now
        self.crew.heard(now)
        for change in changes:
            self._take(change)

    def _take(self, change: Change) -> None:
        self.state.apply(change)
        self.directory.apply(change)
        if change.table in TABLES:
            self.crew.change(change)
            self._unwritten = True
        elif change.table in FOLLOWED:
            self._unserved = True
        elif change.table == PROPOSALS and change.value is None:
            self._proposals.pop(change.key, None)
            self._withdrawn(change.key)
        elif change.table == PROPOSALS and change.value is not None:
            self._proposals[change.key] = change.value

    async def _settle(self) -> None:
        """Serves what was read and answers proposals. What fails for the store's sake stays to be done."""
        retry = bool(self.served.error) and self.clock.monotonic() >= self._again
        told = (self.served.sequence, len(self.served.prepared))
        if self._unserved or retry:
            await fetch_revisions(self.store, self.state)
            self.state.drop_unused_revisions()
            await self._serve(self.state.sequence)
            self._unserved = False
        self.served.sequence = self.state.sequence
        self._forget()
        for id in self._proposals.keys() - self.served.prepared.keys():
            await self._prepare(id, self._proposals[id])
        if told != (self.served.sequence, len(self.served.prepared)):
            await self._beat()

    def _withdrawn(self, id: str) -> None:
        self.served.prepared.pop(id, None)
        hash = self._candidates.pop(id, "")
        if hash:
            self._dropped.add(hash)

    def _forget(self) -> None:
        """After serving, as what was prepared may just have been activated."""
        for hash in self._dropped - set(self._candidates.values()):
            self.crew.forget(hash)
        self._dropped.clear()

    async def _prepare(self, id: str, proposal: Value) -> None:
        """Builds what a proposal would make of this node, and says whether it could serve it."""
        try:
            writes = [Write(table, key, value) for table, key, value in proposal["writes"]]
            candidate = await asyncio.to_thread(self.state.candidate, writes)
            await fetch_revisions(self.store, candidate)
            snapshot = await asyncio.to_thread(self.compile, candidate)
            hash, path = await asyncio.to_thread(self.shelf.put, snapshot)
            self._candidates[id] = hash
            await self.crew.prepare(hash, path)
            self.served.prepared[id] = "ok"
        except StoreUnavailable:
            raise
        except (DocumentsRefused, Problem) as error:
            self.served.prepared[id] = str(error)
        except Exception as error:
            log.exception("a proposal could not be built")
            self.served.prepared[id] = f"{type(error).__name__}: {error}"

    def compile(self, state: State) -> Snapshot:
        """What this node would serve of a state. DocumentsRefused with every finding. May run in a thread."""
        return state.compile(self.values, self.kinds, self.backend_kinds, self._memo)

    async def _serve(self, sequence: int) -> None:
        try:
            snapshot = await asyncio.to_thread(self.compile, self.state)
        except Exception as error:
            self._cannot(error, sequence)
            return
        await self._activate(snapshot, sequence, self.clock.time())

    async def _activate(self, snapshot: Snapshot, sequence: int, at: float) -> None:
        try:
            hash, path = await asyncio.to_thread(self.shelf.put, snapshot)
            changed = hash != self.served.hash
            if changed:
                await self._put_in_place(snapshot, hash, path)
                self.served.snapshot, self.served.hash = snapshot, hash
                log.info("snapshot %s serves: %s", hash, _names(snapshot))
            if self._unwritten:
                await self.write_directory()  # a mark says that all of the shelf is current
            self.shelf.mark(hash, sequence, at, self._store_id)
            if changed:
                await asyncio.to_thread(self.shelf.sweep, hash)
                self._keep_compiled()
        except Exception as error:
            self._cannot(error, sequence)
            return
        self.served.error, self.served.sequence = "", sequence

    def _keep_compiled(self) -> None:
        """Of many versions, those that were compiled since the last time are not looked through for garbage again."""
        if self._memo.compiled - self._frozen >= collector.PART:
            self._frozen = self._memo.compiled
            collector.keep()

    def _cannot(self, error: Exception, sequence: int) -> None:
        """The old snapshot goes on. It is tried again, as the reason may be a passing one."""
        expected = isinstance(error, (DocumentsRefused, Problem))
        text = str(error) if expected else f"{type(error).__name__}: {error}"
        if text != self.served.error:
            log.error("sequence %s cannot be served here, the old snapshot goes on: %s", sequence, text)
            log.debug("the reason", exc_info=error)
        self.served.error, self.served.sequence = text, sequence
        self._again = self.clock.monotonic() + AGAIN

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
        except Exception as error:
            if not old:  # there is nothing better to go back to: a start, or a new control process
                log.error("%s", error)
                return
            await self.crew.activate(old, self.shelf.path(old))
            raise

    # heartbeats

    async def _beat_forever(self) -> None:
        while True:
            try:
                await self._kept()
                await self._beat()
                await self._sweep()
            except StoreUnavailable:
                pass
            except Exception:
                log.exception("this node's heartbeat failed; trying again")
            await asyncio.sleep(BEAT)

    async def _kept(self) -> None:
        """A full disk keeps no node from telling that it lives, and what is wrong with it."""
        try:
            await self._keep()
        except OSError as error:
            text = f"The last known good cannot be written: {error.strerror}. Make room where the data folder is."
            if text != self._disk:
                log.error("%s", text)
            self._disk = text
        else:
            self._disk = ""

    async def _keep(self, *, now: bool = False) -> None:
        """The last known good: the directory when it changed, and now and then how fresh all of it is."""
        if self._known:
            async with self._writing:
                await self._write_slices()
        heard, mark = self.directory.as_of, self.clock.monotonic()
        if self._known and self.served.hash and self.store_up and (now or mark - self._marked > MARK):
            self.shelf.mark(self.served.hash, self.served.sequence, heard, self._store_id)
            self._marked = mark

    async def _beat(self) -> None:
        await self.store.beat(self.name, self.heartbeat(), TTL)

    async def _sweep(self) -> None:
        """Takes away proposals of publishers that died: those of this node's earlier runs, and old ones of others. How
        old they are is counted here: the clocks of nodes differ, and jump."""
        now = self.clock.monotonic()
        self._met = {id: self._met.get(id, now) for id in self._proposals}
        dead = [
            id
            for id, proposal in self._proposals.items()
            if now - self._met[id] > STALE or (proposal["node"] == self.name and proposal["run"] != self.run)
        ]
        if dead:
            await self.store.commit([Write(PROPOSALS, id, None) for id in dead])

    def heartbeat(self) -> dict[str, Any]:
        return {
            **self.facts,
            "serving": self.served.sequence,
            "snapshot": self.served.hash,
            "error": self.served.error,
            "problems": [*self.crew.problems(), *filter(None, (self._disk, self.lost))],
            "prepared": self.served.prepared,
            "workers": self.crew.size,
            "steps": self.crew.steps(),
            "at": self.clock.time(),
            **self.also(),
        }


def _names(snapshot: Snapshot) -> str:
    """For the log: all of few, the number of many."""
    names = [each.name for each in snapshot.versions]
    return ", ".join(names) or "nothing" if len(names) <= LISTED else f"{len(names)} versions"
