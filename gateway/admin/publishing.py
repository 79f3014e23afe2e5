"""Puts changes live on every node, or leaves everything as it was (DESIGN, section 8).

A change is proposed, prepared by every live node (built, not yet serving), activated by one compare-and-swap commit,
and then awaited and probed. One failure before the commit leaves the old state; one after it brings the old state back.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from gateway.admin.state import State, expectations
from gateway.core.clock import Clock
from gateway.core.errors import PreconditionFailed, Problem, StoreUnavailable, Unavailable
from gateway.store.store import PROPOSALS, REVISION_INDEX, REVISIONS, Store, Value, Write

log: Final = logging.getLogger("gateway.control")
POLL: Final = 0.02  # seconds between looks at the nodes' heartbeats
STALE: Final = 120.0  # seconds after which a proposal's publisher must have died


Answer = Callable[[Mapping[str, Any]], str | None]


class NotPublished(Problem):
    status, title, code = 409, "The change is not live", "not_published"


@dataclass(frozen=True, slots=True)
class Published:
    """`live` names the nodes that serve it; `sequence` is the commit."""

    sequence: int
    live: tuple[str, ...]
    items: tuple[dict[str, Any], ...] = ()


class Node(Protocol):
    """This node, as the publisher sees it. `run` tells this process from earlier ones of the same node."""

    @property
    def state(self) -> State: ...

    @property
    def name(self) -> str: ...

    @property
    def run(self) -> str: ...

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
    outcomes: Counter[str] = field(default_factory=Counter)  # of gated changes: live, refused

    async def publish(self, writes: Sequence[Write], audit: Mapping[str, Any], *, gated: bool = True) -> Published:
        """`gated` changes alter what is served: every live node prepares and probes them. Others are committed.
        PreconditionFailed when a record has changed since the caller looked at this node's state."""
        expecting = expectations(self.node.state, writes)
        async with self.lock:
            await self.node.follow()
            if not gated:
                sequence = await self.store.commit(expecting, audit)
                await self.node.follow()
                return Published(sequence, (self.node.name,))
            try:
                published = await self._gated(expecting, audit)
            except BaseException:
                self.outcomes["refused"] += 1
                raise
            self.outcomes["live"] += 1
            return published

    async def _gated(self, writes: list[Write], audit: Mapping[str, Any]) -> Published:
        before = await self._before(writes)
        proposal = uuid.uuid4().hex
        await self.store.commit([Write(PROPOSALS, proposal, self._proposal(writes), 0)])
        try:
            await self.node.follow()
            await self._prepared(proposal)
            sequence = await self._commit(proposal, writes, audit)
        except BaseException as error:
            await asyncio.shield(self._withdraw(proposal, audit, error))
            raise
        try:
            await self.node.follow()
            return Published(sequence, await self._live(sequence))
        except BaseException as error:
            await asyncio.shield(self._bring_back(before, sequence, audit, error))
            raise

    def _proposal(self, writes: Sequence[Write]) -> Value:
        listed = [[w.table, w.key, w.value] for w in writes]
        return {"writes": listed, "at": self.clock.time(), "node": self.node.name, "run": self.node.run}

    async def _before(self, writes: Sequence[Write]) -> list[Write]:
        """Writes that undo these. A new revision stays: nothing points to it then."""
        old = []
        for write in writes:
            if write.table not in {REVISIONS, REVISION_INDEX}:
                record = await self.store.get(write.table, write.key)
                old.append(Write(write.table, write.key, record.value if record else None))
        return old

    async def _commit(self, proposal: str, writes: Sequence[Write], audit: Mapping[str, Any]) -> int:
        """The commit takes the proposal away, too: when its answer is lost, that tells whether it was made."""
        try:
            return await self.store.commit([*writes, Write(PROPOSALS, proposal, None)], audit)
        except StoreUnavailable:
            if await self.store.get(PROPOSALS, proposal) is not None:
                raise
            return await self.store.sequence()

    async def _withdraw(self, proposal: str, audit: Mapping[str, Any], error: BaseException) -> None:
        failed = {**audit, "outcome": "refused", "error": _text(error)}
        try:
            await self.store.commit([Write(PROPOSALS, proposal, None)], failed)
            await self.node.follow()
        except StoreUnavailable:
            log.warning("a refused proposal stays in the store until it is swept: %s", _text(error))

    async def _bring_back(
        self, before: Sequence[Write], sequence: int, audit: Mapping[str, Any], error: BaseException
    ) -> None:
        """Every record gets its old value, unless somebody wrote one of them since."""
        failed = {**audit, "outcome": "rolled back", "error": _text(error)}
        old = [Write(write.table, write.key, write.value, sequence) for write in before]
        try:
            await self.store.commit(old, failed)
            await self.node.follow()
        except PreconditionFailed as newer:
            await self.store.commit([], {**failed, "outcome": "overtaken", "by": _text(newer)})
        except StoreUnavailable:
            log.error("sequence %s could not be taken back, as the store is away: %s", sequence, _text(error))

    # what the nodes say

    async def _prepared(self, proposal: str) -> None:
        def answer(state: Mapping[str, Any]) -> str | None:
            found = state.get("prepared", {}).get(proposal)
            return None if found is None else str(found)

        _all_well(await self._everybody(answer), "cannot serve it", "Nothing was changed.")

    async def _live(self, sequence: int) -> tuple[str, ...]:
        def answer(state: Mapping[str, Any]) -> str | None:
            if int(state.get("serving", 0)) < sequence:
                return None
            return str(state.get("error") or "ok")

        found = await self._everybody(answer)
        _all_well(found, "could not serve it", "The old state is back.")
        return tuple(sorted(found))

    async def _everybody(self, answer: Answer) -> dict[str, str]:
        """Waits until every live node has answered. A node whose heartbeat ends meanwhile is no longer waited for; one
        whose workers tell of steps is given time for all of them."""
        deadline = self.clock.monotonic() + self.timeout
        steps: dict[str, object] = {}
        while True:
            nodes = await self.store.nodes()
            now = {name: state.get("steps") for name, state in nodes.items()}
            if any(steps.get(name, count) != count for name, count in now.items()):
                deadline = self.clock.monotonic() + self.timeout
            steps = now
            answers = {name: answer(state) for name, state in nodes.items()}
            said = {name: text for name, text in answers.items() if text is not None}
            if self.node.name in said and len(said) == len(answers):
                return said
            if self.clock.monotonic() > deadline:
                silent = ", ".join(sorted(({self.node.name} | set(answers)) - set(said)))
                raise Unavailable(f"No answer from {silent} within {self.timeout:g} s.")
            await asyncio.sleep(POLL)


def _all_well(found: Mapping[str, str], what: str, now: str) -> None:
    wrong = [f"Node {node} {what}: {said}" for node, said in sorted(found.items()) if said != "ok"]
    if wrong:
        raise NotPublished(" ".join([*wrong, now]))


def _text(error: BaseException) -> str:
    if isinstance(error, Problem):
        return error.detail or error.title
    return type(error).__name__ if isinstance(error, asyncio.CancelledError) else str(error)
