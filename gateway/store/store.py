"""The seam of the control plane's store: versioned records, one atomic commit, a change log with sequences.

Every write is one commit: changes + audit entry + sequence, all or nothing (DESIGN 10). The sequence counts commits
from 1; a record's version is the sequence that wrote it. Implementations: `redis_store.RedisStore`,
`memory.MemoryStore`; one parametrised suite runs on both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gateway.store.hooks import Hook
    from gateway.store.server_state import ServerState
    from gateway.store.staging import Staging

Value = Mapping[str, Any]  # what JSON has


@dataclass(frozen=True, slots=True)
class Record:
    value: Value
    version: int


@dataclass(frozen=True, slots=True)
class Write:
    """Puts `value` under (table, key), or deletes it when None. `expect`: the version that must be there, 0 for
    none; None for any."""

    table: str
    key: str
    value: Value | None
    expect: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One write as the change log tells it; the writes of one commit share its sequence. A commit that only tells the
    audit is one change of no table (`""`), so that whoever follows moves on behind it."""

    sequence: int
    table: str
    key: str
    value: Value | None


class Gap(Exception):
    """The change log no longer reaches back to the sequence asked for: load everything."""


class Store(Protocol):
    """Raises StoreUnavailable when the store cannot be reached."""

    async def get(self, table: str, key: str) -> Record | None: ...

    def scan(self, table: str) -> AsyncIterator[tuple[str, Record]]:
        """Every record of a table; keys in no particular order."""
        ...

    async def page(self, table: str, after: str = "", limit: int = 100) -> list[tuple[str, Record]]:
        """Up to `limit` records with the keys behind `after`, in the order of their UTF-8. What is there throughout is
        on exactly one page; however many records there are, a page costs the same."""
        ...

    async def commit(self, writes: Sequence[Write], audit: Value | None = None) -> int:
        """Applies all writes and the audit entry or none, and returns the sequence.
        PreconditionFailed (naming the record) when an `expect` does not hold."""
        ...

    async def sequence(self) -> int:
        """The newest commit's sequence; 0 for an empty store."""
        ...

    async def id(self) -> str | None:
        """Tells this store from one that took its place without its data; None before the first commit."""
        ...

    async def changes(self, after: int) -> list[Change]:
        """What was committed after a sequence, in order; Gap when the log was trimmed."""
        ...

    async def wait(self, after: int, seconds: float) -> None:
        """Returns when a commit after that sequence is likely (pub/sub notice), or after that many `seconds`."""
        ...

    async def audit(self, limit: int = 100, before: int | None = None) -> list[Value]:
        """Audit entries, newest first, each with its `sequence` and `at` (seconds since 1970)."""
        ...

    async def audited(self, after: int, limit: int = 100) -> list[tuple[int, float, Value]]:
        """Audit entries behind a sequence, the oldest first: sequence, seconds since 1970, entry."""
        ...

    async def sizes(self) -> dict[str, int]:
        """How many records each table has; none without any."""
        ...

    async def many(self, table: str, keys: Sequence[str]) -> list[Record | None]:
        """As `get`, of several."""
        ...

    async def form(self) -> int:
        """The form that the store is in (`store.schema`); that of this release for an empty one."""
        ...

    def staging(self) -> Staging:
        """For replacing all of it (`store.staging`)."""
        ...

    def on_audit(self, hook: Hook) -> None:
        """From now on `hook` gets the sequence and the audit entry of whatever is committed through this object, by
        `commit` or by the `activate` of its staging, in the order in which they return. It gets nothing of a commit
        that was refused, or whose answer was lost (which may have been applied)."""
        ...

    async def servers(self) -> list[ServerState]:
        """How each of its servers is set; none for a store in memory."""
        ...

    async def beat(self, node: str, state: Value, ttl: float) -> None:
        """A node's heartbeat, forgotten after `ttl` seconds."""
        ...

    async def nodes(self) -> dict[str, Value]:
        """The nodes whose heartbeat has not expired."""
        ...

    async def close(self) -> None: ...


# Tables of the control plane. Values are JSON objects.
REVISIONS = "revisions"  # key: revision hash; value: the bundle
REVISION_INDEX = "revision-index"  # key: component@version, newest first, revision; value: what lists tell of it
ACTIVE = "active"  # key: component@version; value: {revision, since, …}
POLICIES = "policies"  # key: name; value: {revision, revisions: {n: steps}}
PLANS = "plans"
APPLICATIONS = "applications"
SUBSCRIPTIONS = "subscriptions"
KEYS = "keys"  # key: key id; value: digest (hex), application, api, plan, dates
CREDENTIALS = "credentials"  # key: credential id; value: type, name, application, api, plan, dates, secrets, scopes
GATEWAY = "gateway"  # key: policies; value: the gateway's own steps
TOPICS = "topics"
TOKENS = "tokens"
SIGNING_KEYS = "signing-keys"  # key: number; value: kid, algorithm, jwk, sealed private key, created, signs, retired
REVOKED = "revoked-tokens"  # key: jti; value: client, ends
PROPOSALS = "proposals"  # key: id; a publish that waits for every node
