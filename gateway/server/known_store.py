"""What this node knows of its store, from before its start as well: one that has lost its data is not believed."""

from __future__ import annotations

from gateway.admin.state import State
from gateway.core.errors import StoreUnavailable
from gateway.server.last_known_good import Shelf
from gateway.store.store import Store


class KnownStore:
    """Of one control process. `lost`: why the store that answers is not believed; "" when it is."""

    def __init__(self, shelf: Shelf) -> None:
        self.lost = ""
        self._shelf = shelf
        self._followed, self._id = shelf.followed()  # before this start

    async def believe(self, store: Store, state: State, before: State) -> None:
        """StoreUnavailable for a store that has lost what this node knows of it, now or from before its start: what it
        has left would end everything that is served. `state` is what it has; `before`, what was followed so far."""
        id, most = await store.id(), max(before.sequence, self._followed)
        if state.sequence <= most and (not state.sequence or self._id not in (None, id)) and most:
            what = "another one, which knows less" if state.sequence else "empty"
            self.lost = (
                f"The store answers, but it is {what}: it has lost its data. Restore it: penstock restore. If it shall "
                f"be like that, end this node and take {self._shelf.folder} away."
            )
            raise StoreUnavailable(self.lost)
        self._id, self._followed, self.lost = id, 0, ""

    async def meet(self, store: Store) -> None:
        """It had no id as long as nothing was written."""
        self._id = self._id or await store.id()

    def mark(self, hash: str, sequence: int, at: float) -> None:
        """This snapshot serves now, and all of the shelf was current at that time, by this store."""
        self._shelf.mark(hash, sequence, at, self._id)
