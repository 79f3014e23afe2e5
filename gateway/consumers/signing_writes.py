"""Writing signing keys and revoked tokens. Each function is one commit with its audit entry.

The number of a key is the next free one, written only where there is none yet: of several nodes that make the first
key, or rotate, at the same time, one succeeds.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

import orjson

from gateway.consumers.applications import entry
from gateway.consumers.signing import LONGEST, Algorithm, RevokedTokens, SigningKeyRecord, SigningKeys
from gateway.core.clock import Clock
from gateway.core.errors import Conflict, NotFound, PreconditionFailed
from gateway.core.secrets import KeyHasher
from gateway.store.store import REVOKED, SIGNING_KEYS, Store, Write

MOST: Final = 50  # keys of a cluster
AT_ONCE: Final = 500  # records that one commit takes away


async def load_signing_keys(store: Store) -> SigningKeys:
    found = SigningKeys()
    async for key, record in store.scan(SIGNING_KEYS):
        found.put(key, record.value)
    return found


async def make_signing_key(
    store: Store, hasher: KeyHasher, clock: Clock, algorithm: Algorithm, lead: float, *, actor: str
) -> SigningKeyRecord:
    """The next key, which signs in `lead` seconds; the first signs at once. Conflict when another one waits already,
    or somebody else was faster."""
    keys = await load_signing_keys(store)
    now = clock.time()
    if keys.waiting(now) is not None:
        raise Conflict("A new key is published already and will sign soon; wait for that, or retire it.")
    if len(keys.published(now)) >= MOST:
        raise Conflict(f"{MOST} keys are published: retire those that nothing needs any more.")
    signs = now if keys.signing(now) is None else now + lead
    made = await asyncio.to_thread(_make, _next(keys), hasher, algorithm, now, signs)
    await _commit(store, [_new(made)], entry(actor, "signing-key.create", made.kid, signs=signs))
    return made


async def retire_signing_key(
    store: Store, hasher: KeyHasher, clock: Clock, kid: str, algorithm: Algorithm, *, actor: str
) -> SigningKeyRecord | None:
    """At once: nothing that it signed holds any more. Where no other key signs, one is made that signs from now on;
    it is returned. NotFound, Conflict."""
    keys = await load_signing_keys(store)
    now = clock.time()
    key = next((each for each in keys if each.kid == kid), None)
    if key is None:
        raise NotFound(f"There is no signing key {kid}.")
    if key.retired is not None:
        return None
    record = await store.get(SIGNING_KEYS, str(key.number))
    writes = [Write(SIGNING_KEYS, str(key.number), replace(key, retired=now).value(), record.version if record else 0)]
    keys.put(str(key.number), replace(key, retired=now).value())
    made = None
    if keys.signing(now) is None:
        made = await asyncio.to_thread(_make, _next(keys), hasher, algorithm, now, now)
        writes.append(_new(made))
    await _commit(store, writes, entry(actor, "signing-key.retire", kid, successor=made.kid if made else None))
    return made


def _next(keys: SigningKeys) -> int:
    return max((each.number for each in keys), default=0) + 1


def _new(key: SigningKeyRecord) -> Write:
    return Write(SIGNING_KEYS, str(key.number), key.value(), expect=0)


async def _commit(store: Store, writes: list[Write], audit: Any) -> None:
    try:
        await store.commit(writes, audit)
    except PreconditionFailed:
        raise Conflict("The signing keys were changed by somebody else meanwhile: look at them again.") from None


def _make(number: int, hasher: KeyHasher, algorithm: Algorithm, now: float, signs: float) -> SigningKeyRecord:
    """In a thread: an RSA key may take a second, and large libraries are loaded."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from jwt.algorithms import ECAlgorithm, RSAAlgorithm

    from gateway.consumers.sealed import Sealer

    key: Any
    if algorithm == "RS256":
        key = rsa.generate_private_key(65537, 2048)
        jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    jwk.pop("key_ops", None)
    kid = f"{number}-{sha256(orjson.dumps(jwk, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]}"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = {**jwk, "kid": kid, "use": "sig", "alg": algorithm}
    made = SigningKeyRecord(number, kid, algorithm, public, "", now, signs)
    return replace(made, sealed=Sealer(hasher).seal(secret, made.context))


async def keep_signing_keys(
    store: Store, hasher: KeyHasher, clock: Clock, algorithm: Algorithm, age: float, lead: float, keys: SigningKeys
) -> None:
    """What is due: the first key, the next one once the one that signs is `age` seconds old (0: never by itself), and
    those that left the key set are taken away. `keys`: as this node knows them."""
    now = clock.time()
    try:
        if _due(keys, now, age, lead) and _due(await load_signing_keys(store), now, age, lead):
            await make_signing_key(store, hasher, clock, algorithm, lead, actor="serve")
        for each in list(keys):
            ends = keys.ends(each)
            if ends is not None and now >= ends + LONGEST:
                await store.commit(
                    [Write(SIGNING_KEYS, str(each.number), None)], entry("serve", "signing-key.forget", each.kid)
                )
    except Conflict:
        """Another node did it."""


def _due(keys: SigningKeys, now: float, age: float, lead: float) -> bool:
    signing = keys.signing(now)
    return signing is None or (age > 0 and now >= signing.signs + age - lead and keys.waiting(now) is None)


async def revoke_token(store: Store, jti: str, client: str, ends: float, *, actor: str) -> None:
    """A token that ends at `ends`. Again and again is harmless."""
    await store.commit(
        [Write(REVOKED, jti, {"client": client, "ends": ends})], entry(actor, "access-token.revoke", jti)
    )


async def forget_revoked(store: Store, clock: Clock, revoked: RevokedTokens) -> None:
    """Those that have ended anyway."""
    ended = revoked.ended(clock.time())[:AT_ONCE]
    if ended:
        await store.commit([Write(REVOKED, jti, None) for jti in ended])
