"""Revisions by their hash: those that this node follows, and those that only the store has; and which are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.admin.retention import complete_index, forget_revisions
from gateway.admin.state import read_bundle
from gateway.admin.writing import LocalNode
from gateway.core.errors import NotFound
from gateway.manifest.bundle import Bundle
from gateway.store.store import ACTIVE, REVISIONS, Store, Write


@dataclass
class Revisions:
    """Of one control process. `indexed`: every stored one has its entry in the index."""

    node: LocalNode
    store: Store
    indexed: bool = False

    async def get(self, revision: str) -> Bundle:
        """NotFound."""
        known = self.node.state.revisions.get(revision)
        if known is not None:
            return known
        record = await self.store.get(REVISIONS, revision)
        if record is None:
            raise NotFound(f"There is no revision {revision}.")
        return read_bundle(record.value)

    def active(self) -> set[str]:
        return {str(record.value["revision"]) for record in self.node.state.rows(ACTIVE).values()}

    async def again(self, bundle: Bundle, revision: str, at: float, actor: str) -> Write:
        """The revision as it is stored, once more: nodes that do not hold it read it from the proposal."""
        stored = await self.store.get(REVISIONS, revision)
        content = {"bundle": bundle.content(), "at": at, "actor": actor, "name": bundle.name}
        return Write(REVISIONS, revision, stored.value if stored else content)

    async def complete_index(self) -> None:
        """Once in the life of this process."""
        if not self.indexed:
            await complete_index(self.store)
            self.indexed = True

    async def forget(self, names: Sequence[str]) -> None:
        """Those that are not kept of these versions."""
        await self.complete_index()
        await forget_revisions(self.store, self.node.state, names)
