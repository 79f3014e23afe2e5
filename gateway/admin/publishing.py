"""Puts changes live on every node, or leaves everything as it was (DESIGN, section 8).

A change is proposed, prepared by every live node (built, not yet serving), activated by one compare-and-swap commit,
and then awaited and probed. One failure before the commit leaves the old state; one after it brings the old state back.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from gateway.admin.state import State, expectations
from gateway.core.clock import Clock
from gateway.core.errors import Problem, Unavailable
from gateway.store.store import PROPOSALS, Store, Write

POLL: Final = 0.05  # seconds between looks at the nodes' heartbeats


class NotPublished(Problem):
    status, title, code = 409, "The change is not live", "not_published"


@dataclass(frozen=True, slots=True)
class Published:
    """`live` names the nodes that serve it; `sequence` is the commit."""

    sequence: int
    live: tuple[str, ...]
    items: tuple[dict[str, Any], ...] = ()


class Node(Protocol):
    """This node, as the publisher sees it."""

    @property
    def state(self) -> State: ...

    @property
    def name(self) -> str: ...

    async def follow(self) -> None:
        """Reads the change log now."""
        ...


@dataclass
class Publisher:
    """One per control process; one change at a time per node, the store decides between nodes."""

    store: Store
    node: Node
    clock: Clock
    timeout: float = 30.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def publish(self, writes: Sequence[Write], audit: Mapping[str, Any], *, gated: bool = True) -> Published:
        """`gated` changes alter what is served: every live node prepares and probes them. Others are committed."""
        async with self.lock:
            await self.node.follow()
            expecting = expectations(self.node.state, writes)
            if not gated:
                sequence = await self.store.commit(expecting, audit)
                await self.node.follow()
                return Published(sequence, (self.node.name,))
            return await self._gated(expecting, audit)

    async def _gated(self, writes: list[Write], audit: Mapping[str, Any]) -> Published:
        proposal = uuid.uuid4().hex
        body = {"writes": [[w.table, w.key, w.value] for w in writes], "at": self.clock.time()}
        await self.store.commit([Write(PROPOSALS, proposal, body, 0)])
        try:
            await self.node.follow()
            await self._prepared(proposal)
            sequence = await self.store.commit([*writes, Write(PROPOSALS, proposal, None)], audit)
        except BaseException as error:
            await self._withdraw(proposal, audit, error)
            raise
        try:
            await self.node.follow()
            return Published(sequence, await self._live(sequence))
        except BaseException as error:
            await self._bring_back(writes, audit, error)
            raise

    async def _withdraw(self, proposal: str, audit: Mapping[str, Any], error: BaseException) -> None:
        failed = {**audit, "outcome": "refused", "error": _text(error)}
        await asyncio.shield(self.store.commit([Write(PROPOSALS, proposal, None)], failed))
        await self.node.follow()

    async def _bring_back(self, writes: Sequence[Write], audit: Mapping[str, Any], error: BaseException) -> None:
        """Writes that were new stay as revisions that nothing points to; every pointer gets its old value."""
        before = self._before
        old = [Write(w.table, w.key, before.get((w.table, w.key))) for w in writes if w.table != "revisions"]
        failed = {**audit, "outcome": "rolled back", "error": _text(error)}
        await asyncio.shield(self.store.commit(old, failed))
        await self.node.follow()

    # what the nodes say

    async def _prepared(self, proposal: str) -> None:
        self._before = {
            (table, key): record.value for table, rows in self.node.state.tables.items() for key, record in rows.items()
        }

        def answer(state: Mapping[str, Any]) -> str | None:
            found = state.get("prepared", {}).get(proposal)
            return None if found is None else str(found)

        for node, said in (await self._everybody(answer)).items():
            if said != "ok":
                raise NotPublished(f"Node {node} cannot serve it: {said} Nothing was changed.")

    async def _live(self, sequence: int) -> tuple[str, ...]:
        def answer(state: Mapping[str, Any]) -> str | None:
            if int(state.get("serving", 0)) < sequence:
                return None
            return str(state.get("error") or "ok")

        found = await self._everybody(answer)
        for node, said in found.items():
            if said != "ok":
                raise NotPublished(f"Node {node} could not serve it: {said} The old state is back.")
        return tuple(sorted(found))

    async def _everybody(self, answer: Any) -> dict[str, str]:
        """Waits until every live node has answered. A node whose heartbeat ends meanwhile is no longer waited for."""
        deadline = self.clock.monotonic() + self.timeout
        while True:
            nodes = await self.store.nodes()
            answers = {name: answer(state) for name, state in nodes.items()}
            if answers and all(said is not None for said in answers.values()):
                return answers
            if self.clock.monotonic() > deadline:
                silent = ", ".join(sorted(name for name, said in answers.items() if said is None)) or "this node"
                raise Unavailable(f"No answer from {silent} within {self.timeout:g} s.")
            await asyncio.sleep(POLL)

    _before: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)


def _text(error: BaseException) -> str:
    if isinstance(error, Problem):
        return error.detail or error.title
    return type(error).__name__ if isinstance(error, asyncio.CancelledError) else str(error)
