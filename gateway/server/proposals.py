"""Proposals of changes that wait for this node's answer: could it serve what each would make of it?"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.admin.publishing import STALE
from gateway.store.store import Change, Value


class Proposals:
    """Those that are open. `answers` are this node's own, "ok" or what is wrong, by proposal."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self._open: dict[str, Value] = {}
        self._met: dict[str, float] = {}  # when this node heard of one, on its own monotonic clock
        self._candidates: dict[str, str] = {}  # the hash of what was prepared for one
        self._dropped: set[str] = set()  # hashes of proposals that are gone

    def replace(self, found: Mapping[str, Value]) -> None:
        for id in set(self._open) - set(found):
            self._withdrawn(id)
        self._open = dict(found)

    def take(self, change: Change) -> None:
        if change.value is not None:
            self._open[change.key] = change.value
        else:
            self._open.pop(change.key, None)
            self._withdrawn(change.key)

    def _withdrawn(self, id: str) -> None:
        self.answers.pop(id, None)
        hash = self._candidates.pop(id, "")
        if hash:
            self._dropped.add(hash)

    def unanswered(self) -> dict[str, Value]:
        return {id: value for id, value in self._open.items() if id not in self.answers}

    def building(self, id: str, hash: str) -> None:
        """This snapshot is prepared for it."""
        self._candidates[id] = hash

    def take_dropped(self) -> set[str]:
        """Hashes that were prepared and that no open proposal wants any more, each told once."""
        dropped, self._dropped = self._dropped - set(self._candidates.values()), set()
        return dropped

    def dead(self, now: float, name: str, run: str) -> list[str]:
        """Those of publishers that died: of this node's earlier runs, and old ones of others. How old they are is
        counted here, in seconds of a monotonic clock: the clocks of nodes differ, and jump."""
        self._met = {id: self._met.get(id, now) for id in self._open}
        return [
            id
            for id, proposal in self._open.items()
            if now - self._met[id] > STALE or (proposal["node"] == name and proposal["run"] != run)
        ]
