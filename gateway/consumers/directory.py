"""The directory: applications, subscriptions and keys in memory, read on the request path, changed one by one.

Keys are known by their digest only (keyed hash, see `core.secrets.KeyHasher`): a dump shows no credential. Keys of one
subscription share its object, so that a change of plan is one assignment, whatever the number of keys.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import orjson

from gateway.consumers.credentials import Credential, Credentials
from gateway.consumers.prefixes import LENGTH, Prefixes
from gateway.consumers.records import (
    SUSPENDED,
    Application,
    Key,
    NamedKey,
    Subscription,
    id_prefix,
    key_id,
    understood,
)
from gateway.consumers.signing import RevokedTokens, SigningKeys
from gateway.core.clock import Clock
from gateway.store.store import (
    APPLICATIONS,
    CREDENTIALS,
    KEYS,
    REVOKED,
    SIGNING_KEYS,
    SUBSCRIPTIONS,
    Change,
    Gap,
    Store,
)

T = TypeVar("T")
TABLES: Final = (APPLICATIONS, SUBSCRIPTIONS, KEYS, CREDENTIALS, SIGNING_KEYS, REVOKED)
_FORM: Final = 2
_LINE: Final = 250  # records in one line of a dump: what is read and written in one go


class Directory:
    """`sequence` is the newest commit that it holds; `as_of` (seconds since 1970) when it was last known to be
    current: what is older than `max_stale` must not decide any more."""

    def __init__(self) -> None:
        self.sequence = 0
        self.as_of = 0.0
        self._applications: dict[str, Application] = {}
        self._keys: dict[bytes, Key] = {}
        self._prefixes = Prefixes()  # of those whose digest tells their id
        self._named: dict[str, NamedKey] = {}  # the others, by id
        self._credentials = Credentials()
        self.signing_keys = SigningKeys()
        self.revoked_tokens = RevokedTokens()

    def __len__(self) -> int:
        """How many keys."""
        return len(self._keys)

    def find(self, digest: bytes) -> Key | None:
        """The key of a credential's digest, valid or not: ask its `refusal`."""
        return self._keys.get(digest)

    def find_id(self, id: str) -> Key | None:
        """The key of an id, as it is now."""
        named = self._named.get(id)
        prefix = id_prefix(id) if named is None else None
        key: Key | None = named if prefix is None else self._prefixes.find(prefix)
        return key

    def credential(self, type: str, name: str) -> Credential | None:
        """What an application shows, other than an API key, by what finds it (`consumers.credentials`); valid or not:
        ask its `refusal`."""
        return self._credentials.find(type, name)

    def credential_id(self, id: str) -> Credential | None:
        """The credential of an id, as it is now."""
        return self._credentials.find_id(id)

    def credentials(self) -> Iterator[Credential]:
        return iter(self._credentials)

    def application(self, name: str) -> Mapping[str, Any] | None:
        """An application's record."""
        found = self._applications.get(name)
        return None if found is None or found.about is None else orjson.loads(found.about)

    def subscription(self, application: str, api: str) -> Subscription | None:
        """The active subscription of an application to an API."""
        owner = self._applications.get(application)
        found = None if owner is None else owner.tie(api)
        return found if found is not None and found.active else None

    def subscriptions(self) -> Iterator[Subscription]:
        return (tie for owner in self._applications.values() for tie in owner.ties() if tie.active)

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
        if value is not None and not understood(value):
            value = _closed(table, value)
        if table == KEYS:
            self._put_key(key, value)
        elif table == SUBSCRIPTIONS:
            self._put_subscription(key, value)
        elif table == APPLICATIONS:
            self._owner(key).put(value)
        elif table == CREDENTIALS:
            self._credentials.put(key, value, self._owner)
        elif table == SIGNING_KEYS:
            self.signing_keys.put(key, value)
        elif table == REVOKED:
            self.revoked_tokens.put(key, value)

    def _put_key(self, id: str, value: Mapping[str, Any] | None) -> None:
        old = self.find_id(id)
        if old is not None:
            self._drop(old)
        if value is None:
            return
        digest = bytes.fromhex(value["digest"])
        tie = self._tie(value["application"], value["api"])
        if id == key_id(digest):
            key = Key(digest, tie, value)
            self._prefixes.add(key)
        else:
            key = self._named[id] = NamedKey(id, digest, tie, value)
        self._keys[digest] = key

    def _drop(self, key: Key) -> None:
        if self._keys.get(key.digest) is key:
            del self._keys[key.digest]
        if isinstance(key, NamedKey):
            del self._named[key.id]
        else:
            self._prefixes.remove(key.digest[:LENGTH])

    def _put_subscription(self, key: str, value: Mapping[str, Any] | None) -> None:
        application, _, api = key.partition("/")
        self._tie(application, api).put(value)

    def _tie(self, application: str, api: str) -> Subscription:
        """The shared object; inactive until its record is seen, as keys may be read first."""
        owner = self._owner(application)
        found = owner.tie(api)
        if found is None:
            found = Subscription(owner, sys.intern(api))
            owner.add(found)
        return found

    def _owner(self, name: str) -> Application:
        found = self._applications.get(name)
        if found is None:
            found = self._applications[name] = Application(name)
        return found

    def lines(self) -> Iterator[bytes]:
        """A dump, a line at a time: a head, then lists of records, `[table, records]`, whose number the head tells.
        What changes while it is read is in it or not; who reads it applies what came after `sequence`."""
        owners, keys = list(self._applications.values()), list(self._keys.values())
        others = list(self._credentials)
        issued = [(SIGNING_KEYS, self.signing_keys.dump()), (REVOKED, self.revoked_tokens.dump())]
        count = 2 * len(list(_slices(owners))) + len(list(_slices(keys))) + len(list(_slices(others)))
        count += sum(len(list(_slices(records))) for _, records in issued)
        yield orjson.dumps({"form": _FORM, "sequence": self.sequence, "as_of": self.as_of, "slices": count})
        for some in _slices(owners):
            yield _line([APPLICATIONS, [[e.name, orjson.Fragment(e.about)] for e in some if e.about is not None]])
            yield _line([SUBSCRIPTIONS, [tie.dump() for each in some for tie in each.ties() if tie.recorded]])
        for part in _slices(keys):
            yield _line([KEYS, [key.dump() for key in part]])
        for few in _slices(others):
            yield _line([CREDENTIALS, [[each.id, each.dump()] for each in few]])
        for table, records in issued:
            for those in _slices(records):
                yield _line([table, those])

    def dump(self) -> bytes:
        """Everything, for the last known good on disk: hashed keys only, and secrets that must be usable encrypted."""
        return b"".join(self.lines())

    @classmethod
    def load(cls, dumped: bytes) -> Directory:
        """The inverse of `dump`. ValueError for what is no such dump."""
        directory = cls()
        for _ in directory.take_in(dumped.split(b"\n")):
            pass
        return directory

    def take_in(self, lines: Iterable[bytes]) -> Iterator[None]:
        """A dump's lines, into an empty directory, one by one: a loop with 100,000 keys to read must turn meanwhile,
        and none of it has to be in memory as a whole. Reads what the release before wrote, too: all in one line.
        ValueError for what is no such dump."""
        given = iter(lines)
        head = orjson.loads(next(given))
        if not isinstance(head, dict) or head.get("form") not in _HEADS or not head.keys() >= _HEADS[head["form"]]:
            raise _unknown()
        self.sequence, self.as_of = head["sequence"], head["as_of"]
        if head["form"] == 1:
            self._put_all(APPLICATIONS, head["applications"].items())
            self._put_all(SUBSCRIPTIONS, head["subscriptions"])
            self._put_all(KEYS, head["keys"])
            return
        count = 0
        for line in given:
            count += 1
            self._put_all(*orjson.loads(line))
            yield
        if count != head["slices"]:
            raise _unknown()

    def _put_all(self, table: str, records: Iterable[Sequence[Any]]) -> None:
        for record in records:
            self.put(table, *_record(table, record))


_KEY: Final = ("digest", "application", "api", "plan", "starts", "ends", "revoked")
_HEADS: Final = {
    1: {"sequence", "as_of", APPLICATIONS, SUBSCRIPTIONS, KEYS},
    _FORM: {"sequence", "as_of", "slices"},
}


def _closed(table: str, value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A record of a newer release that this one does not understand, as one that opens nothing."""
    if table in (KEYS, CREDENTIALS):
        return {**value, "revoked": 0.0}
    return {**value, "status": SUSPENDED} if table == APPLICATIONS else None


def _unknown() -> ValueError:
    return ValueError("this is no directory of this release; delete the file and connect to the store")


def _line(content: Any) -> bytes:
    return b"\n" + orjson.dumps(content)


def _slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[at : at + _LINE] for at in range(0, len(items), _LINE))


def _record(table: str, row: Sequence[Any]) -> tuple[str, Mapping[str, Any]]:
    """A record of a dump: its key and value."""
    if table in {APPLICATIONS, CREDENTIALS, SIGNING_KEYS, REVOKED}:
        return row[0], row[1]
    if table == SUBSCRIPTIONS:
        return f"{row[0]}/{row[1]}", {"plan": row[2], "version": row[3] if len(row) > 3 else None}
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
