"""What the directory holds, as objects: applications, their subscriptions and their keys.

Keys of one subscription share its object, so that a change of plan is one assignment, whatever the number of keys.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from gateway.consumers.prefixes import LENGTH
from gateway.core.identity import Holds, Identity

Own = tuple[str | None, float | None, float | None, float | None]  # plan, starts, ends, revoked
_PLAIN: Final[Own] = (None, None, None, None)  # of a key without a plan and dates of its own
_NOTHING: Final = b"{}"
SUSPENDED: Final = "suspended"  # the status of an application


def key_id(digest: bytes) -> str:
    """It begins the digest, so it can be shown and logged, and need not be kept beside it."""
    return f"k-{digest.hex()[: 2 * LENGTH]}"


def id_prefix(id: str) -> bytes | None:
    """The beginning of the digest that an id tells; None when it tells none."""
    try:
        prefix = bytes.fromhex(id[2:]) if id.startswith("k-") else b""
    except ValueError:
        return None
    return prefix if len(prefix) == LENGTH else None


def understood(value: Mapping[str, Any]) -> bool:
    """Whether this release knows every field that `critical` names: a newer release lists there what narrows whom a
    record lets in. One with a field that is not known opens nothing here; fields that are not critical are ignored."""
    return not value.get("critical")


def packed(value: Any) -> bytes:
    """As JSON, copied: what orjson gives keeps the 4 kB in which it was written."""
    return bytes(memoryview(orjson.dumps(value)))


def not_in_force(starts: float | None, ends: float | None, revoked: float | None, now: float) -> str | None:
    """Why a credential with these dates does not hold at `now`; None if it does."""
    if revoked is not None:
        return "revoked"
    if ends is not None and now >= ends:
        return "expired"
    return "not yet valid" if starts is not None and now < starts else None


class Application:
    """`about` is its record as JSON, None while there is none; `open` when there is one that is not suspended, else its
    subscriptions are closed. One of so many has a single tie that it needs no dictionary for it."""

    __slots__ = ("_ties", "about", "name", "open")

    def __init__(self, name: str) -> None:
        self.name = name
        self.about: bytes | None = None
        self.open = False
        self._ties: Subscription | dict[str, Subscription] | None = None

    def put(self, value: Mapping[str, Any] | None) -> None:
        """Its record; None when it was deleted."""
        self.about = None if value is None else packed(value) if value else _NOTHING
        self.open = value is not None and value.get("status") != SUSPENDED

    @property
    def refusal(self) -> str | None:
        """Why none of its credentials opens anything; None if they may."""
        return None if self.open else "no subscription" if self.about is None else "suspended"

    def tie(self, api: str) -> Subscription | None:
        ties = self._ties
        if isinstance(ties, dict):
            return ties.get(api)
        return ties if ties is not None and ties.api == api else None

    def add(self, tie: Subscription) -> None:
        ties = self._ties
        if ties is None:
            self._ties = tie
        elif isinstance(ties, dict):
            ties[tie.api] = tie
        else:
            self._ties = {ties.api: ties, tie.api: tie}

    def ties(self) -> Iterable[Subscription]:
        ties = self._ties
        return () if ties is None else ties.values() if isinstance(ties, dict) else (ties,)


class Subscription:
    """An application's tie to an API. `recorded` is False when it was removed: its keys then open nothing. `version` is
    the version of the API that it is pinned to, None for none."""

    __slots__ = ("api", "owner", "plan", "recorded", "version")

    def __init__(self, owner: Application, api: str) -> None:
        self.owner = owner
        self.api = api
        self.plan: str | None = None
        self.version: str | None = None
        self.recorded = False

    def put(self, value: Mapping[str, Any] | None) -> None:
        """Its record; None when it was removed."""
        self.recorded = value is not None
        plan, version = (None, None) if value is None else (value.get("plan"), value.get("version"))
        self.plan, self.version = plan and sys.intern(plan), version and sys.intern(version)

    @property
    def application(self) -> str:
        return self.owner.name

    @property
    def active(self) -> bool:
        return self.recorded and self.owner.open

    @property
    def refusal(self) -> str | None:
        """Why it opens nothing; None if it does."""
        return self.owner.refusal or (None if self.recorded else "no subscription")

    def dump(self) -> list[str | None]:
        found = [self.application, self.api, self.plan]
        return found if self.version is None else [*found, self.version]


class Key:
    """A credential's record. Times are seconds since 1970, None for no bound; `revoked` is when that happened."""

    __slots__ = ("_identity", "_own", "digest", "subscription")

    def __init__(self, digest: bytes, subscription: Subscription, value: Mapping[str, Any]) -> None:
        self.digest = digest
        self.subscription = subscription
        plan: str | None = value.get("plan")
        own = (plan and sys.intern(plan), value.get("starts"), value.get("ends"), value.get("revoked"))
        self._own: Own = _PLAIN if own == _PLAIN else own
        self._identity: Identity | None = None

    @property
    def id(self) -> str:
        """What stands in records and logs: the beginning of the digest."""
        return key_id(self.digest)

    @property
    def application(self) -> str:
        return self.subscription.application

    @property
    def api(self) -> str:
        return self.subscription.api

    @property
    def plan(self) -> str | None:
        """The key's own plan, or its subscription's."""
        return self._own[0] or self.subscription.plan

    @property
    def version(self) -> str | None:
        """The version of the API that its application is pinned to."""
        return self.subscription.version

    @property
    def starts(self) -> float | None:
        return self._own[1]

    @property
    def ends(self) -> float | None:
        return self._own[2]

    @property
    def revoked(self) -> float | None:
        return self._own[3]

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
        """Why the key opens nothing at `now` (`revoked`, `expired`, `not yet valid`, `suspended`, `no subscription`);
        None if it does. It is valid from `starts` on, until just before `ends`."""
        if self._own is not _PLAIN:
            _, starts, ends, revoked = self._own
            reason = not_in_force(starts, ends, revoked, now)
            if reason is not None:
                return reason
        tie = self.subscription
        return None if tie.recorded and tie.owner.open else tie.refusal

    def dump(self) -> list[Any]:
        subscription = self.subscription
        tie = [subscription.application, subscription.api]
        return [self.id, self.digest.hex(), *tie, *self._own]


class NamedKey(Key):
    """One that was stored under another id."""

    __slots__ = ("_id",)

    def __init__(self, id: str, digest: bytes, subscription: Subscription, value: Mapping[str, Any]) -> None:
        super().__init__(digest, subscription, value)
        self._id = id

    @property
    def id(self) -> str:
        return self._id
