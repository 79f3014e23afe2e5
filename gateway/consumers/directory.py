"""The directory: applications, subscriptions and keys in memory, read on the request path, changed one by one.

Keys are known by their digest only (keyed hash, see `core.secrets.KeyHasher`): a dump shows no credential. Keys of one
subscription share its object, so that a change of plan is one assignment, whatever the number of keys.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from gateway.core.clock import Clock
from gateway.core.identity import Holds, Identity
from gateway.store.store import APPLICATIONS, KEYS, SUBSCRIPTIONS, Change, Gap, Store

TABLES: Final = (APPLICATIONS, SUBSCRIPTIONS, KEYS)
SLICE: Final = 1000  # records; a few milliseconds
_FORM: Final = 2
_HEAD: Final = frozenset(("form", "sequence", "as_of", "slices"))
_KEY: Final = ("digest", "application", "api", "plan", "starts", "ends", "revoked")


class Application:
    """`about` is its record; None while there is none, which closes its subscriptions."""

    __slots__ = ("about", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.about: Mapping[str, Any] | None = None


class Subscription:
    """An application's tie to an API. `recorded` is False when it was removed: its keys then open nothing."""

    __slots__ = ("api", "owner", "plan", "recorded")

    def __init__(self, owner: Application, api: str) -> None:
        self.owner = owner
        self.api = api
        self.plan: str | None = None
        self.recorded = False

    @property
    def application(self) -> str:
        return self.owner.name

    @property
    def active(self) -> bool:
        return self.recorded and self.owner.about is not None


class Key:
    """A credential's record. Times are seconds since 1970, None for no bound; `revoked` is when that happened."""

    __slots__ = ("_identity", "_plan", "digest", "ends", "id", "revoked", "starts", "subscription")

    def __init__(self, id: str, digest: bytes, subscription: Subscription, value: Mapping[str, Any]) -> None:
        self.id = id
        self.digest = digest
        self.subscription = subscription
        self._plan: str | None = value.get("plan")
        self.starts: float | None = value.get("starts")
        self.ends: float | None = value.get("ends")
        self.revoked: float | None = value.get("revoked")
        self._identity: Identity | None = None

    @property
    def application(self) -> str:
        return self.subscription.application

    @property
    def api(self) -> str:
        return self.subscription.api

    @property
    def plan(self) -> str | None:
        """The key's own plan, or its subscription's."""
        return self._plan or self.subscription.plan

    def identify(self, holds: Holds) -> Identity:
        """Who calls with it; made once for as long as its plan stays. `holds` asks the directory as it is then."""
        identity, plan = self._identity, self.plan
        if identity is None or identity.plan != plan:
            name = self.application
            identity = self._identity = Identity(
                name, "api-key", application=name, plan=plan, credential=self.id, holds=holds
            )
        return identity

    def refusal(self, now: float) -> str | None:
        """Why the key opens nothing at `now` (`revoked`, `expired`, `not yet valid`, `no subscription`); None if it
        does. It is valid from `starts` on, until just before `ends`."""
        if self.revoked is not None:
            return "revoked"
        if self.ends is not None and now >= self.ends:
            return "expired"
        if self.starts is not None and now < self.starts:
            return "not yet valid"
        return None if self.subscription.active else "no subscription"

    def dump(self) -> list[Any]:
        subscription = self.subscription
        tie = [subscription.application, subscription.api]
        return [self.id, self.digest.hex(), *tie, self._plan, self.starts, self.ends, self.revoked]


