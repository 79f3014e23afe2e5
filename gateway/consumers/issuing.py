"""Writing credentials other than API keys. Each function is one commit with its audit entry.

Records: CREDENTIALS id → type, name, application, api (None: all that the application is subscribed to), plan (None:
the subscription's), starts, ends, revoked, created, secrets (`consumers.credentials`), scopes, roles, and what a
certificate tells (subject, issuer). The id belongs to type and name, so that no two credentials have both in common.
"""

from __future__ import annotations

import asyncio
import re
import secrets as _random
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.consumers.applications import entry, known_application
from gateway.consumers.credentials import TYPES, Type, credential_id
from gateway.consumers.keys import DAY, check_period, ends_within
from gateway.consumers.subscriptions import subscription_writes
from gateway.core.clock import Clock
from gateway.core.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from gateway.core.secrets import KeyHasher
from gateway.store.store import CREDENTIALS, Record, Store, Value, Write

if TYPE_CHECKING:
    from gateway.consumers.materials import Material

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}\Z")  # no colon (RFC 7617 section 2)
_WORD: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}\Z")  # RFC 6749 section 3.3
_HIDDEN: Final = ("secrets",)


@dataclass(frozen=True, slots=True)
class Issued:
    """`secret` is shown once; None where there is none of ours."""

    id: str
    type: str
    name: str
    secret: str | None


@dataclass(frozen=True, slots=True)
class Issuing:
    """What every write takes."""

    store: Store
    hasher: KeyHasher
    clock: Clock
    actor: str


async def create_credential(
    issuing: Issuing,
    *,
    type: str,
    application: str,
    name: str | None = None,
    api: str | None = None,
    plan: str | None = None,
    starts: float | None = None,
    ends: float | None = None,
    scopes: Iterable[str] = (),
    roles: Iterable[str] = (),
    **given: Any,
) -> Issued:
    """`given` is what its type is made of (`materials.TAKEN`). With an `api` the subscription is made when it is
    missing, with `plan`; without one `plan` is the credential's own. InvalidInput, NotFound, Conflict."""
    kind = _type(type)
    wanted = _wanted_name(kind, name)
    material = await _material(kind, wanted, given, issuing.hasher)
    name, ends = material.name or wanted, material.ends if ends is None else ends
    check_period(starts, ends)
    await known_application(issuing.store, application)
    dates = {"starts": starts, "ends": ends, "revoked": None, "created": issuing.clock.time()}
    own = {"api": api, "plan": None if api else plan}
    value: dict[str, Any] = {"type": kind, "name": name, "application": application, **own, **dates, **material.about}
    value |= {
        "secrets": [dict(material.kept)] if material.kept else [],
        "scopes": _words(scopes, "scopes"),
        "roles": _words(roles, "roles"),
    }
    await _write_new(issuing, value, plan)
    return Issued(credential_id(kind, name), kind, name, material.shown)


async def _material(type: Type, name: str, given: Mapping[str, Any], hasher: KeyHasher) -> Material:
    return await asyncio.to_thread(_make, type, name, given, hasher)


def _make(type: Type, name: str, given: Mapping[str, Any], hasher: KeyHasher) -> Material:
    """In a thread, as are the large libraries that it loads."""
    from gateway.consumers import materials

    return materials.make(type, name, given, hasher)


def _type(type: str) -> Type:
    if type not in TYPES:
        raise InvalidInput(f"A credential is of type {', '.join(TYPES)}; API keys are made as keys.", target="type")
    return type


def _wanted_name(type: Type, name: str | None) -> str:
    """The given one, or a random one. A certificate has its own."""
    if type == "certificate" and name is not None:
        raise InvalidInput("A certificate is found by what it says; leave `name` out.", target="name")
    if name is not None and _NAME.match(name) is None:
        raise InvalidInput(
            "`name` has up to 128 letters, digits, `.`, `_`, `@`, `+` and `-`, and begins with one of the first two.",
            target="name",
        )
    return name or f"{type}-{_random.token_hex(8)}"


def _words(words: Iterable[str], what: str) -> list[str]:
    found = sorted(set(words))
    if not all(_WORD.match(each) for each in found):
        raise InvalidInput(f'Those in `{what}` have no spaces, quotes or backslashes: ["orders:read"].', target=what)
    return found


async def _write_new(issuing: Issuing, value: dict[str, Any], plan: str | None) -> None:
    application, api = value["application"], value["api"]
    id = credential_id(value["type"], value["name"])
    about = {"type": value["type"], "name": value["name"], "application": application, "api": api}
    audit = entry(issuing.actor, "credential.create", id, **about)
    while True:
        write = Write(CREDENTIALS, id, value, expect=await _free(issuing, id, value))
        ties = await subscription_writes(issuing.store, issuing.clock, application, api, plan) if api else []
        try:
            await issuing.store.commit([*ties, write], audit)
        except PreconditionFailed:  # somebody made the subscription, or this, at the same moment
            continue
        return


