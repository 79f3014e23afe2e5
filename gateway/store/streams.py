"""The seam of event streams and queues: topics that are appended to, groups that read, retry and bury messages.

Delivery is at least once. A message that a group read stays its own until `ack` or `dead_letter`; when its lease ends
first (the consumer died, or is too slow and did not `extend`), the next `read` of the group delivers it again with
`attempt` one higher. `attempt` is also the receipt: what is done with an old one is a Conflict (CASES Q81).

Trimming never drops what a group has not finished (CASES Q78): an append beyond `max_length` removes only the oldest
messages that every group acknowledged or buried; when there is none, the append is refused with StreamFull. A topic
without groups keeps its newest `max_length` messages.

Implementations: `redis_streams.RedisStreams`, `memory_streams.MemoryStreams`; one parametrised suite runs on both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gateway.core.errors import Unavailable

State = Literal["pending", "delivered", "retrying", "dead"]
Start = Literal["beginning", "end"]


class StreamFull(Unavailable):
    """503 with Retry-After: the topic is at its length and a group has not finished its oldest message."""

    title, code = "The topic is full", "stream_full"


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery. `attempt` counts from 1. `origin` is the id that the message was first appended under: it differs
    from `id` after a redrive."""

    id: str
    payload: bytes
    properties: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1
    origin: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A buried message: `id` is its own among the dead letters, `origin` the topic's. `attempts` deliveries were
    made; `reason` is a short code, `error` what the last one said; `at` is seconds since 1970."""

    id: str
    origin: str
    payload: bytes
    properties: Mapping[str, str]
    attempts: int
    reason: str
    error: str
    at: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a message waits for its next delivery: kept until it is finished. `due` is seconds since 1970."""

    id: str
    attempts: int
    reason: str
    due: float


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """`waiting` messages were never delivered, `in_flight` are with consumers, `retrying` wait for a next delivery."""

    waiting: int
    in_flight: int
    retrying: int
    dead: int


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """`first` and `last` are the ids of the oldest and the newest message that is kept; empty when there is none."""

    length: int
    first: str
    last: str
    groups: Mapping[str, GroupInfo]


class Streams(Protocol):
    """Ids are strings that sort by time within a topic ("milliseconds-number"). Raises StoreUnavailable when the
    store cannot be reached, NotFound for a topic's group that does not exist, InvalidInput for a name with braces."""

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
        """The message's id; durable in the store's server when this returns. `dedupe` names the message for
        `dedupe_seconds`: the same name with the same payload and properties appends nothing and returns the first
        id, with others it is a Conflict (CASES Q79). StreamFull as told above."""
        ...

    async def create_group(self, topic: str, group: str, start: Start = "beginning") -> bool:
        """False when it exists already (then `start` changes nothing). `beginning`: of what the topic still keeps."""
        ...

    async def drop_group(self, topic: str, group: str) -> None:
        """The group with its pending messages and dead letters; nothing when there is none."""
        ...

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
        """Up to `count` messages, leased to `consumer`: first those whose lease or retry delay is over, then new
        ones. Waits up to `block_seconds` for the first."""
        ...

    async def ack(self, topic: str, group: str, id: str, attempt: int | None = None) -> None:
        """Finished. Conflict when `attempt` is given and is not the message's last, or when the message is not
        with the group any more; without `attempt` an unknown id is ignored."""
        ...

    async def extend(self, topic: str, group: str, id: str, attempt: int, lease_seconds: float = 60.0) -> None:
        """Still at work: the lease ends `lease_seconds` from now. Conflict as in `ack`."""
        ...

    async def retry(
        self, topic: str, group: str, id: str, delay_seconds: float, *, reason: str = "", attempt: int | None = None
    ) -> None:
        """Failed: deliver again after the delay; the reason is kept and shown. Conflict as in `ack`."""
        ...

    async def dead_letter(self, topic: str, group: str, message: Message, reason: str, error: str = "") -> str:
        """Moves a message to the group's dead letters, in one step with its acknowledgement, and returns the dead
        letter's id. Conflict when `message.attempt` is not the last."""
        ...

    async def release(self, topic: str, group: str, consumer: str) -> int:
        """What `consumer` holds is delivered to others at once; for a consumer that ends. Returns how many."""
        ...

    async def failures(self, topic: str, group: str, limit: int = 100) -> list[Failure]:
        """What waits for a next delivery, soonest first."""
        ...

    async def dead_letters(self, topic: str, group: str, limit: int = 100, after: str = "") -> list[DeadLetter]:
        """Oldest first, behind the dead letter `after`."""
        ...

    async def redrive(self, topic: str, group: str, id: str) -> str:
        """Appends the dead letter `id` again, for this group only, with attempts from 1, and removes it from the
        dead letters in the same step. Returns the new message id. NotFound for an unknown one."""
        ...

    async def discard(self, topic: str, group: str, id: str) -> bool:
        """Deletes a dead letter; False when there is none."""
        ...

    async def browse(self, topic: str, after: str = "", count: int = 100, block_seconds: float = 0.0) -> list[Message]:
        """Messages behind the id `after` (empty: from the oldest) without a group: nothing is leased. Gone when the
        topic no longer reaches back to `after` (CASES Q84). Waits up to `block_seconds` for the first."""
        ...

    async def status(self, topic: str, id: str) -> dict[str, State]:
        """The message's state in each group that it was meant for: pending (not finished, no failure yet), delivered
        (acknowledged), retrying (failed, comes again) or dead. NotFound for an id that was never given out, Gone for
        one that was trimmed (so every group has finished it)."""
        ...

    async def info(self, topic: str) -> TopicInfo:
        """A topic that nothing was appended to is empty."""
        ...

    async def hazards(self) -> list[str]:
        """Why acknowledged messages could be lost here: each a sentence with the way out; empty when they are kept.
        Queues must not start on a store with hazards unless that was asked for (CASES Q76)."""
        ...

    async def delete(self, topic: str) -> None:
        """The topic with its messages, groups and dead letters."""
        ...

    async def close(self) -> None: ...