class Directory:
    """`sequence` is the newest commit that it holds; `as_of` (seconds since 1970) when it was last known to be
    current: what is older than `max_stale` must not decide any more."""

    def __init__(self) -> None:
        self.sequence = 0
        self.as_of = 0.0
        self._applications: dict[str, Application] = {}
        self._subscriptions: dict[tuple[str, str], Subscription] = {}
        self._keys: dict[bytes, Key] = {}
        self._digests: dict[str, bytes] = {}

    def __len__(self) -> int:
        """How many keys."""
        return len(self._keys)

    def find(self, digest: bytes) -> Key | None:
        """The key of a credential's digest, valid or not: ask its `refusal`."""
        return self._keys.get(digest)

    def find_id(self, id: str) -> Key | None:
        """The key of an id, as it is now."""
        digest = self._digests.get(id)
        return None if digest is None else self._keys.get(digest)

    def application(self, name: str) -> Mapping[str, Any] | None:
        """An application's record."""
        found = self._applications.get(name)
        return None if found is None else found.about

    def subscription(self, application: str, api: str) -> Subscription | None:
        """The active subscription of an application to an API."""
        found = self._subscriptions.get((application, api))
        return found if found is not None and found.active else None

    def subscriptions(self) -> Iterator[Subscription]:
        return (found for found in self._subscriptions.values() if found.active)

    def keys(self) -> Iterator[Key]:
        return iter(self._keys.values())

    def stale(self, now: float, max_stale: float) -> bool:
        """True when nobody has confirmed the content for longer than `max_stale` seconds."""
        return now - self.as_of > max_stale

    def apply(self, change: Change) -> None:
        """Takes one change of the log; those of other tables only move the sequence, and old ones do nothing."""
        if change.sequence < self.sequence:
            return
        self.put(change.table, change.key, change.value)
        self.sequence = change.sequence

    def put(self, table: str, key: str, value: Mapping[str, Any] | None) -> None:
        """One record of a table; None removes it."""
        if table == KEYS:
            self._put_key(key, value)
        elif table == SUBSCRIPTIONS:
            self._put_subscription(key, value)
        elif table == APPLICATIONS:
            self._owner(key).about = value

    def _put_key(self, id: str, value: Mapping[str, Any] | None) -> None:
        old = self._digests.pop(id, None)
        if old is not None:
            self._keys.pop(old, None)
        if value is not None:
            digest = bytes.fromhex(value["digest"])
            self._keys[digest] = Key(id, digest, self._tie(value["application"], value["api"]), value)
            self._digests[id] = digest

    def _put_subscription(self, key: str, value: Mapping[str, Any] | None) -> None:
        application, _, api = key.partition("/")
        tie = self._tie(application, api)
        tie.recorded = value is not None
        tie.plan = None if value is None else value.get("plan")

    def _tie(self, application: str, api: str) -> Subscription:
        """The shared object; inactive until its record is seen, as keys may be read first."""
        found = self._subscriptions.get((application, api))
        if found is None:
            found = Subscription(self._owner(application), sys.intern(api))
            self._subscriptions[found.application, found.api] = found
        return found

    def _owner(self, name: str) -> Application:
        found = self._applications.get(name)
        if found is None:
            found = self._applications[name] = Application(name)
        return found

    def dump(self) -> bytes:
        """Everything, for workers and for the last known good on disk: hashed keys only. A line of JSON for so many
        records, so that it can be read in slices."""
        ties = [[tie.application, tie.api, tie.plan] for tie in self._subscriptions.values() if tie.recorded]
        owners = [[name, owner.about] for name, owner in self._applications.items() if owner.about is not None]
        keys = [key.dump() for key in self._keys.values()]
        tables: dict[str, list[list[Any]]] = {APPLICATIONS: owners, SUBSCRIPTIONS: ties, KEYS: keys}
        slices = [
            [table, rows[start : start + SLICE]]
            for table, rows in tables.items()
            for start in range(0, len(rows), SLICE)
        ]
        head = {"form": _FORM, "sequence": self.sequence, "as_of": self.as_of, "slices": len(slices)}
        return b"\n".join(map(orjson.dumps, [head, *slices]))

    @classmethod
    def load(cls, dumped: bytes) -> Directory:
        """The inverse of `dump`. ValueError for what is no such dump."""
        directory = cls()
        for _ in directory.take_in(dumped):
            pass
        return directory

    def take_in(self, dumped: bytes) -> Iterator[None]:
        """A dump, into an empty directory, slice by slice: a loop with 100,000 keys to read must turn meanwhile.
        ValueError for what is no such dump."""
        first, *slices = dumped.split(b"\n")
        head = orjson.loads(first)
        known = isinstance(head, dict) and head.get("form") == _FORM and head.keys() >= _HEAD
        if not known or head["slices"] != len(slices):
            raise ValueError("this is no directory of this release; delete the file and connect to the store")
        self.sequence, self.as_of = head["sequence"], head["as_of"]
        for line in slices:
            table, rows = orjson.loads(line)
            for row in rows:
                self.put(table, *_record(table, row))
            yield


def _record(table: str, row: list[Any]) -> tuple[str, Mapping[str, Any]]:
    """A record of a dump: its key and value."""
    if table == APPLICATIONS:
        return row[0], row[1]
    if table == SUBSCRIPTIONS:
        return f"{row[0]}/{row[1]}", {"plan": row[2]}
    return row[0], dict(zip(_KEY, row[1:], strict=True))


async def load_directory(store: Store, clock: Clock) -> Directory:
    """Reads the store's tables into a directory as of one sequence: what is committed meanwhile is applied, too."""
    while True:
        directory = Directory()
        directory.sequence = await store.sequence()
        for table in TABLES:
            async for key, record in store.scan(table):
                directory.put(table, key, record.value)
        directory.as_of = clock.time()
        try:
            for change in await store.changes(directory.sequence):
                directory.apply(change)
        except Gap:
            continue
        return directory