async def _free(issuing: Issuing, id: str, value: Value) -> int:
    """The version of what stands there: none, or one of the same application that opens nothing any more."""
    record = await issuing.store.get(CREDENTIALS, id)
    if record is None:
        return 0
    old = record.value
    if old["application"] != value["application"] or not _over(old, issuing.clock.time()):
        raise Conflict(f"There is a credential {value['name']} of type {value['type']} already.", target="name")
    return record.version


def _over(value: Value, now: float) -> bool:
    return value["revoked"] is not None or (value["ends"] is not None and value["ends"] <= now)


async def find_credential(store: Store, id: str) -> Record:
    record = await store.get(CREDENTIALS, id)
    if record is None:
        raise NotFound(f"There is no credential {id}.")
    return record


async def revoke_credential(issuing: Issuing, id: str, *, expect: int | None = None) -> None:
    """At once, on every node. One that is revoked stays as it is. NotFound; `expect` is the version that its record
    must have (PreconditionFailed)."""
    record = await find_credential(issuing.store, id)
    if record.value["revoked"] is None:
        value = {**record.value, "revoked": issuing.clock.time()}
        audit = entry(issuing.actor, "credential.revoke", id, api=value["api"])
        write = Write(CREDENTIALS, id, value, expect=record.version if expect is None else expect)
        await issuing.store.commit([write], audit)


async def rotate_credential(
    issuing: Issuing, id: str, *, overlap: float = DAY, ends: float | None = None, **given: Any
) -> Issued:
    """A new secret, or the key that is given, under the same name; the one before goes on for `overlap` seconds (CASES
    C42). Of a certificate: a credential of its own for the new one. `ends`: of the credential; None: as it was, or as
    the new certificate says. Conflict for one that is revoked or has ended."""
    if overlap < 0:
        raise InvalidInput("The overlap is a number of seconds, 0 or more.", target="overlap")
    record, now = await find_credential(issuing.store, id), issuing.clock.time()
    old = record.value
    if _over(old, now):
        raise Conflict(f"The credential {id} is revoked or has ended. Create another one instead.")
    check_period(now, ends)
    if old["type"] == "oauth-client" and "jwks" not in given:
        given.setdefault("client_secret", True)
    material = await _material(old["type"], old["name"], given, issuing.hasher)
    last = now + overlap
    if material.name is not None and material.name != old["name"]:
        return await _succeed(issuing, id, record, material, last, ends)
    if not material.kept:
        raise Conflict("That is the certificate that it has already.")
    secrets = _rotated(old["secrets"], material.kept, last, now)
    value = {**old, "secrets": secrets, "ends": old["ends"] if ends is None else ends}
    audit = entry(issuing.actor, "credential.rotate", id, until=last)
    await issuing.store.commit([Write(CREDENTIALS, id, value, expect=record.version)], audit)
    return Issued(id, old["type"], old["name"], material.shown)


def _rotated(secrets: list[dict[str, Any]], new: Mapping[str, Any], last: float, now: float) -> list[dict[str, Any]]:
    """The newest first. What the new one replaces ends at `last`, and what was ending already no later than that; what
    it does not replace (an OAuth client's keys when its secret is new) goes on."""
    replaced = {name: value for name, value in secrets[0].items() if name in new} if secrets else {}
    ending = [{**replaced, "until": last}] if replaced else []
    ending += [{**each, "until": min(each["until"], last)} for each in secrets[1:]]
    return [{**(secrets[0] if secrets else {}), **new}, *(each for each in ending if each["until"] > now)]


async def _succeed(
    issuing: Issuing, id: str, record: Record, material: Material, last: float, ends: float | None
) -> Issued:
    old, name = record.value, str(material.name)
    new = credential_id(old["type"], name)
    dates = {"starts": None, "ends": material.ends if ends is None else ends, "created": issuing.clock.time()}
    kept = {key: value for key, value in old.items() if key not in {"subject", "issuer"}}
    value = {**kept, "name": name, **dates, **material.about, "replaces": id}
    ending = {**old, "ends": last if old["ends"] is None else min(old["ends"], last)}
    writes = [Write(CREDENTIALS, id, ending, expect=record.version)]
    writes.append(Write(CREDENTIALS, new, value, expect=await _free(issuing, new, value)))
    await issuing.store.commit(writes, entry(issuing.actor, "credential.rotate", id, successor=new, until=last))
    return Issued(new, old["type"], name, None)


async def list_credentials(
    store: Store,
    application: str | None = None,
    api: str | None = None,
    type: str | None = None,
    ending: tuple[float, float] | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """As they may be shown. Those of every API are among those of each. `ending` as in `keys.list_keys`."""
    async for id, record in store.scan(CREDENTIALS):
        value = record.value
        if (
            application in (None, value["application"])
            and (api is None or value["api"] in (None, api))
            and type in (None, value["type"])
            and (ending is None or ends_within(value, *ending))
        ):
            yield shown(id, value)


def shown(id: str, value: Value) -> dict[str, Any]:
    """A record without its secrets; public keys are none."""
    found = {"id": id, **{name: each for name, each in value.items() if name not in _HIDDEN}}
    public = {name: each for secret in value["secrets"][:1] for name, each in secret.items() if name in {"jwk", "jwks"}}
    return found | public | {"overlap": max((each["until"] for each in value["secrets"][1:]), default=None)}
