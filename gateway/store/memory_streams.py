"""The in-memory twin of event streams: one process's, by its clock. Nothing outlives the process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from gateway.core.clock import Clock, SystemClock
from gateway.core.errors import Conflict, Gone, NotFound
from gateway.store.redis_streams import fingerprint, full, identified, named, refused
from gateway.store.streams import DeadLetter, Failure, GroupInfo, Message, Start, State, TopicInfo

_Order = tuple[int, int]
_LOOK_SECONDS = 0.05  # a waiting reader looks this often whether a lease or a delay is over


def _order(id: str) -> _Order:
    ms, _, number = identified(id).partition("-")
    return int(ms), int(number)


@dataclass(slots=True)
class _Lease:
    """A delivered message that is not finished; it is delivered again from `due` on."""

    consumer: str
    due: float
    attempt: int = 1
    waiting: bool = False
    reason: str | None = None


@dataclass(slots=True)
class _Group:
    start: _Order
    last: _Order
    leases: dict[str, _Lease] = field(default_factory=dict)
    dead: dict[str, DeadLetter] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)

    def buried(self, origin: str) -> bool:
        return any(letter.origin == origin for letter in self.dead.values())


@dataclass(slots=True)
class _Topic:
    entries: dict[str, tuple[Message, str | None]] = field(default_factory=dict)  # with the one group it is for
    last: _Order = (0, 0)
    trimmed: _Order = (0, 0)
    groups: dict[str, _Group] = field(default_factory=dict)
    seen: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def behind(self, order: _Order) -> Iterator[tuple[Message, str | None]]:
        return (entry for id, entry in self.entries.items() if _order(id) > order)

    def stir(self) -> None:
        """Wakes who waits."""
        self.moved.set()
        self.moved = asyncio.Event()


class MemoryStreams:
    """See the protocol for what each call means."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._topics: dict[str, _Topic] = {}

    def _topic(self, topic: str) -> _Topic:
        return self._topics.setdefault(named("topic", topic), _Topic())

    def _group(self, topic: str, group: str) -> _Group:
        found = self._topic(topic).groups.get(named("subscription", group))
        if found is None:
            raise refused("nogroup", topic, group, "")
        return found

    def _held(self, topic: str, group: str, id: str, attempt: int | None) -> tuple[_Group, _Lease]:
        found = self._group(topic, group)
        lease = found.leases.get(identified(id))
        if lease is None:
            raise refused("gone", topic, group, id)
        if attempt is not None and attempt != lease.attempt:
            raise refused("late", topic, group, id)
        return found, lease

    def _next_id(self, last: _Order) -> _Order:
        ms = int(self._clock.time() * 1000)
        return (ms, 0) if ms > last[0] else (last[0], last[1] + 1)

    async def append(
        self,
        topic: str,
        payload: bytes,
        properties: Mapping[str, str] | None = None,
        max_length: int = 1_000_000,
        *,
        dedupe: str | None = None,
        dedupe_seconds: float = 86_400.0,
    ) -> str:
        found, about = self._topic(topic), dict(properties or {})
        print_ = fingerprint(payload, about)
        if dedupe is not None and (first := self._seen(found, dedupe, print_)):
            return first
        if not _make_room(found, max(1, max_length)):
            raise full(topic, max_length)
        id = self._put(found, payload, about)
        if dedupe is not None:
            found.seen[dedupe] = (print_, id, self._clock.time() + dedupe_seconds)
        return id

    def _seen(self, topic: _Topic, name: str, print_: str) -> str | None:
        known = topic.seen.get(name)
        if known is None or known[2] <= self._clock.time():
            return None
        if known[0] != print_:
            raise Conflict(f"A message named {name!r} with another content is there: {known[1]}.")
        return known[1]

    def _put(
        self, topic: _Topic, payload: bytes, about: Mapping[str, str], origin: str = "", target: str | None = None
    ) -> str:
        topic.last = self._next_id(topic.last)
        id = f"{topic.last[0]}-{topic.last[1]}"
        topic.entries[id] = (Message(id, payload, about, 1, origin or id), target)
        topic.stir()
        return id

    async def create_group(self, topic: str, group: str, start: Start = "beginning") -> bool:
        found = self._topic(topic)
        if named("subscription", group) in found.groups:
            return False
        begin = found.last if start == "end" else (0, 0)
        found.groups[group] = _Group(begin, begin)
        return True

    async def drop_group(self, topic: str, group: str) -> None:
        self._topic(topic).groups.pop(group, None)

    async def delete(self, topic: str) -> None:
        self._topics.pop(topic, None)

    async def read(
        self,
        topic: str,
        group: str,
        consumer: str,
        count: int = 1,
        block_seconds: float = 0.0,
        *,
        lease_seconds: float = 60.0,
    ) -> list[Message]:
        loop = asyncio.get_running_loop()
        end = loop.time() + block_seconds
        while True:
            messages = self._take(topic, group, consumer, max(1, count), self._clock.time() + lease_seconds)
            left = end - loop.time()
            if messages or left <= 0:
                return messages
            await _wait(self._topic(topic), min(left, _LOOK_SECONDS))

    def _take(self, topic: str, group: str, consumer: str, count: int, lease: float) -> list[Message]:
        found, of = self._topic(topic), self._group(topic, group)
        now, messages = self._clock.time(), []
        due = sorted((one.due, _order(id), id) for id, one in of.leases.items() if one.due <= now)
        for _, _, id in due[:count]:
            one = of.leases[id]
            one.consumer, one.due, one.attempt, one.waiting = consumer, lease, one.attempt + 1, False
            messages.append(replace(found.entries[id][0], attempt=one.attempt))
        for message, target in found.behind(of.last):
            if len(messages) >= count:
                break
            of.last = _order(message.id)
            if target in (None, group):
                of.leases[message.id] = _Lease(consumer, lease)
                messages.append(message)
        return messages

    async def ack(self, topic: str, group: str, id: str, attempt: int | None = None) -> None:
        if attempt is None and id not in self._group(topic, group).leases:
            identified(id)
            return
        found, _ = self._held(topic, group, id, attempt)
        self._finish(topic, found, id)

    def _finish(self, topic: str, group: _Group, id: str) -> Message:
        message = self._topic(topic).entries[id][0]
        del group.leases[id]
        group.moved.pop(message.origin, None)
        return message

    async def extend(self, topic: str, group: str, id: str, attempt: int, lease_seconds: float = 60.0) -> None:
        _, lease = self._held(topic, group, id, attempt)
        lease.due = self._clock.time() + lease_seconds

    async def retry(
        self, topic: str, group: str, id: str, delay_seconds: float, *, reason: str = "", attempt: int | None = None
    ) -> None:
        _, lease = self._held(topic, group, id, attempt)
        lease.due, lease.waiting, lease.reason = self._clock.time() + delay_seconds, True, reason

    async def dead_letter(self, topic: str, group: str, message: Message, reason: str, error: str = "") -> str:
        found, lease = self._held(topic, group, message.id, message.attempt)
        kept = self._finish(topic, found, message.id)
        order = self._next_id(_order(next(reversed(found.dead))) if found.dead else (0, 0))
        id, now = f"{order[0]}-{order[1]}", self._clock.time()
        found.dead[id] = DeadLetter(id, kept.origin, kept.payload, kept.properties, lease.attempt, reason, error, now)
        return id

    async def release(self, topic: str, group: str, consumer: str) -> int:
        now, given = self._clock.time(), 0
        for lease in self._group(topic, group).leases.values():
            if lease.consumer == consumer and not lease.waiting:
                lease.due, given = now, given + 1
            if lease.consumer == consumer:
                lease.consumer = "-"
        self._topic(topic).stir()
        return given

    async def failures(self, topic: str, group: str, limit: int = 100) -> list[Failure]:
        leases = self._group(topic, group).leases.items()
        found = [Failure(id, one.attempt, one.reason or "", one.due) for id, one in leases if one.waiting]
        return sorted(found, key=lambda failure: failure.due)[:limit]

    async def dead_letters(self, topic: str, group: str, limit: int = 100, after: str = "") -> list[DeadLetter]:
        behind = _order(after) if after else (0, 0)
        dead = self._group(topic, group).dead.values()
        return [letter for letter in dead if _order(letter.id) > behind][:limit]

    async def redrive(self, topic: str, group: str, id: str) -> str:
        found = self._group(topic, group)
        letter = found.dead.pop(identified(id), None)
        if letter is None:
            raise NotFound(f"{group} of {topic} has no dead letter {id}.")
        new = self._put(self._topic(topic), letter.payload, letter.properties, letter.origin, group)
        found.moved[letter.origin] = new
        return new

    async def discard(self, topic: str, group: str, id: str) -> bool:
        return self._group(topic, group).dead.pop(id, None) is not None

    async def browse(self, topic: str, after: str = "", count: int = 100, block_seconds: float = 0.0) -> list[Message]:
        loop = asyncio.get_running_loop()
        end, behind = loop.time() + block_seconds, _order(after) if after else (0, 0)
        while True:
            found = self._topic(topic)
            if after and behind < found.trimmed:
                raise Gone(f"{topic} does not reach back to {after} any more.")
            messages = [message for message, target in found.behind(behind) if target is None][: max(1, count)]
            left = end - loop.time()
            if messages or left <= 0:
                return messages
            await _wait(found, left)

    async def status(self, topic: str, id: str) -> dict[str, State]:
        found, order = self._topic(topic), _order(id)
        entry = found.entries.get(id)
        origin, target = (entry[0].origin, entry[1]) if entry else (id, None)
        meant = {n: g for n, g in found.groups.items() if target in (None, n) and g.start < order}
        if entry is None and not any(g.buried(origin) or origin in g.moved for g in meant.values()):
            if order <= found.trimmed:
                raise Gone(f"Message {id} of {topic} was trimmed: every subscription has finished it.")
            raise NotFound(f"{topic} has no message {id}.")
        return {name: _state(group, group.moved.get(origin, id), origin) for name, group in meant.items()}

    async def info(self, topic: str) -> TopicInfo:
        found = self._topic(topic)
        ids = list(found.entries)
        groups = {name: _counts(found, group) for name, group in found.groups.items()}
        return TopicInfo(len(ids), ids[0] if ids else "", ids[-1] if ids else "", groups)

    async def hazards(self) -> list[str]:
        return ["Messages in memory end with the process: name a store with --store."]

    async def close(self) -> None:
        """Keeps its content: another user of the same object may go on."""


def _make_room(topic: _Topic, maximum: int) -> bool:
    while len(topic.entries) >= maximum:
        oldest = next(iter(topic.entries))
        order = _order(oldest)
        if any(order > group.last or oldest in group.leases for group in topic.groups.values()):
            return False
        del topic.entries[oldest]
        topic.trimmed = order
    return True


def _state(group: _Group, id: str, origin: str) -> State:
    if group.buried(origin):
        return "dead"
    lease = group.leases.get(id)
    if lease is None:
        return "pending" if _order(id) > group.last else "delivered"
    return "pending" if lease.reason is None else "retrying"


def _counts(topic: _Topic, group: _Group) -> GroupInfo:
    retrying = sum(lease.waiting for lease in group.leases.values())
    waiting = sum(1 for _ in topic.behind(group.last))
    return GroupInfo(waiting, len(group.leases) - retrying, retrying, len(group.dead))


async def _wait(topic: _Topic, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await topic.moved.wait()
    except TimeoutError:
        return
