"""Snapshots of this node: compiled, put on the shelf, built and served by every worker. One that fails anywhere leaves
the one before it in place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.admin.state import State, Values
from gateway.core.clock import Clock
from gateway.core.errors import Problem
from gateway.core.findings import DocumentsRefused
from gateway.core.kinds import BackendKinds, Kinds
from gateway.server import collector
from gateway.server.crew import Crew
from gateway.server.directory_file import DirectoryFile
from gateway.server.known_store import KnownStore
from gateway.server.last_known_good import Shelf
from gateway.snapshot.memo import Memo
from gateway.snapshot.spec import Snapshot, VersionSpec

log: Final = logging.getLogger("gateway.control")
AGAIN: Final = 5.0  # seconds until what could not be served is tried again
LISTED: Final = 50  # versions that a line of the log names

Probe = Callable[[Sequence[VersionSpec]], Awaitable[None]]


@dataclass
class Served:
    """What this node serves: up to which sequence, and what went wrong last."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    hash: str = ""
    sequence: int = 0
    error: str = ""


@dataclass
class Compiler:
    """What a state is compiled with. Remembers what has not changed."""

    values: Values
    kinds: Kinds
    backend_kinds: BackendKinds
    memo: Memo = field(default_factory=Memo)

    def compile(self, state: State) -> Snapshot:
        """DocumentsRefused with every finding. May run in a thread."""
        return state.compile(self.values, self.kinds, self.backend_kinds, self.memo)


@dataclass
class Serving:
    """Of one control process. `probe` asks the gateway's own port for versions that changed."""

    compiler: Compiler
    shelf: Shelf
    crew: Crew
    probe: Probe
    clock: Clock
    known_store: KnownStore
    directory: DirectoryFile
    served: Served = field(default_factory=Served)
    _frozen: int = 0  # how many versions had been compiled when the collector was told to pass over them
    _again: float = 0.0

    @property
    def due(self) -> bool:
        """What could not be served is to be tried again."""
        return bool(self.served.error) and self.clock.monotonic() >= self._again

    async def prepare(self, candidate: State, building: Callable[[str], None]) -> None:
        """Builds it beside what serves; `building` gets its hash before the workers do. Raises what is wrong."""
        snapshot = await asyncio.to_thread(self.compiler.compile, candidate)
        hash, path = await asyncio.to_thread(self.shelf.put, snapshot)
        building(hash)
        await self.crew.prepare(hash, path)

    async def serve(self, state: State) -> None:
        sequence = state.sequence
        try:
            snapshot = await asyncio.to_thread(self.compiler.compile, state)
        except Exception as error:
            self._cannot(error, sequence)
            return
        await self.activate(snapshot, sequence, self.clock.time())

    async def activate(self, snapshot: Snapshot, sequence: int, at: float) -> None:
        """`at`: when it was current."""
        try:
            await self._activate(snapshot, sequence, at)
        except Exception as error:
            self._cannot(error, sequence)
            return
        self.served.error, self.served.sequence = "", sequence

    async def _activate(self, snapshot: Snapshot, sequence: int, at: float) -> None:
        hash, path = await asyncio.to_thread(self.shelf.put, snapshot)
        changed = hash != self.served.hash
        if changed:
            await self._put_in_place(snapshot, hash, path)
            self.served.snapshot, self.served.hash = snapshot, hash
            log.info("snapshot %s serves: %s", hash, _names(snapshot))
        if self.directory.unwritten:
            await self.directory.write()  # a mark says that all of the shelf is current
        self.known_store.mark(hash, sequence, at)
        if changed:
            await asyncio.to_thread(self.shelf.sweep, hash)
            self._keep_compiled()

    def _keep_compiled(self) -> None:
        """Of many versions, those that were compiled since the last time are not looked through for garbage again."""
        compiled = self.compiler.memo.compiled
        if compiled - self._frozen >= collector.PART:
            self._frozen = compiled
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


def _names(snapshot: Snapshot) -> str:
    """For the log: all of few, the number of many."""
    names = [each.name for each in snapshot.versions]
    return ", ".join(names) or "nothing" if len(names) <= LISTED else f"{len(names)} versions"
