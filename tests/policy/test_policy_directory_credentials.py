"""Credentials of the directory: what they prove, and when they open nothing any more."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.consumers import materials
from gateway.consumers.credentials import credential_id
from gateway.consumers.sealed import Sealer
from gateway.core.identity import Identity
from gateway.policy import basic, client_certificate, hmac_signed, http_signature
from gateway.store.store import APPLICATIONS, CREDENTIALS, SUBSCRIPTIONS
from tests.policy import test_policy_hmac, test_policy_http_signature
from tests.policy.policy_harness import Gateway, json_of
from tests.policy.test_policy_basic import field
from tests.policy.test_policy_client_certificate import APP, with_certificate
from tests.policy.test_policy_http_signature import PRIVATE, SIGNERS

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def jwk_of(key: ed25519.Ed25519PrivateKey) -> Any:
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return materials._from_pem(pem)


class Case:
    """One type of credential, as a caller shows it and as the directory keeps it."""

    def __init__(self, gateway: Gateway, type: str) -> None:
        self.gateway = gateway
        self.type = type
        self.name = APP.fingerprint if type == "certificate" else "ed25519" if type == "public-key" else "partner"
        self.kind = {
            "basic": basic.KIND,
            "hmac": hmac_signed.KIND,
            "public-key": http_signature.KIND,
            "certificate": client_certificate.KIND,
        }[type]
        self.chain = gateway.chain(gateway.build(self.kind))
        self.asked = 0
        gateway.directory.current.put(APPLICATIONS, "partner", {})
        gateway.directory.current.put(SUBSCRIPTIONS, "partner/shop", {"plan": "gold"})

    def secret(self, which: str = "right") -> dict[str, Any]:
        if self.type == "basic":
            return {"argon2": CHEAP.hash(which)}
        if self.type == "hmac":
            sealer = Sealer(self.gateway.hasher)
            return {"sealed": sealer.seal(f"a secret of both sides {which}".encode(), f"hmac/{self.name}")}
        if self.type == "public-key":
            PRIVATE[which] = PRIVATE.get(which) or ed25519.Ed25519PrivateKey.generate()
            SIGNERS[which] = SIGNERS["ed25519"]
            return {"jwk": jwk_of(PRIVATE[which])}
        return {}

    def put(self, *secrets: dict[str, Any], **fields: Any) -> None:
        record = {"type": self.type, "name": self.name, "application": "partner", "api": "shop"}
        kept = [] if self.type == "certificate" else list(secrets or [self.secret()])
        id = credential_id(self.type, self.name)
        self.gateway.directory.current.put(CREDENTIALS, id, record | {"secrets": kept} | fields)

    async def ask(self, which: str = "right") -> Any:
        self.asked += 1
        if self.type == "certificate":
            return await self.gateway.request(self.chain, peer=with_certificate(APP))
        if self.type == "basic":
            return await self.gateway.request(self.chain, field("partner", which))
        if self.type == "hmac":
            secret = f"a secret of both sides {which}".encode()
            nonce = f"nonce-{self.asked:04}"
            return await self.gateway.request(
                self.chain, test_policy_hmac.signed(self.gateway, secret=secret, nonce=nonce)
            )
        fields = test_policy_http_signature.signed(self.gateway, algorithm="ed25519", signer=which)
        return await self.gateway.request(self.chain, fields, "/orders/1")


@pytest.fixture(params=["basic", "hmac", "public-key", "certificate"])
def case(request: pytest.FixtureRequest, gateway: Gateway) -> Case:
    return Case(gateway, request.param)


async def test_a_credential_of_the_directory_is_its_application(case: Case) -> None:
    case.put()
    told = json_of(await case.ask())
    assert told["identity"] == ["partner", "gold", credential_id(case.type, case.name)]


async def test_a_credential_of_an_application_may_have_its_own_plan(case: Case) -> None:
    case.put(plan="trial", api=None)
    assert json_of(await case.ask())["identity"][1] == "trial"


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"revoked": 1.0}, 401, "unauthorized"),
        ({"ends": 1_600_000_000.0}, 401, "unauthorized"),
        ({"starts": 1_900_000_000.0}, 401, "unauthorized"),
        ({"api": "other"}, 403, "forbidden"),
    ],
)
async def test_a_credential_that_holds_no_more_opens_nothing(
    case: Case, fields: dict[str, Any], status: int, code: str
) -> None:
    """CASES C42"""
    case.put(**fields)
    answer = await case.ask()
    assert (answer.status, json_of(answer)["code"]) == (status, code)
    assert not case.gateway.seen


async def test_one_that_was_revoked_or_is_not_there_reads_as_a_wrong_one(case: Case) -> None:
    """CASES C40"""
    case.secret()
    unknown = json_of(await case.ask())
    case.put(revoked=1.0)
    revoked = json_of(await case.ask())
    assert revoked["detail"] == unknown["detail"]


async def test_an_application_that_is_suspended_hears_so_once_it_has_proved_itself(case: Case) -> None:
    case.put()
    case.gateway.directory.current.put(APPLICATIONS, "partner", {"status": "suspended"})
    assert json_of(await case.ask())["code"] == "application_suspended"


async def test_a_revocation_counts_from_the_next_request_on(case: Case) -> None:
    """CASES C42: also where the proof is remembered."""
    case.put()
    assert (await case.ask()).status == 200
    case.put(revoked=case.gateway.clock.time())
    assert (await case.ask()).status == 401


async def test_two_secrets_hold_while_they_overlap(gateway: Gateway) -> None:
    """CASES C42"""
    for type in ("basic", "hmac", "public-key"):
        case = Case(gateway, type)
        case.put(case.secret("new"), case.secret("old") | {"until": gateway.clock.time() + 60})
        assert [(await case.ask(which)).status for which in ("new", "old", "other-new")[:2]] == [200, 200]
        gateway.clock.advance(61)
        gateway.directory.current.as_of = gateway.clock.time()
        assert [(await case.ask(which)).status for which in ("new", "old")] == [200, 401]


async def test_content_that_is_too_old_decides_nothing(case: Case) -> None:
    case.put()
    case.gateway.directory.current.as_of = 0.0
    answer = await case.ask()
    assert (answer.status, json_of(answer)["code"]) == (503, "store_unavailable")


async def test_an_exchange_that_lasts_ends_when_its_credential_is_revoked(case: Case) -> None:
    case.put()
    await case.ask()
    identity = case.gateway.seen[0].identity
    assert isinstance(identity, Identity)
    assert identity.holds is not None
    now = case.gateway.clock.time()
    assert identity.holds(identity, now)
    case.put(revoked=now)
    assert not identity.holds(identity, now)


async def test_a_key_is_used_for_what_it_is_allowed_to(gateway: Gateway) -> None:
    case = Case(gateway, "public-key")
    case.put()
    case.chain = gateway.chain(gateway.build(http_signature.KIND, {"algorithms": ["rsa-pss-sha512"]}))
    assert (await case.ask()).status == 401


async def test_a_certificate_is_also_known_by_subject_and_issuer(gateway: Gateway) -> None:
    case = Case(gateway, "certificate")
    case.name = f"{APP.subject} by {APP.issuer}"
    case.put()
    assert json_of(await case.ask())["identity"][0] == "partner"


async def test_users_that_are_listed_and_those_of_the_directory_stand_beside_each_other(gateway: Gateway) -> None:
    case = Case(gateway, "basic")
    case.put()
    users = {"ann": {"password": CHEAP.hash("mine")}}
    for directory, status in ((None, 401), (True, 200)):
        case.chain = gateway.chain(gateway.build(basic.KIND, {"users": users, "directory": directory}))
        assert (await case.ask()).status == status
        assert (await gateway.request(case.chain, field("ann", "mine"))).status == 200
    assert base64.b64encode(b"partner:right") not in repr(case.gateway.seen).encode()


async def test_routing_knows_whose_credential_is_shown_and_its_pin(case: Case) -> None:
    """A pin per application, whatever it shows."""
    case.gateway.directory.current.put(SUBSCRIPTIONS, "partner/shop", {"plan": "gold", "version": "v3"})
    case.put()
    await case.ask()
    head = case.gateway.seen[0].head
    presented = case.gateway.build(case.kind).presented
    assert presented is not None
    assert presented.read(head) == ("partner", "v3")
    case.put(api="other")
    assert presented.read(head) is None
    case.gateway.directory.current.put(CREDENTIALS, credential_id(case.type, case.name), None)
    assert presented.read(head) is None
    head.block = b"\r\nAuthorization: Basic %%%\r\nSignature-Input: ("
    assert presented.read(head) is None
