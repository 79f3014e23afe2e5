"""Admin tokens: who may use the admin REST. Stored as keyed hashes; the plaintext is shown once.

Records: TOKENS id → digest (hex), name, roles, components (None: all), created, ends, revoked, and `setting` of one
that nodes are given by their configuration. The id begins the digest, so a look-up reads one record whether the token
is known or not, and compares in constant time.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.consumers.records import understood
from gateway.core.clock import Clock
from gateway.core.errors import Conflict, InvalidInput, NotFound
from gateway.core.secrets import TOKEN_PREFIX, KeyHasher, new_credential
from gateway.store.store import TOKENS, Record, Store, Value, Write

ROLES: Final = ("viewer", "publisher", "policy-editor", "operator", "admin")
_SHORTEST: Final = 16  # characters of a token that somebody chose


@dataclass(frozen=True, slots=True)
class Token:
    """`components` binds it to some API components; None: all of them. Times are seconds since 1970."""

    id: str
    name: str
    roles: frozenset[str]
    components: frozenset[str] | None = None
    ends: float | None = None

    def may(self, role: str, component: str | None = None) -> bool:
        """`admin` has every role and everybody may view. A bound token may act on its components only; what belongs
        to no component (None) it may only view."""
        if role != "viewer" and role not in self.roles and "admin" not in self.roles:
            return False
        if self.components is None:
            return True
        return role == "viewer" if component is None else component in self.components


def token_id(digest: bytes) -> str:
    return f"t-{digest.hex()[:16]}"


async def create_token(
    store: Store,
    hasher: KeyHasher,
    clock: Clock,
    *,
    name: str,
    roles: Iterable[str],
    components: Iterable[str] | None = None,
    ends: float | None = None,
    credential: str | None = None,
    setting: str | None = None,
    actor: str,
) -> tuple[str, str]:
    """(id, plaintext). `credential` is a token chosen by somebody, such as the first one; Conflict if it exists.
    `setting` is the one of a node's configuration that it comes from."""
    chosen = _checked(name, roles, credential)
    plaintext = credential or new_credential(TOKEN_PREFIX)
    digest = hasher.digest(plaintext.encode())
    id, bound = token_id(digest), None if components is None else sorted(set(components))
    if await store.get(TOKENS, id) is not None:
        raise Conflict("There is such a token already.")
    about = {"name": name, "roles": chosen, "components": bound, "ends": ends}
    about |= {"setting": setting} if setting else {}
    value = {"digest": digest.hex(), **about, "created": clock.time(), "revoked": None}
    entry = {"actor": actor, "action": "token.create", "subject": id, **about}
    await store.commit([Write(TOKENS, id, value, expect=0)], entry)
    return id, plaintext


def _checked(name: str, roles: Iterable[str], credential: str | None) -> list[str]:
    chosen = sorted(set(roles))
    if not name.strip():
        raise InvalidInput("A token needs a name that tells what it is for.", target="name")
    if unknown := [role for role in chosen if role not in ROLES]:
        raise InvalidInput(f"{', '.join(unknown)}: no such role. There are {', '.join(ROLES)}.", target="roles")
    if not chosen:
        raise InvalidInput(f"A token needs a role: {', '.join(ROLES)}.", target="roles")
    if credential is not None and len(credential) < _SHORTEST:
        raise InvalidInput(f"A chosen token has {_SHORTEST} characters or more.", target="credential")
    return chosen


async def find_token(store: Store, hasher: KeyHasher, clock: Clock, presented: str) -> Token | None:
    """The valid token that was presented; None for an unknown, revoked or ended one."""
    digest = hasher.digest(presented.encode())
    record = await store.get(TOKENS, token_id(digest))
    stored = bytes(32) if record is None else bytes.fromhex(record.value["digest"])
    if not hmac.compare_digest(stored, digest) or record is None:
        return None
    return _valid(token_id(digest), record.value, clock)


async def was_token(store: Store, hasher: KeyHasher, presented: str) -> bool:
    """Whether it is one of ours, or was: nobody else is asked about such a one."""
    if presented.startswith(TOKEN_PREFIX):
        return True
    return await store.get(TOKENS, token_id(hasher.digest(presented.encode()))) is not None


async def current_token(store: Store, clock: Clock, id: str) -> Token | None:
    """A token that was proved before, as it is now; None when it has ended since or was revoked."""
    record = await store.get(TOKENS, id)
    return None if record is None else _valid(id, record.value, clock)


def _valid(id: str, value: Value, clock: Clock) -> Token | None:
    if (
        not understood(value)
        or value["revoked"] is not None
        or (value["ends"] is not None and clock.time() >= value["ends"])
    ):
        return None
    bound = value["components"]
    roles = frozenset(value["roles"])
    return Token(id, value["name"], roles, None if bound is None else frozenset(bound), value["ends"])


async def known_token(store: Store, id: str) -> Record:
    record = await store.get(TOKENS, id)
    if record is None:
        raise NotFound(f"There is no token {id}.")
    return record


async def revoke_token(
    store: Store,
    clock: Clock,
    id: str,
    *,
    expect: int | None = None,
    actor: str,
    about: Mapping[str, Any] | None = None,
) -> None:
    """At once. NotFound for an unknown one; one that is revoked stays as it is. `expect` is the version that its
    record must have (PreconditionFailed). `about` is what the audit tells besides."""
    record = await known_token(store, id)
    if record.value["revoked"] is None:
        value = {**record.value, "revoked": clock.time()}
        entry = {"actor": actor, "action": "token.revoke", "subject": id, **(about or {})}
        await store.commit([Write(TOKENS, id, value, expect=record.version if expect is None else expect)], entry)


async def mark_configured(store: Store, id: str, setting: str, *, name: str, roles: list[str], actor: str) -> None:
    """One of that name and these roles, made by an earlier release or made up at a first start, comes from `setting`
    from now on. Somebody's own, of another name or other roles, stays so. PreconditionFailed: it changed meanwhile."""
    record = await known_token(store, id)
    asked = {"name": name, "roles": roles, "components": None, "ends": None, "setting": None}
    if understood(record.value) and all(record.value.get(key) == value for key, value in asked.items()):
        entry = {"actor": actor, "action": "token.configure", "subject": id, "setting": setting}
        await store.commit([Write(TOKENS, id, {**record.value, "setting": setting}, expect=record.version)], entry)


async def configured_tokens(store: Store) -> AsyncIterator[tuple[str, int, str]]:
    """(id, version of its record, setting) of those that nodes are given and that are not revoked."""
    async for id, record in store.scan(TOKENS):
        if understood(record.value) and record.value["revoked"] is None and "setting" in record.value:
            yield id, record.version, record.value["setting"]


async def is_revoked(store: Store, id: str) -> bool:
    """NotFound for an unknown one."""
    return (await known_token(store, id)).value["revoked"] is not None


async def list_tokens(store: Store) -> AsyncIterator[Value]:
    """Tokens as they may be shown: each with its `id`, without its digest."""
    async for id, record in store.scan(TOKENS):
        yield shown(id, record.value)


def shown(id: str, value: Value) -> dict[str, Any]:
    """A record as it may be shown: without its digest."""
    return {"id": id, **{name: found for name, found in value.items() if name != "digest"}}
