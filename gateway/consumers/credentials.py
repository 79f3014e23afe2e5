"""What an application shows other than an API key, as the directory holds it: found by type and name.

| type | name: what finds it | secret |
|---|---|---|
| basic | user name | `argon2`: the hash of a password |
| hmac | key id | `sealed`: a symmetric secret, opened by `sealed.Sealer` with the credential's `context` |
| public-key | key id | `jwk`: a public key (RFC 7517) |
| certificate | SHA-256 fingerprint in hexadecimal, or `subject_name` | none: the listener has verified it |
| oauth-client | client id | `digest`: keyed hash of a random secret (hexadecimal), `jwks`: public keys, or both |

A record has one secret, or during a rotation two: the old one holds until its own `until`. Nothing here is a plaintext.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Final, Literal, get_args

import orjson

from gateway.consumers.records import Application, not_in_force, packed
from gateway.core.identity import Holds, Identity

Type = Literal["basic", "hmac", "public-key", "certificate", "oauth-client"]
TYPES: Final[tuple[Type, ...]] = get_args(Type)
_FIELDS: Final = ("plan", "starts", "ends", "revoked", "secrets", "scopes", "roles")


_REST: Final = _FIELDS[4:]


def credential_id(type: str, name: str) -> str:
    """It tells neither, can be shown and logged, and stands in a URL as it is."""
    return f"c-{sha256(f'{type}/{name}'.encode()).hexdigest()[:24]}"


def subject_name(subject: str, issuer: str) -> str:
    """The name of a certificate that is known by whom it is for and by whom it was issued, both as RFC 4514 writes them
    (`core.certificate.ClientCertificate`)."""
    return f"{subject} by {issuer}"


class Credential:
    """`api` None: it opens every API that its application is subscribed to. Times are seconds since 1970."""

    __slots__ = ("_identity", "_rest", "api", "ends", "id", "name", "owner", "plan", "revoked", "starts", "type")

    def __init__(self, id: str, owner: Application, value: Mapping[str, Any]) -> None:
        self.id = id
        self.owner = owner
        self.type: str = value["type"]
        self.name: str = value["name"]
        self.api: str | None = value.get("api")
        self.plan: str | None = value.get("plan")
        self.starts: float | None = value.get("starts")
        self.ends: float | None = value.get("ends")
        self.revoked: float | None = value.get("revoked")
        self._rest = packed([value.get(name) or [] for name in _REST])  # read when it is used
        self._identity: Identity | None = None

    @property
    def application(self) -> str:
        return self.owner.name

    @property
    def context(self) -> str:
        """Of its sealed secrets."""
        return f"{self.type}/{self.name}"

    @property
    def scopes(self) -> frozenset[str]:
        """Of an OAuth client: those that it may get. Of the others: what who shows it may do."""
        return frozenset(orjson.loads(self._rest)[1])

    @property
    def roles(self) -> frozenset[str]:
        """Of who shows it."""
        return frozenset(orjson.loads(self._rest)[2])

    def secrets(self, now: float) -> list[Mapping[str, Any]]:
        """Those that hold at `now`, the newest first; see above for what each type has. Decoded by each call."""
        found: list[Mapping[str, Any]] = orjson.loads(self._rest)[0]
        return [each for each in found if each.get("until") is None or now < each["until"]]

    def standing(self, now: float) -> str | None:
        """Why it opens nothing anywhere (`revoked`, `expired`, `not yet valid`, `suspended`, `no subscription` for an
        application that is gone); None if it may."""
        return not_in_force(self.starts, self.ends, self.revoked, now) or self.owner.refusal

    def refusal(self, api: str, now: float) -> str | None:
        """Why it does not open this API; None if it does. Also `of another API`."""
        reason = self.standing(now)
        if reason is not None:
            return reason
        if self.api is not None and self.api != api:
            return "of another API"
        tie = self.owner.tie(api)
        return "no subscription" if tie is None or not tie.recorded else None

    def plan_of(self, api: str) -> str | None:
        """Its own plan, or that of its application's subscription."""
        tie = None if self.plan else self.owner.tie(api)
        return self.plan if tie is None else tie.plan

    def version_of(self, api: str) -> str | None:
        """The version of the API that its application is pinned to."""
        tie = self.owner.tie(api)
        return None if tie is None else tie.version

    def identify(self, api: str, method: str, holds: Holds) -> Identity:
        """Who calls with it; the last one again where nothing changed. `holds` asks the directory as it is then, by
        `Identity.credential`, which is this `id`."""
        identity, plan = self._identity, self.plan_of(api)
        if identity is None or identity.plan != plan or identity.method != method or identity.holds is not holds:
            name = self.application
            identity = self._identity = Identity(
                name,
                method,
                application=name,
                plan=plan,
                credential=self.id,
                scopes=self.scopes,
                roles=self.roles,
                holds=holds,
            )
        return identity

    def dump(self) -> dict[str, Any]:
        about = {"type": self.type, "name": self.name, "application": self.application, "api": self.api}
        rest = (self.plan, self.starts, self.ends, self.revoked, *orjson.loads(self._rest))
        return about | {
            name: value for name, value in zip(_FIELDS, rest, strict=True) if value is not None and value != []
        }


class Credentials:
    """All of them, by type and name and by id."""

    def __init__(self) -> None:
        self._named: dict[str, dict[str, Credential]] = {type: {} for type in TYPES}
        self._ids: dict[str, Credential] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[Credential]:
        return iter(self._ids.values())

    def find(self, type: str, name: str) -> Credential | None:
        return self._named[type].get(name)

    def find_id(self, id: str) -> Credential | None:
        return self._ids.get(id)

    def put(self, id: str, value: Mapping[str, Any] | None, owner: Callable[[str], Application]) -> None:
        """One record; None removes it. One of a type that a newer release made opens nothing here."""
        old = self._ids.pop(id, None)
        if old is not None:
            del self._named[old.type][old.name]
        if value is not None and value["type"] in self._named:
            found = self._ids[id] = Credential(id, owner(value["application"]), value)
            self._named[found.type][found.name] = found
