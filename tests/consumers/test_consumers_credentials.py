"""Credentials other than API keys: made, found, rotated, revoked; and what of them is kept."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import argon2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.consumers.applications import create_application, delete_application
from gateway.consumers.credentials import TYPES, Credential, subject_name
from gateway.consumers.directory import Directory, load_directory
from gateway.consumers.issuing import (
    Issued,
    Issuing,
    create_credential,
    list_credentials,
    revoke_credential,
    rotate_credential,
)
from gateway.consumers.sealed import SealedElsewhere, Sealer
from gateway.consumers.subscriptions import subscribe, unsubscribe
from gateway.core.clock import ManualClock
from gateway.core.errors import Conflict, InvalidInput, NotFound
from gateway.core.secrets import KeyHasher, Secret
from gateway.store.memory import MemoryStore
from gateway.store.redis_store import RedisStore
from gateway.store.store import CREDENTIALS, Change

HASHER = KeyHasher(Secret("the cluster's secret"))
FINGERPRINT = "ab" * 32


def public_pem(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


PEM = public_pem(ed25519.Ed25519PrivateKey.generate())
JWKS = {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(b"\1" * 32).rstrip(b"=").decode()}]}
MADE_OF: dict[str, dict[str, Any]] = {
    "basic": {},
    "hmac": {},
    "public-key": {"public_key": PEM},
    "certificate": {"fingerprint": FINGERPRINT},
    "oauth-client": {"scopes": ["orders:read"]},
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_700_000_000.0)


@pytest.fixture
async def issuing(clock: ManualClock) -> AsyncIterator[Issuing]:
    store = MemoryStore(clock)
    await create_application(store, clock, "partner", actor="me")
    await subscribe(store, clock, application="partner", api="shop", plan="gold", actor="me")
    yield Issuing(store, HASHER, clock, "me")
    await store.close()


async def make(issuing: Issuing, type: str, **more: Any) -> Issued:
    return await create_credential(issuing, type=type, application="partner", **MADE_OF[type] | more)


async def found(issuing: Issuing, made: Issued) -> Credential:
    directory = await load_directory(issuing.store, issuing.clock)
    credential = directory.credential(made.type, made.name)
    assert credential is not None
    assert directory.credential_id(made.id) is credential
    return credential


@pytest.mark.parametrize("type", TYPES)
async def test_a_credential_is_found_by_its_type_and_name(issuing: Issuing, type: str) -> None:
    credential = await found(issuing, await make(issuing, type))
    assert (credential.application, credential.plan_of("shop")) == ("partner", "gold")
    assert credential.refusal("shop", issuing.clock.time()) is None
    others = [each for each in TYPES if each != type]
    directory = await load_directory(issuing.store, issuing.clock)
    assert [directory.credential(each, credential.name) for each in others] == [None] * 4


@pytest.mark.parametrize("type", TYPES)
async def test_a_dump_holds_credentials_as_they_are(issuing: Issuing, type: str) -> None:
    made = await make(issuing, type, ends=1_800_000_000.0)
    directory = await load_directory(issuing.store, issuing.clock)
    again = Directory.load(directory.dump())
    kept = again.credential(type, made.name)
    assert kept is not None
    assert again.dump() == directory.dump()
    assert kept.dump() == (await found(issuing, made)).dump()
    assert kept.ends == 1_800_000_000.0


async def test_a_password_is_kept_as_its_argon2_hash(issuing: Issuing) -> None:
    made = await make(issuing, "basic", name="web", password="correct horse battery")
    (secret,) = (await found(issuing, made)).secrets(issuing.clock.time())
    assert made.secret == "correct horse battery"
    assert argon2.PasswordHasher().verify(secret["argon2"], "correct horse battery")


async def test_an_hmac_secret_is_usable_with_the_clusters_key_secret_alone(issuing: Issuing) -> None:
    made = await make(issuing, "hmac")
    credential = await found(issuing, made)
    (secret,) = credential.secrets(issuing.clock.time())
    assert Sealer(HASHER).open(secret["sealed"], credential.context).decode() == made.secret
    with pytest.raises(SealedElsewhere):
        Sealer(KeyHasher(Secret("another cluster's"))).open(secret["sealed"], credential.context)
    with pytest.raises(SealedElsewhere):
        Sealer(HASHER).open(secret["sealed"], "hmac/another")
    with pytest.raises(SealedElsewhere):
        Sealer(HASHER).open("no base64!", credential.context)


async def test_the_same_secret_is_sealed_differently_each_time() -> None:
    sealer = Sealer(HASHER)
    assert sealer.seal(b"secret", "hmac/a") != sealer.seal(b"secret", "hmac/a")


def test_a_derived_key_belongs_to_its_purpose_and_is_no_digest() -> None:
    """HKDF with SHA-256 (RFC 5869)."""
    assert len(HASHER.derive("one")) == 32
    assert HASHER.derive("one") == KeyHasher(Secret("the cluster's secret")).derive("one")
    assert len({HASHER.derive("one"), HASHER.derive("two"), HASHER.digest(b"one"), HASHER.digest(b"one\1")}) == 4


PRIVATE = {
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "RSA": rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("kind", PRIVATE)
async def test_a_public_key_is_kept_as_a_jwk_without_private_members(issuing: Issuing, kind: str) -> None:
    made = await make(issuing, "public-key", public_key=public_pem(PRIVATE[kind]))
    assert made.secret is None
    (secret,) = (await found(issuing, made)).secrets(issuing.clock.time())
    assert secret["jwk"]["kty"] in {"OKP", "EC", "RSA"}
    assert not secret["jwk"].keys() & {"d", "p", "q", "k"}
    sent = secret["jwk"] | {"kid": "one", "other": "left out"}
    again = await create_credential(issuing, type="public-key", application="partner", jwk=sent)
    assert (await found(issuing, again)).secrets(0) == [{"jwk": secret["jwk"] | {"kid": "one"}}]


async def test_a_certificate_is_found_by_its_fingerprint_or_by_subject_and_issuer(issuing: Issuing) -> None:
    colons = ":".join("AB" for _ in range(32))
    assert (await make(issuing, "certificate", fingerprint=colons)).name == FINGERPRINT
    named = {"subject": "CN=app,O=Partner", "issuer": "CN=CA"}
    made = await create_credential(issuing, type="certificate", application="partner", **named)
    assert made.name == subject_name("CN=app,O=Partner", "CN=CA")
    assert (await found(issuing, made)).refusal("shop", issuing.clock.time()) is None


async def test_an_oauth_client_has_a_keyed_hash_of_its_secret_its_keys_or_both(issuing: Issuing) -> None:
    both = await make(issuing, "oauth-client", jwks=JWKS, client_secret=True)
    keys = await make(issuing, "oauth-client", jwks=JWKS)
    (secret,) = (await found(issuing, both)).secrets(0)
    assert both.secret is not None
    assert secret == {"digest": HASHER.digest(both.secret.encode()).hex(), "jwks": JWKS}
    assert keys.secret is None
    assert (await found(issuing, keys)).secrets(0) == [{"jwks": JWKS}]
    assert (await found(issuing, keys)).scopes == {"orders:read"}


@pytest.mark.parametrize("type", ["basic", "hmac", "oauth-client"])
async def test_a_rotated_secret_goes_on_for_the_overlap(issuing: Issuing, type: str) -> None:
    """CASES C42."""
    made = await make(issuing, type)
    new = await rotate_credential(issuing, made.id, overlap=60)
    assert (new.id, new.name) == (made.id, made.name)
    assert new.secret not in (None, made.secret)
    credential, now = await found(issuing, made), issuing.clock.time()
    assert [len(credential.secrets(now + after)) for after in (0, 59.9, 60)] == [2, 2, 1]


async def test_a_rotation_without_overlap_ends_every_earlier_secret(issuing: Issuing) -> None:
    made = await make(issuing, "basic")
    await rotate_credential(issuing, made.id, overlap=3600)
    await rotate_credential(issuing, made.id, overlap=0)
    assert len((await found(issuing, made)).secrets(issuing.clock.time())) == 1


async def test_a_clients_keys_stay_when_its_secret_is_rotated(issuing: Issuing) -> None:
    made = await make(issuing, "oauth-client", jwks=JWKS, client_secret=True)
    await rotate_credential(issuing, made.id, overlap=60)
    new, old = (await found(issuing, made)).secrets(issuing.clock.time())
    assert new["jwks"] == JWKS
    assert old.keys() == {"digest", "until"}


async def test_a_rotated_certificate_has_a_successor_and_ends_after_the_overlap(issuing: Issuing) -> None:
    made = await make(issuing, "certificate")
    new = await rotate_credential(issuing, made.id, overlap=60, fingerprint="cd" * 32)
    now = issuing.clock.time()
    assert [(await found(issuing, each)).refusal("shop", now + 60) for each in (made, new)] == ["expired", None]


async def test_a_revoked_credential_is_refused_by_the_change_log(issuing: Issuing) -> None:
    directory = await load_directory(issuing.store, issuing.clock)
    made = await make(issuing, "basic")
    await revoke_credential(issuing, made.id)
    for change in await issuing.store.changes(directory.sequence):
        directory.apply(change)
    credential = directory.credential_id(made.id)
    assert credential is not None
    assert credential.refusal("shop", issuing.clock.time()) == "revoked"
    with pytest.raises(Conflict, match="Create another one"):
        await rotate_credential(issuing, made.id)


async def test_a_credential_of_one_api_opens_no_other(issuing: Issuing) -> None:
    now = issuing.clock.time()
    await subscribe(issuing.store, issuing.clock, application="partner", api="bank", actor="me")
    one, every = await make(issuing, "basic", api="shop"), await make(issuing, "basic")
    assert [(await found(issuing, one)).refusal(api, now) for api in ("shop", "bank")] == [None, "of another API"]
    every_refusals = [(await found(issuing, every)).refusal(api, now) for api in ("shop", "bank", "other")]
    assert every_refusals == [None, None, "no subscription"]


async def test_a_credential_follows_its_applications_subscription(issuing: Issuing) -> None:
    made = await make(issuing, "basic")
    await subscribe(issuing.store, issuing.clock, application="partner", api="shop", plan="silver", actor="me")
    assert (await found(issuing, made)).plan_of("shop") == "silver"
    await unsubscribe(issuing.store, application="partner", api="shop", actor="me")
    assert (await found(issuing, made)).refusal("shop", 0) == "no subscription"


async def test_a_deleted_application_takes_its_credentials_with_it(issuing: Issuing) -> None:
    made = await make(issuing, "basic")
    await delete_application(issuing.store, "partner", actor="me")
    assert (await load_directory(issuing.store, issuing.clock)).credential("basic", made.name) is None


async def test_a_name_is_given_once_until_it_opens_nothing(issuing: Issuing) -> None:
    made = await make(issuing, "basic", name="web")
    with pytest.raises(Conflict, match="already"):
        await make(issuing, "basic", name="web")
    await make(issuing, "hmac", name="web")
    await revoke_credential(issuing, made.id)
    assert (await make(issuing, "basic", name="web")).id == made.id
    await revoke_credential(issuing, made.id)
    await create_application(issuing.store, issuing.clock, "other", actor="me")
    with pytest.raises(Conflict):
        await create_credential(issuing, type="basic", application="other", name="web")


async def test_identities_are_told_apart_by_method_plan_and_who_asks(issuing: Issuing) -> None:
    credential = await found(issuing, made := await make(issuing, "oauth-client", roles=["clerk"]))
    holds, other = (lambda _identity, _now: True), (lambda _identity, _now: False)
    identity = credential.identify("shop", "jwt", holds)
    assert (identity.application, identity.plan, identity.credential) == ("partner", "gold", made.id)
    assert (identity.scopes, identity.roles) == ({"orders:read"}, {"clerk"})
    assert credential.identify("shop", "jwt", holds) is identity
    assert credential.identify("shop", "basic", holds).method == "basic"
    assert credential.identify("shop", "basic", other).holds is other


@pytest.mark.parametrize(
    ("type", "given", "text"),
    [
        ("api-key", {}, "made as keys"),
        ("basic", {"name": "a:b"}, "letters"),
        ("basic", {"name": "a\n"}, "letters"),
        ("basic", {"password": "short"}, "12 to 512"),
        ("basic", {"secret": "x" * 40}, "takes password"),
        ("basic", {"scopes": ["a b"]}, "no spaces"),
        ("basic", {"roles": ["\n"]}, "no spaces"),
        ("basic", {"starts": 2.0, "ends": 1.0}, "end after"),
        ("hmac", {"secret": "x" * 31}, "32 to 512"),
        ("public-key", {}, "one of"),
        ("public-key", {"public_key": "nonsense"}, "no public key as PEM"),
        ("public-key", {"jwk": {"kty": "oct", "k": "c2VjcmV0"}}, "public one"),
        ("public-key", {"jwk": {"kty": "EC"}}, "understood"),
        ("public-key", {"jwk": {}}, "understood"),
        ("certificate", {}, "fingerprint"),
        ("certificate", {"fingerprint": "abc"}, "64 hexadecimal"),
        ("certificate", {"subject": "CN=a"}, "go together"),
        ("certificate", {"certificate": "nonsense"}, "no certificate as PEM"),
        ("certificate", {"name": "mine", "fingerprint": FINGERPRINT}, "leave `name` out"),
        ("oauth-client", {"client_secret": False}, "a secret, `jwks`, or both"),
        ("oauth-client", {"jwks": {"keys": []}}, "public keys"),
        ("oauth-client", {"jwks": {"keys": [1]}}, "public keys"),
        ("oauth-client", {"jwks": {"keys": JWKS["keys"] * 2}}, "kid"),
    ],
)
async def test_what_cannot_be_used_is_refused(issuing: Issuing, type: str, given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        await create_credential(issuing, type=type, application="partner", **given)


async def test_a_private_key_is_refused_and_never_quoted(issuing: Issuing) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(InvalidInput, match="private key") as refused:
        await create_credential(issuing, type="public-key", application="partner", public_key=pem)
    assert pem.splitlines()[1] not in str(refused.value)


async def test_a_weak_rsa_key_is_refused(issuing: Issuing) -> None:
    weak = public_pem(rsa.generate_private_key(65537, 1024))
    with pytest.raises(InvalidInput, match="2048 bits"):
        await create_credential(issuing, type="public-key", application="partner", public_key=weak)


async def test_an_unknown_application_or_credential_tells_the_way_out(issuing: Issuing) -> None:
    with pytest.raises(NotFound, match="penstock apps create nobody"):
        await create_credential(issuing, type="basic", application="nobody")
    with pytest.raises(NotFound):
        await revoke_credential(issuing, "c-nothing")


async def test_listed_credentials_show_public_keys_and_nothing_secret(issuing: Issuing) -> None:
    for type in TYPES:
        await make(issuing, type)
    listed = [each async for each in list_credentials(issuing.store, "partner")]
    assert {each["type"] for each in listed} == set(TYPES)
    assert not any(each.keys() & {"secrets", "argon2", "sealed", "digest"} for each in listed)
    assert [each["jwk"]["kty"] for each in listed if "jwk" in each] == ["OKP"]


def test_a_type_of_a_newer_release_opens_nothing() -> None:
    directory = Directory()
    directory.apply(Change(1, CREDENTIALS, "c-1", {"type": "palm", "name": "x", "application": "partner"}))
    directory.apply(Change(2, CREDENTIALS, "c-1", None))
    assert directory.credential_id("c-1") is None


async def test_neither_store_nor_dump_holds_a_plaintext_of_any_type(
    valkey: str, prefix: str, clock: ManualClock
) -> None:
    """CASES C39."""
    import redis

    store = RedisStore(valkey, prefix, clock)
    await create_application(store, clock, "partner", actor="me")
    issuing = Issuing(store, HASHER, clock, "me")
    planted = []
    for type in ("basic", "hmac", "oauth-client"):
        made = await make(issuing, type)
        planted += [made.secret, (await rotate_credential(issuing, made.id)).secret]
    dump = (await load_directory(store, clock)).dump()
    with redis.Redis.from_url(valkey, protocol=2) as client:
        hash = client.hgetall(f"{{{prefix}}}:t:credentials")
        log = client.xrange(f"{{{prefix}}}:log"), client.xrange(f"{{{prefix}}}:audit")
    everything = repr((dump, hash, log))
    assert len(hash) == 3
    assert [each for each in planted if each is None or each[3:] in everything] == []
    await store.close()


@given(st.binary(max_size=200), st.text(max_size=50))
def test_what_is_sealed_is_opened_as_it_was(secret: bytes, context: str) -> None:
    sealer = Sealer(HASHER)
    assert sealer.open(sealer.seal(secret, context), context) == secret


@given(st.text(max_size=120))
def test_what_nobody_sealed_is_never_opened(sealed: str) -> None:
    with pytest.raises(SealedElsewhere):
        Sealer(HASHER).open(sealed, "hmac/a")
