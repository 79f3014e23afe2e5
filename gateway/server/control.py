"""The control process: follows the store, answers proposals, tells the workers, and beats.

It is never on a request's path. What it learns goes to the workers by its socket: snapshots by file, changes of the
directory one by one. Without its store it serves the last known good from disk and goes on trying.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from gateway.admin.state import FOLLOWED, State, Values, fetch_revisions, load
from gateway.consumers.directory import TABLES, Directory, load_directory
from gateway.consumers.expiring import ExpiryWatch
from gateway.core.clock import Clock
from gateway.core.errors import Problem, StoreUnavailable
from gateway.core.findings import DocumentsRefused
from gateway.core.kinds import BackendKinds, Kinds
from gateway.server.crew import Crew
from gateway.server.directory_file import DirectoryFile
from gateway.server.known_store import KnownStore
from gateway.server.last_known_good import Shelf
from gateway.server.proposals import Proposals
from gateway.server.serving import Compiler, Probe, Served, Serving
from gateway.snapshot.spec import Snapshot
from gateway.store.store import PROPOSALS, Change, Gap, Store, Value, Write

log: Final = logging.getLogger("gateway.control")
BEAT: Final = 1.0  # seconds between heartbeats
TTL: Final = 5.0  # seconds after which a silent node is forgotten
RETRY: Final = 0.5
MARK: Final = 10.0  # seconds between two notes on disk of when the store was heard


class Control:
    """This node's brain. Implements `admin.writing.LocalNode`."""

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
        probe: Probe,
        facts: Mapping[str, Any],
        expiry: ExpiryWatch | None = None,
    ) -> None:
        self.name = name
        self.run = uuid.uuid4().hex
        self.store = store
        self.crew = crew
        self.shelf = shelf
        self.clock = clock
        self.facts = facts
        self.expiry = expiry or ExpiryWatch(0.0, clock)
        self.also: Callable[[], Mapping[str, Any]] = dict  # what else the heartbeat tells
        self.state = State()
        self.store_up = False
        self.known_store = KnownStore(shelf)
        self.directory_file = DirectoryFile(shelf)
        compiler = Compiler(values, kinds, backend_kinds)
        self.serving = Serving(compiler, shelf, crew, probe, clock, self.known_store, self.directory_file)
        self.proposals = Proposals()
        self._disk = ""  # why the last known good cannot be written
        self._reason = ""  # why the store is not up, as it was logged
        self._loaded = False
        self._unserved = False  # the state has changes that are not served, or could not be
        self._marked = 0.0
        self._following = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def directory(self) -> Directory:
        return self.directory_file.directory

    @property
    def served(self) -> Served:
        return self.serving.served

    @property
    def lost(self) -> str:
        """Why a store that answers is not believed; "" when it is."""
        return self.known_store.lost

    def compile(self, state: State) -> Snapshot:
        """What this node would serve of a state. DocumentsRefused with every finding. May run in a thread."""
        return self.serving.compiler.compile(state)

    async def current_directory(self) -> Path | None:
        """See `DirectoryFile.current`."""
        return await self.directory_file.current()

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
        await self.known_store.believe(self.store, state, self.state)
        directory = await load_directory(self.store, self.clock)
        self.proposals.replace({key: record.value async for key, record in self.store.scan(PROPOSALS)})
        self.state = state
        self.store_up = self._loaded = self._unserved = True
        await self._tell_directory(directory)

    async def _tell_directory(self, directory: Directory) -> None:
        self.directory_file.replace(directory)
        self.crew.directory(await self.directory_file.write())

    async def _restore_directory(self) -> None:
        kept = await asyncio.to_thread(self.shelf.read)
        if kept is not None and kept.directory is not None:
            await self._tell_directory(kept.directory)

    async def _restore_snapshot(self) -> None:
        kept = await asyncio.to_thread(self.shelf.read)
        if kept is None:
            log.warning("This node has no last known good: it serves nothing until it can follow its store.")
            return
        error = self.served.error
        await self.serving.activate(kept.snapshot, kept.sequence, kept.at)
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
            await self.known_store.meet(self.store)
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
            self.directory_file.unwritten = True
        elif change.table in FOLLOWED:
            self._unserved = True
        elif change.table == PROPOSALS:
            self.proposals.take(change)

    async def _settle(self) -> None:
        """Serves what was read and answers proposals. What fails for the store's sake stays to be done."""
        told = (self.served.sequence, len(self.proposals.answers))
        if self._unserved or self.serving.due:
            await fetch_revisions(self.store, self.state)
            self.state.drop_unused_revisions()
            await self.serving.serve(self.state)
            self._unserved = False
        self.served.sequence = self.state.sequence
        for hash in self.proposals.take_dropped():  # after serving: what was prepared may just have been activated
            self.crew.forget(hash)
        for id, proposal in self.proposals.unanswered().items():
            await self._answer(id, proposal)
        if told != (self.served.sequence, len(self.proposals.answers)):
            await self._beat()

    async def _answer(self, id: str, proposal: Value) -> None:
        """Builds what a proposal would make of this node, and says whether it could serve it."""
        answers = self.proposals.answers
        try:
            writes = [Write(table, key, value) for table, key, value in proposal["writes"]]
            candidate = await asyncio.to_thread(self.state.candidate, writes)
            await fetch_revisions(self.store, candidate)
            await self.serving.prepare(candidate, lambda hash: self.proposals.building(id, hash))
            answers[id] = "ok"
        except StoreUnavailable:
            raise
        except (DocumentsRefused, Problem) as error:
            answers[id] = str(error)
        except Exception as error:
            log.exception("a proposal could not be built")
            answers[id] = f"{type(error).__name__}: {error}"

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
        await self.directory_file.keep()
        heard, mark = self.directory.as_of, self.clock.monotonic()
        served, known = self.served, self.directory_file.known
        if known and served.hash and self.store_up and (now or mark - self._marked > MARK):
            self.known_store.mark(served.hash, served.sequence, heard)
            self._marked = mark

    async def _beat(self) -> None:
        await self.store.beat(self.name, self.heartbeat(), TTL)

    async def _sweep(self) -> None:
        """Takes away proposals of publishers that died."""
        if dead := self.proposals.dead(self.clock.monotonic(), self.name, self.run):
            await self.store.commit([Write(PROPOSALS, id, None) for id in dead])

    def heartbeat(self) -> dict[str, Any]:
        return {
            **self.facts,
            "serving": self.served.sequence,
            "snapshot": self.served.hash,
            "error": self.served.error,
            "problems": [*self.crew.problems(), *filter(None, (self._disk, self.lost))],
            "prepared": self.proposals.answers,
            "workers": self.crew.size,
            "steps": self.crew.steps(),
            "at": self.clock.time(),
            **self.also(),
        }
