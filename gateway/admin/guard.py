"""Takes a bad revision back by itself: a canary is aborted, an activation rolled back, when its requests fail or are
slow beyond what its manifest's `guard` allows.

Each node tells the numbers of watched revisions with its heartbeat. All nodes watch; the one that decides is the first
by name of those whose heartbeat the store holds, which is a lease: it ends when the node falls silent. Should two of
them decide at once, the store takes one, as each expects the pointer that it has seen.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from gateway.admin.guarding import guard_of
from gateway.admin.service import Service
from gateway.admin.standing import abort_canary
from gateway.core.durations import seconds
from gateway.core.errors import Problem
from gateway.core.shares import share
from gateway.manifest.documents import Guard
from gateway.snapshot.lifecycle import browned_out, lifecycle_spec, override
from gateway.store.store import ACTIVE
from gateway.telemetry.counters import BOUNDS, CLASSES

log: Final = logging.getLogger("gateway.control")
EVERY: Final = 1.0  # seconds between two looks
AGAIN: Final = 10.0  # seconds until what could not be taken back is tried again
ACTOR: Final = "guard"
FAILED: Final = CLASSES.index("5xx")


@dataclass(frozen=True, slots=True)
class Numbers:
    """Of some requests: how many, how many of them were answered 5xx, and how long they took (`counters.BOUNDS`)."""

    requests: int = 0
    errors: int = 0
    buckets: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)

    @classmethod
    def read(cls, row: Sequence[int]) -> Self:
        return cls(row[0], row[1], tuple(row[2:]))

    def row(self) -> list[int]:
        return [self.requests, self.errors, *self.buckets]

    def plus(self, other: Numbers) -> Numbers:
        buckets = tuple(mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True))
        return Numbers(self.requests + other.requests, self.errors + other.errors, buckets)

    def since(self, earlier: Numbers) -> Numbers:
        """What came after; all of it, when the counters began again meanwhile."""
        if self.requests < earlier.requests:
            return self
        buckets = tuple(now - then for now, then in zip(self.buckets, earlier.buckets, strict=True))
        return Numbers(self.requests - earlier.requests, self.errors - earlier.errors, buckets)

    @property
    def failing(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    def p99(self) -> float:
        """Seconds, within the width of a bucket; requests beyond the last bound count as that."""
        wanted, passed = 0.99 * sum(self.buckets), 0
        for index, count in enumerate(self.buckets):
            if count and passed + count >= wanted:
                low = BOUNDS[index - 1] if index else 0.0
                high = BOUNDS[index] if index < len(BOUNDS) else low
                return low + (high - low) * (wanted - passed) / count
            passed += count
        return 0.0


def judge(guard: Guard, mine: Numbers, other: Numbers) -> str | None:
    """Why the revision is taken back; None while it does well, or too few have called."""
    if mine.requests < guard.minimum:
        return None
    comparable = other.requests >= guard.minimum
    for reason in _reasons(guard, mine, other if comparable else None):
        return f"{reason}, of {mine.requests} requests in {guard.window}"
    return None


def _reasons(guard: Guard, mine: Numbers, other: Numbers | None) -> Iterator[str]:
    if guard.errors is not None and mine.failing > share(guard.errors):
        yield f"{mine.failing:.1%} answered 5xx, more than {guard.errors}"
    if guard.p99 is not None and mine.p99() > seconds(guard.p99):
        yield f"p99 {mine.p99() * 1000:.0f}ms, more than {guard.p99}"
    if other is None:
        return
    if guard.errors_above is not None and mine.failing > other.failing + share(guard.errors_above):
        yield f"{mine.failing:.1%} answered 5xx, {other.failing:.1%} of the other revision"
    if guard.p99_factor is not None and mine.p99() > guard.p99_factor * other.p99() > 0:
        yield f"p99 {mine.p99() * 1000:.0f}ms, {other.p99() * 1000:.0f}ms of the other revision"


@dataclass(frozen=True, slots=True)
class Watched:
    """A revision under guard, and the one that it is compared with."""

    name: str
    revision: str
    other: str
    guard: Guard
    canary: bool


@dataclass(slots=True)
class _Track:
    """The requests of one revision as they came in, over all nodes."""

    before: dict[str, Numbers] = field(default_factory=dict)  # by node
    earlier: Numbers = field(default_factory=Numbers)  # until the watch began
    steps: deque[tuple[float, Numbers]] = field(default_factory=deque)

    def take(self, now: float, by_node: Mapping[str, Numbers], window: float) -> None:
        """A node that is new tells what there was before; of others counts what they have beyond the last time."""
        came = Numbers()
        for node, numbers in by_node.items():
            known = self.before.get(node)
            if known is None:
                self.earlier = self.earlier.plus(numbers)
            else:
                came = came.plus(numbers.since(known))
        self.before = dict(by_node)
        self.steps.append((now, came))
        while self.steps[0][0] <= now - window:
            self.steps.popleft()

    def sum(self) -> Numbers:
        total = Numbers()
        for _, numbers in self.steps:
            total = total.plus(numbers)
        return total


@dataclass
class Guarding:
    """One per control process. `measured` has this node's numbers: `counters.by_revision` of its workers."""

    service: Service
    measured: Callable[[], Iterable[Mapping[str, Any]]]
    _tracks: dict[tuple[str, str, str], _Track] = field(default_factory=dict)  # version, watched revision, revision
    _tried: dict[str, float] = field(default_factory=dict)

    def watched(self) -> list[Watched]:
        """What is under guard now: canaries, and revisions that were activated lately."""
        node, found = self.service.node, []
        now = self.service.clock.time()
        for name, record in node.state.rows(ACTIVE).items():
            pointer = record.value
            running, history = pointer.get("canary"), pointer.get("history", [])
            revision = str((running or pointer)["revision"])
            bundle = node.state.revisions.get(revision)
            guard = guard_of(pointer, bundle) if bundle is not None else None
            if bundle is None or guard is None:
                continue
            life = lifecycle_spec(override(bundle.manifest.lifecycle, pointer.get("lifecycle")))
            if browned_out(life, now) is not None:
                continue  # 503 is what is wanted
            if running:
                found.append(Watched(name, revision, str(pointer["revision"]), guard, True))
            elif history and not pointer.get("rolled_back") and now - float(pointer["since"]) < seconds(guard.watch):
                found.append(Watched(name, revision, str(history[-1]), guard, False))
        return found

    def told(self) -> dict[str, Any]:
        """For the heartbeat: the numbers of what is watched, by version and revision; nothing when nothing is."""
        wanted = {(each.name, revision) for each in self.watched() for revision in (each.revision, each.other)}
        found: dict[str, dict[str, list[int]]] = {}
        for entry in self.measured() if wanted else ():
            name = f"{entry['component']}@{entry['version']}"
            if (name, entry["revision"]) in wanted:
                found.setdefault(name, {})[entry["revision"]] = _numbers(entry).row()
        return {"revisions": found} if wanted else {}

    async def look(self) -> None:
        """Takes the numbers in, and takes back what does badly. Problem when that failed."""
        watched = self.watched()
        keys = {(each.name, each.revision, part) for each in watched for part in (each.revision, each.other)}
        self._tracks = {key: track for key, track in self._tracks.items() if key in keys}
        if not watched:
            return
        nodes = await self.service.store.nodes()
        decides = self.service.node.name == min(nodes, default="")
        now = self.service.clock.monotonic()
        for each in watched:
            mine, other = (self._take(each, part, nodes, now) for part in (each.revision, each.other))
            reason = judge(each.guard, mine.sum(), other.sum() if each.canary else other.earlier)
            if reason is not None and decides and now - self._tried.get(each.name, -AGAIN) >= AGAIN:
                self._tried[each.name] = now
                await self._take_back(each, reason)

    def _take(self, each: Watched, revision: str, nodes: Mapping[str, Mapping[str, Any]], now: float) -> _Track:
        track = self._tracks.setdefault((each.name, each.revision, revision), _Track())
        by_node = {
            node: Numbers.read(row) if (row := state["revisions"].get(each.name, {}).get(revision)) else Numbers()
            for node, state in nodes.items()
            if "revisions" in state
        }
        track.take(now, by_node, seconds(each.guard.window))
        return track

    async def _take_back(self, each: Watched, reason: str) -> None:
        log.warning("%s: revision %s is taken back: %s", each.name, each.revision, reason)
        if each.canary:
            await abort_canary(self.service, each.name, ACTOR, of=each.revision, reason=reason)
        else:
            await self.service.versions.rollback(each.name, ACTOR, of=each.revision, reason=reason)

    async def watch_forever(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.look()
            except Problem as error:
                log.warning("what is under guard could not be seen to: %s", error)
            except Exception:
                log.exception("what is under guard could not be seen to; trying again")


def _numbers(entry: Mapping[str, Any]) -> Numbers:
    classes = entry["classes"]
    return Numbers(sum(classes), classes[FAILED], tuple(entry["buckets"]))
