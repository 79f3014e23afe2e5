"""`hmac`: signed requests, good once and for a short time, with the body that was signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.core.chain import Chain
from gateway.core.errors import BadRequest
from gateway.policy import hmac_signed
from gateway.policy.credentials import content_digest
from gateway.policy.credentials.hmac_canonical import parameters
from tests.policy.policy_harness import Gateway, json_of

SECRET = b"a secret of both sides"
KEYS = {"keys": {"partner": {"secret": SECRET.decode(), "application": "partner", "plan": "gold"}}}
Fields = list[tuple[bytes, bytes]]


@pytest.fixture
def chain(gateway: Gateway) -> Chain:
    return gateway.chain(gateway.build(hmac_signed.KIND, KEYS))


def signed(
    gateway: Gateway,
    method: str = "GET",
    target: str = "/orders/1",
    body: bytes | None = None,
    nonce: str = "nonce-001",
    key: str = "partner",
    secret: bytes = SECRET,
    created: int | None = None,
) -> Fields:
    """As a client that only read the guide would sign."""
    at = int(gateway.clock.time()) if created is None else created
    digest = b"" if body is None else content_digest.field(body)
    lines = ["HMAC-SHA256", key, str(at), nonce, method, target, "localhost", digest.decode()]
    text = base64.b64encode(hmac.new(secret, "\n".join(lines).encode(), hashlib.sha256).digest()).decode()
    value = f'HMAC-SHA256 keyid="{key}", created={at}, nonce="{nonce}", signature="{text}"'
    fields = [(b"Host", b"localhost"), (b"Authorization", value.encode())]
    return fields if body is None else [*fields, (b"Content-Digest", digest)]


async def test_a_signed_request_is_its_application(gateway: Gateway, chain: Chain) -> None:
    told = json_of(await gateway.request(chain, signed(gateway)))
    assert told["identity"] == ["partner", "gold", "hmac:partner"]
    assert told["drop"] == ["authorization"]


async def test_a_body_is_compared_with_what_was_signed(gateway: Gateway, chain: Chain) -> None:
    fields = signed(gateway, "POST", body=b'{"a": 1}')
    assert (await gateway.request(chain, fields, method="POST", body=b'{"a": 2}')).status == 401
    assert not gateway.seen
    assert (await gateway.request(chain, fields, method="POST", body=b'{"a": 1}')).status == 200


async def test_a_body_that_comes_in_pieces_is_compared_as_well(gateway: Gateway, chain: Chain) -> None:
    for nonce, pieces, status in (("nonce-a1", [b"ab", b"c"], 200), ("nonce-a2", [b"ab", b"d"], 401)):
        fields = signed(gateway, "POST", body=b"abc", nonce=nonce)
        assert (await gateway.request(chain, fields, method="POST", body=pieces)).status == status


async def test_a_body_that_is_not_signed_is_refused(gateway: Gateway, chain: Chain) -> None:
    answer = await gateway.request(chain, signed(gateway, "POST"), method="POST", body=b"abc")
    assert answer.status == 401
    open_ = gateway.chain(gateway.build(hmac_signed.KIND, KEYS | {"body": "unsigned"}))
    assert (await gateway.request(open_, signed(gateway, "POST"), method="POST", body=b"abc")).status == 200


async def test_a_body_beyond_the_limit_is_refused(gateway: Gateway) -> None:
    chain = gateway.chain(gateway.build(hmac_signed.KIND, KEYS | {"max_body": 2}))
    fields = signed(gateway, "POST", body=b"abc")
    assert (await gateway.request(chain, fields, method="POST", body=b"abc")).status == 413


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "PUT"},
        {"target": "/orders/2"},
        {"target": "/orders/1?a=1"},
        {"key": "other"},
        {"secret": b"another secret of somebody"},
        {"nonce": "nonce-002", "secret": b""},
    ],
)
async def test_what_was_signed_otherwise_is_refused(
    gateway: Gateway, chain: Chain, changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """CASES C40, C41"""
    caplog.set_level(logging.DEBUG)
    answer = await gateway.request(chain, signed(gateway, **changed))
    assert (answer.status, json_of(answer)["detail"]) == (401, "The signature is not valid.")
    assert answer.get(b"www-authenticate") == b'HMAC-SHA256 realm="shop"'
    assert not gateway.seen
    assert SECRET.decode() not in caplog.text


async def test_a_request_is_good_once(gateway: Gateway, chain: Chain) -> None:
    fields = signed(gateway)
    assert [(await gateway.request(chain, fields)).status for _ in range(2)] == [200, 401]
    assert (await gateway.request(chain, signed(gateway, nonce="nonce-002"))).status == 200
    gateway.clock.advance(299)
    assert (await gateway.request(chain, fields)).status == 401


@pytest.mark.parametrize(("off", "status"), [(-301, 401), (-299, 200), (299, 200), (301, 401)])
async def test_the_time_of_signing_is_near(gateway: Gateway, chain: Chain, off: int, status: int) -> None:
    fields = signed(gateway, created=int(gateway.clock.time()) + off)
    assert (await gateway.request(chain, fields)).status == status


async def test_while_the_store_cannot_tell_whether_it_was_sent_before_nobody_passes(gateway: Gateway) -> None:
    """CASES C49"""

    class Away:
        def counter(self, *_: Any) -> Any:
            return self

        def take(self, _subject: str, deliver: Any) -> None:
            deliver(None)

    gateway.counters = Away()
    chain = gateway.chain(gateway.build(hmac_signed.KIND, KEYS))
    answer = await gateway.request(chain, signed(gateway))
    assert (answer.status, json_of(answer)["code"]) == (503, "store_unavailable")


@pytest.mark.parametrize(
    "value",
    [
        b'keyid="partner"',
        b'keyid="partner", created=x, nonce="12345678", signature="AA=="',
        b'keyid="partner", keyid="other", created=1, nonce="12345678", signature="AA=="',
        b'keyid="partner", created=1, nonce="12345678", signature="%%"',
        b'keyid="partner", created=1, nonce="short", signature="AA=="',
        b'keyid="partner", created=1, nonce="12345678", signature="AA==", more="x"',
    ],
)
async def test_a_malformed_field_is_refused(gateway: Gateway, chain: Chain, value: bytes) -> None:
    assert (await gateway.request(chain, [(b"Authorization", b"HMAC-SHA256 " + value)])).status == 400


async def test_a_signature_in_two_places_is_refused(gateway: Gateway, chain: Chain) -> None:
    """CASES C41"""
    fields = signed(gateway)
    assert (await gateway.request(chain, [*fields, fields[1]])).status == 400


@given(st.binary(max_size=200))
def test_no_field_makes_the_parser_fail_otherwise(text: bytes) -> None:
    try:
        parameters(text)
    except BadRequest:
        return


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        (content_digest.field(b"abc"), True),
        (b"sha-512=:" + base64.b64encode(hashlib.sha512(b"abc").digest()) + b":", True),
        (content_digest.field(b"abc") + b", sha-512=:AA==:", False),
        (content_digest.field(b"abc") + b", md5=:AA==:", True),
        (b"md5=:kAFQmDzST7DWlj99KOF/cg==:", False),
        (content_digest.field(b"abc") + b", " + content_digest.field(b"abc"), False),
        (content_digest.field(b"abd"), False),
        (b"sha-256=abc", False),
        (b"", False),
    ],
)
def test_a_digest_agrees_with_its_own_body_only(value: bytes, holds: bool) -> None:
    """RFC 9530"""
    assert content_digest.agrees(value, b"abc") is holds


@given(st.binary(max_size=100), st.binary(max_size=50))
def test_no_digest_field_makes_the_comparison_fail(value: bytes, body: bytes) -> None:
    assert content_digest.agrees(value, body) in {True, False}
    assert content_digest.agrees(content_digest.field(body), body)


# Standard Webhooks

WEBHOOK = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
HOOKS = {"scheme": "standard-webhooks", "keys": {"sender": {"secret": f"whsec_{WEBHOOK}", "application": "sender"}}}


def hook(gateway: Gateway, body: bytes, id: str = "msg_1", secret: str = WEBHOOK, before: str = "") -> Fields:
    at = int(gateway.clock.time())
    content = f"{id}.{at}.".encode() + body
    text = base64.b64encode(hmac.new(base64.b64decode(secret), content, hashlib.sha256).digest()).decode()
    return [
        (b"webhook-id", id.encode()),
        (b"webhook-timestamp", str(at).encode()),
        (b"webhook-signature", f"{before}v1,{text}".encode()),
    ]


async def hooked(gateway: Gateway, fields: Fields, body: bytes = b"{}") -> Any:
    return await gateway.request(gateway.chain(gateway.build(hmac_signed.KIND, HOOKS)), fields, "/h", "POST", body=body)


async def test_a_webhook_is_signed_with_its_body(gateway: Gateway) -> None:
    fields = hook(gateway, b"{}", before="v1a,xyz v1,AAAA ")
    assert json_of(await hooked(gateway, fields))["identity"] == ["sender", None, "hmac:sender"]
    assert (await hooked(gateway, hook(gateway, b"{}", "msg_2"), b"[]")).status == 401
    assert (await hooked(gateway, hook(gateway, b"{}", "msg_3", base64.b64encode(b"x" * 24).decode()))).status == 401


def test_the_signature_of_the_standards_own_example_is_right() -> None:
    """Standard Webhooks 1.0.0: secret, id, timestamp and payload of its libraries' tests."""
    from gateway.policy.credentials.hmac_canonical import proves, webhook_secret

    secret = webhook_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    content = b'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}'
    assert proves((secret,), (base64.b64decode("g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),), content)


async def test_a_webhook_is_good_once_and_in_time(gateway: Gateway) -> None:
    fields = hook(gateway, b"{}")
    chain = gateway.chain(gateway.build(hmac_signed.KIND, HOOKS))
    statuses = [(await gateway.request(chain, fields, "/h", "POST", body=b"{}")).status for _ in range(2)]
    assert statuses == [200, 401]
    late = hook(gateway, b"{}", "msg_9")
    gateway.clock.advance(301)
    assert (await gateway.request(chain, late, "/h", "POST", body=b"{}")).status == 401


@pytest.mark.parametrize("missing", [0, 1])
async def test_a_webhook_without_a_field_is_refused(gateway: Gateway, missing: int) -> None:
    fields = hook(gateway, b"{}")
    assert (await hooked(gateway, [*fields[:missing], *fields[missing + 1 :]])).status == 400
    assert (await hooked(gateway, [])).status == 401
    assert (await hooked(gateway, [*fields, fields[missing]])).status == 400


async def test_a_webhook_whose_id_has_a_dot_is_refused_as_its_signature_would_be_that_of_another(
    gateway: Gateway,
) -> None:
    """`id.timestamp.body` of one message is that of another, whose id ends at another dot."""
    at = int(gateway.clock.time())
    dotted = hook(gateway, b"{}", f"msg.{at}")
    answer = await hooked(gateway, dotted)
    assert answer.status == 400
    assert b"without a dot" in answer.body
    moved = [(b"webhook-id", b"msg"), (b"webhook-timestamp", str(at).encode()), dotted[2]]
    assert (await hooked(gateway, moved, f"{at}.{{}}".encode())).status == 200, "the sender's own doing"


# configurations


@pytest.mark.parametrize(
    "config",
    [
        {"directory": False},
        {"scheme": "standard-webhooks"},
        HOOKS | {"body": "unsigned"},
        HOOKS | {"directory": True},
        KEYS | {"window": "soon"},
        {"keys": {"a": {}}},
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        hmac_signed.KIND.config.model_validate(config)


@pytest.mark.parametrize("config", [{"keys": {"a": {"secret": "short-one"}}}, HOOKS | {"keys": {"a": {"secret": "%"}}}])
def test_a_secret_that_is_none_is_refused_and_not_repeated(gateway: Gateway, config: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as refused:
        gateway.build(hmac_signed.KIND, config)
    assert config["keys"]["a"]["secret"] not in str(refused.value).replace("16", "")
