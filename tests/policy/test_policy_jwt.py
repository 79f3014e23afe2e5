"""Signed tokens: who is let in, who is not, and what the backend and the client learn."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.core.chain import Chain
from gateway.core.exchange import Exchange
from gateway.core.memory_wire import Answer
from gateway.policy import jwt
from tests.policy.issuer import (
    NOW,
    bearer,
    claims,
    ec_key,
    ed_key,
    jwk,
    jwks,
    public_der,
    public_pem,
    rsa_key,
    token,
)  # fmt: skip
from tests.policy.policy_harness import Gateway, json_of

SHARED = "a secret of at least 32 bytes, shared by two"


def config(**more: Any) -> dict[str, Any]:
    return {"issuer": "https://id.example", "audience": "shop", "jwks": jwks(jwk(rsa_key()))} | more


def chain(gateway: Gateway, **more: Any) -> Chain:
    return gateway.chain(gateway.build(jwt.KIND, config(**more)))


async def ask(gateway: Gateway, given: bytes, **more: Any) -> Answer:
    return await gateway.request(chain(gateway, **more), bearer(given))


def challenge(answer: Answer) -> str:
    return dict(answer.headers)[b"www-authenticate"].decode()


def raw(header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, signature: bytes = b"x" * 32) -> bytes:
    parts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, payload, signature)]
    return b".".join(base64.urlsafe_b64encode(each).rstrip(b"=") for each in parts)


def hs256(header: dict[str, Any], secret: bytes) -> bytes:
    signed = raw(header, claims()).rpartition(b".")[0]
    return signed + b"." + base64.urlsafe_b64encode(hmac.digest(secret, signed, hashlib.sha256)).rstrip(b"=")


# let in


async def test_a_good_token_is_an_identity(gateway: Gateway) -> None:
    given = claims(client_id="partner", roles=["editor"], plan="gold", jti="1")
    answer = await ask(gateway, token(given), claims={"plan": "plan"})
    assert answer.status == 200
    identity = gateway.seen[0].identity
    assert identity is not None
    assert (identity.subject, identity.method, identity.application, identity.plan) == ("ann", "jwt", "partner", "gold")
    assert identity.scopes == {"read", "write"}
    assert identity.roles == {"editor"}
    assert identity.claims == given
    assert identity.credential is not None
    assert identity.credential.encode() not in token(given)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [(name, rsa_key()) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")]
    + [("ES256", ec_key()), ("ES384", ec_key(ec.SECP384R1)), ("ES512", ec_key(ec.SECP521R1)), ("EdDSA", ed_key())],
)
async def test_every_asymmetric_algorithm_is_verified_by_default(gateway: Gateway, algorithm: str, key: Any) -> None:
    good = token(key=key, algorithm=algorithm)
    assert (await ask(gateway, good, jwks=jwks(jwk(key)))).status == 200
    head, _, signature = good.partition(b".")
    other = raw({}, claims(sub="eve")).split(b".")[1]
    assert (await ask(gateway, b".".join((head, other, signature.split(b".")[1])), jwks=jwks(jwk(key)))).status == 401


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_shared_secret_verifies_where_it_is_configured(gateway: Gateway, algorithm: str) -> None:
    secret = SHARED * 2
    given = {"jwks": None, "secret": secret, "algorithms": [algorithm]}
    assert (await ask(gateway, token(key=secret, algorithm=algorithm), **given)).status == 200
    assert (await ask(gateway, token(key=secret + "x", algorithm=algorithm), **given)).status == 401


async def test_a_public_key_or_a_certificate_in_pem_verifies(gateway: Gateway) -> None:
    assert (await ask(gateway, token(), jwks=None, pem=public_pem(rsa_key()))).status == 200


@pytest.mark.parametrize(
    ("where", "fields", "target"),
    [
        ({"header": "X-Token"}, [(b"X-Token", b"%s")], "/"),
        ({"header": None, "cookie": "session"}, [(b"Cookie", b"a=1; session=%s; b=2")], "/"),
        ({"query": "access_token"}, [], "/?a=1&access_token=%s&b=2"),
    ],
)
async def test_a_token_may_stand_elsewhere_and_does_not_reach_the_backend(
    gateway: Gateway, where: dict[str, Any], fields: list[tuple[bytes, bytes]], target: str
) -> None:
    good = token()
    sent = [(name, value.replace(b"%s", good)) for name, value in fields]
    answer = await gateway.request(chain(gateway, **where), sent, target.replace("%s", good.decode()))
    assert answer.status == 200
    told = json_of(answer)
    assert good.decode() not in json.dumps(told["add"])
    if "cookie" in where:
        assert told["add"] == ["\r\nCookie: a=1; b=2"]
        assert "cookie" in told["drop"]
    if "query" in where:
        assert told["query"] == "a=1&b=2"


async def test_the_token_goes_on_where_that_is_wanted(gateway: Gateway) -> None:
    for wanted in (False, True):
        told = json_of(await ask(gateway, token(), forward_token=wanted))
        assert ("authorization" in told["drop"]) is not wanted


async def test_a_token_seen_before_costs_no_signature(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is refused from its exp on."""
    built, good = chain(gateway), token()
    assert (await gateway.request(built, bearer(good))).status == 200
    monkeypatch.setattr("gateway.policy.tokens.compact.Compact.claims", None)
    assert (await gateway.request(built, bearer(good))).status == 200
    gateway.clock.advance(605)
    monkeypatch.undo()
    assert (await gateway.request(built, bearer(good))).status == 401


async def test_the_memory_of_seen_tokens_is_bounded(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.policy.tokens.memo.Memo.__init__.__defaults__", (2,))
    built = chain(gateway)
    for number in (1, 2, 3, 1):
        assert (await gateway.request(built, bearer(token(claims(sub=str(number)))))).status == 200
    (memo,) = [each for each in _reachable(built) if type(each).__name__ == "Memo"]
    assert len(memo) == 2


def _reachable(built: Chain) -> list[Any]:
    return list(vars(built.steps[0].__self__).values())  # type: ignore[attr-defined]


# refused


async def test_no_token_is_a_challenge_without_an_error(gateway: Gateway) -> None:
    """RFC 6750 section 3.1"""
    for fields in ([], [(b"Authorization", b"Basic YTpi")], [(b"Authorization", b"Bearer ")]):
        answer = await gateway.request(chain(gateway), fields)
        assert answer.status == 401
        assert json_of(answer)["code"] in {"unauthorized", "invalid_token"}
    answer = await gateway.request(chain(gateway))
    assert challenge(answer) == 'Bearer realm="shop"'
    assert gateway.seen == []


async def test_a_bad_token_is_a_challenge_with_its_error(gateway: Gateway) -> None:
    answer = await ask(gateway, b"a.b.c")
    assert (
        challenge(answer) == 'Bearer realm="shop", error="invalid_token", error_description="The token is not valid."'
    )
    assert json_of(answer)["code"] == "invalid_token"


async def test_two_tokens_are_refused(gateway: Gateway) -> None:
    """CASES C41"""
    built, good = chain(gateway, query="access_token"), token()
    both = await gateway.request(built, bearer(good), f"/?access_token={good.decode()}")
    twice = await gateway.request(built, bearer(good) * 2)
    assert (both.status, twice.status) == (400, 400)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, 7, ["RS256"], "HS256", "RS1", "ES256K"])
async def test_c44_an_algorithm_that_is_not_allowed_is_refused(gateway: Gateway, alg: Any) -> None:
    """CASES C44"""
    header = {"alg": alg, "kid": "k1", "typ": "JWT"}
    for made in (raw(header, claims()), raw(header, claims()).rpartition(b".")[0] + b"."):
        assert (await ask(gateway, made)).status == 401
    assert gateway.seen == []


@pytest.mark.parametrize("form", ["pem", "der", "jwk", "n"])
async def test_c44_a_public_key_is_never_a_shared_secret(gateway: Gateway, form: str) -> None:
    """CASES C44: RS256 to HS256 confusion"""
    key = rsa_key()
    secrets = {
        "pem": public_pem(key).encode(),
        "der": public_der(key),
        "jwk": orjson.dumps(jwk(key)),
        "n": jwk(key)["n"].encode(),
    }
    forged = hs256({"alg": "HS256", "kid": "k1"}, secrets[form])
    for source in ({}, {"jwks": None, "pem": public_pem(key)}):
        assert (await ask(gateway, forged, **source)).status == 401


async def test_c44_a_symmetric_key_in_a_published_set_is_left_out(gateway: Gateway) -> None:
    """CASES C44"""
    secret = b"x" * 32
    oct_key = {"kty": "oct", "kid": "k2", "k": base64.urlsafe_b64encode(secret).decode()}
    forged = hs256({"alg": "HS256", "kid": "k2"}, secret)
    assert (await ask(gateway, forged, jwks=jwks(oct_key, jwk(rsa_key())))).status == 401


async def test_c44_a_key_serves_only_the_algorithm_that_it_states(gateway: Gateway) -> None:
    """CASES C44"""
    stated = jwks(jwk(rsa_key(), alg="PS256"))
    assert (await ask(gateway, token(algorithm="PS256"), jwks=stated)).status == 200
    assert (await ask(gateway, token(algorithm="RS256"), jwks=stated)).status == 401


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "x5t"])
async def test_c45_a_key_that_the_token_brings_is_not_looked_at(gateway: Gateway, name: str) -> None:
    """CASES C45"""
    own = rsa_key(1)
    brought = {"jwk": jwk(own, "k1"), "jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/", "x5c": ["MII"]}
    forged = token(key=own, **{name: brought.get(name, "x")})
    assert (await ask(gateway, forged)).status == 401
    assert (await ask(gateway, token(**{name: brought.get(name, "x")}))).status == 200  # ignored, not trusted


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "/dev/null", "' OR 1=1 --", "k1\x00", "x" * 257, 1, 1.5, True, ["k1"], {"a": 1}]
)
async def test_c45_a_kid_is_a_name_among_known_keys_and_nothing_else(gateway: Gateway, kid: Any) -> None:
    """CASES C45"""
    signed = raw({"alg": "RS256", "kid": kid}, claims())
    assert (await ask(gateway, signed)).status == 401


async def test_c45_a_token_of_a_megabyte_is_refused_before_it_is_read(gateway: Gateway) -> None:
    """CASES C45"""
    for size, status in ((1_000_000, 431), (10_000, 400)):
        answer = await ask(gateway, raw({"alg": "RS256", "kid": "x" * size}, claims()))
        assert answer.status == status


@pytest.mark.parametrize("crit", [["exp"], ["b64"], ["x"], [], "exp", 1, None])
async def test_c46_whatever_is_critical_is_refused(gateway: Gateway, crit: Any) -> None:
    """CASES C46"""
    signed = _signed({"alg": "RS256", "kid": "k1", "crit": crit, "exp": 1, "b64": True}, claims())
    assert (await ask(gateway, signed)).status == 401


def _signed(header: dict[str, Any], payload: dict[str, Any] | bytes, key: rsa.RSAPrivateKey | None = None) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    signed = raw(header, payload).rpartition(b".")[0]
    signature = (key or rsa_key()).sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")


@pytest.mark.parametrize(
    "wrong",
    [
        {"exp": None},
        {"exp": "1900000000"},
        {"exp": True},
        {"exp": [NOW + 9]},
        {"nbf": "0"},
        {"iat": "now"},
        {"aud": None},
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": ["shop", 1]},
        {"aud": {"shop": 1}},
        {"aud": "shopping"},
        {"iss": None},
        {"iss": "https://id.example/"},
        {"iss": ["https://id.example"]},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sub": "x" * 257},
        {"sub": "ann\r\nX-Evil: 1"},
    ],
)
async def test_c47_claims_that_do_not_fit_are_refused(gateway: Gateway, wrong: dict[str, Any]) -> None:
    """CASES C47"""
    given = claims() | wrong
    present = {name: value for name, value in given.items() if value is not None}
    assert (await ask(gateway, _signed({"alg": "RS256", "kid": "k1"}, present))).status == 401
    assert gateway.seen == []


async def test_c47_the_leeway_is_exact(gateway: Gateway) -> None:
    """CASES C47"""
    for name, at, status in [
        ("exp", NOW - 29, 200),
        ("exp", NOW - 30, 401),
        ("nbf", NOW + 30, 200),
        ("nbf", NOW + 31, 401),
    ]:
        given = token(claims(**{name: at}))
        assert (await ask(gateway, given, leeway="30s")).status == status, (name, at)


async def test_c47_an_expired_token_is_told_so(gateway: Gateway) -> None:
    """CASES C47"""
    answer = await ask(gateway, token(claims(exp=NOW - 10)))
    assert 'error_description="The token has expired."' in challenge(answer)


@pytest.mark.parametrize(
    ("typ", "wanted", "status"),
    [
        ("JWT", None, 200), ("at+jwt", None, 200), ("application/at+JWT", None, 200), ("logout+jwt", None, 401),
        ("dpop+jwt", None, 401), (7, None, 401), ("JWT", "at+jwt", 401), ("at+jwt", "at+jwt", 200),
        ("at+jwt", "jwt", 401),
    ],
)  # fmt: skip
async def test_the_type_is_checked(gateway: Gateway, typ: Any, wanted: str | None, status: int) -> None:
    """RFC 9068 section 2.1, RFC 8725 section 3.11"""
    made = _signed({"alg": "RS256", "kid": "k1", "typ": typ}, claims())
    assert (await ask(gateway, made, type=wanted)).status == status


@pytest.mark.parametrize(
    "given",
    [b"", b"a", b"a.b", b"a.b.c.d.e", b"....", raw(b"[]", {}), raw(b"{", {}), raw(b"\xff", {}), b"a" * 100,
     raw({"alg": "RS256"}, b"[]"), b"eyJ=.e30.eA", b"e30 .e30.e30"],
)  # fmt: skip
async def test_what_is_no_token_is_refused(gateway: Gateway, given: bytes) -> None:
    assert (await ask(gateway, given)).status == 401


@pytest.mark.parametrize("payload", [b"[]", b"7", b"{", b"\xff", b'{"exp":1e999}', b'{"exp":NaN}'])
async def test_a_signed_payload_that_is_no_set_of_claims_is_refused(gateway: Gateway, payload: bytes) -> None:
    assert (await ask(gateway, _signed({"alg": "RS256", "kid": "k1"}, payload))).status == 401


async def test_a_token_without_a_kid_is_tried_with_few_keys_only(gateway: Gateway) -> None:
    few = jwks(jwk(rsa_key(1), "a"), jwk(rsa_key(), "b"))
    many = jwks(*(jwk(rsa_key(1), str(number)) for number in range(8)), jwk(rsa_key(), "k"))
    assert (await ask(gateway, token(kid=None), jwks=few)).status == 200
    assert (await ask(gateway, token(kid=None), jwks=many)).status == 401


async def test_a_required_claim_that_does_not_match_is_forbidden(gateway: Gateway) -> None:
    required = {"tenant": "blue", "/realm/groups": {"in": ["staff", "admin"]}, "email": {"present": True}}
    good = claims(tenant="blue", realm={"groups": ["x", "staff"]}, email="a@example")
    assert (await ask(gateway, token(good), required=required)).status == 200
    for wrong in ({"tenant": "red"}, {"realm": {"groups": ["x"]}}, {"realm": "staff"}, {"email": None}):
        given = {name: value for name, value in (good | wrong).items() if value is not None}
        answer = await ask(gateway, token(given), required=required)
        assert answer.status == 403
        assert 'error="insufficient_scope"' in challenge(answer)


# what the backend gets


async def test_claims_go_to_the_backend_and_a_clients_own_do_not(gateway: Gateway) -> None:
    """CASES H33"""
    given = claims(name="Zoë", groups=["a", "b"], level=3, address={"city": "x"})
    forward = {"sub": "X-User", "name": "X-Name", "groups": "X-Groups", "level": "X-Level", "address": "X-Address"}
    told = json_of(await ask(gateway, token(given), forward=forward | {"none": "X-None"}))
    assert told["add"] == [
        "\r\nX-User: ann",
        "\r\nX-Name: " + "Zoë".encode().decode("latin-1"),
        "\r\nX-Groups: a, b",
        "\r\nX-Level: 3",
        '\r\nX-Address: {"city":"x"}',
    ]
    assert {"x-user", "x-name", "x-none", "authorization"} <= set(told["drop"])


@pytest.mark.parametrize("evil", ["a\r\nX-Admin: 1", "a\nb", "a\x00", ["a\r\nb"]])
async def test_f22_a_claim_that_would_break_a_header_is_refused(gateway: Gateway, evil: Any) -> None:
    """CASES F22"""
    answer = await ask(gateway, token(claims(name=evil)), forward={"name": "X-Name"})
    assert answer.status == 401
    assert gateway.seen == []


# applications and plans


async def test_a_subscription_lets_in_and_its_plan_counts(gateway: Gateway) -> None:
    gateway.add_key(b"unused")
    built = chain(gateway, subscription="required")
    good = token(claims(client_id="partner"))
    for plan in ("gold", "trial"):
        gateway.directory.current.put("subscriptions", "partner/shop", {"plan": plan})
        assert json_of(await gateway.request(built, bearer(good)))["identity"][:2] == ["partner", plan]
    gateway.directory.current.put("subscriptions", "partner/shop", None)
    answer = await gateway.request(built, bearer(good))
    assert (answer.status, json_of(answer)["code"]) == (403, "forbidden")
    for other in (claims(client_id="other"), claims()):
        assert (await gateway.request(built, bearer(token(other)))).status == 403


async def test_an_oauth_client_of_the_directory_counts_as_its_application(gateway: Gateway) -> None:
    gateway.add_key(b"unused")
    record = {"type": "oauth-client", "name": "c-17", "application": "partner", "api": None}
    gateway.directory.current.put("credentials", "c1", record)
    built, good = chain(gateway, subscription="required"), token(claims(client_id="c-17"))
    assert json_of(await gateway.request(built, bearer(good)))["identity"][:2] == ["partner", "gold"]
    gateway.directory.current.put("credentials", "c1", record | {"revoked": 1.0})
    assert (await gateway.request(built, bearer(good))).status == 403


async def test_subscriptions_too_old_to_decide_by_are_unavailable(gateway: Gateway) -> None:
    gateway.add_key(b"unused")
    gateway.clock.advance(86_401)
    given = claims(client_id="partner", exp=NOW + 100_000)
    assert (await ask(gateway, token(given), subscription="required")).status == 503


async def test_an_exchange_that_lasts_ends_with_its_token(gateway: Gateway) -> None:
    gateway.add_key(b"unused")
    await ask(gateway, token(claims(client_id="partner")), subscription="required", leeway="5s")
    identity = _identity(gateway.seen[0])
    assert identity.holds is not None
    assert identity.holds(identity, NOW + 604)
    assert not identity.holds(identity, NOW + 605)
    gateway.directory.current.put("subscriptions", "partner/shop", None)
    assert not identity.holds(identity, NOW)


def _identity(exchange: Exchange) -> Any:
    assert exchange.identity is not None
    return exchange.identity


async def test_no_token_and_no_claim_is_logged(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """CASES C41"""
    with caplog.at_level(logging.DEBUG):
        good, bad = token(claims(sub="planted-subject")), token(claims(sub="planted-subject", exp=1))
        assert (await ask(gateway, good)).status == 200
        refused = await ask(gateway, bad)
    for text in (caplog.text, refused.body.decode(), challenge(refused)):
        assert "planted" not in text
        assert bad.split(b".")[2].decode() not in text
        assert good.split(b".")[2].decode() not in text


# configurations


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"jwks": None, "issuer": None}, "by which keys"),
        ({"pem": "x"}, "one source"),
        ({"algorithms": ["HS256"]}, "HS256 cannot be used here"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"jwks": None, "secret": SHARED, "algorithms": ["RS256"]}, "RS256 cannot be used here"),
        ({"header": None}, "where the token stands"),
        ({"header": "Content-Length"}, "belongs to the connection"),
        ({"forward": {"sub": "Host"}}, "belongs to the connection"),
        ({"forward": {"sub": "X Y"}}, "not a header name"),
        ({"required": {"a": {"like": 1}}}, "no such matcher"),
        ({"leeway": "6m"}, "leeway"),
        ({"unknown": 1}, "unknown"),
        ({"jwks": {"keys": []}}, "no key"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "eA"}]}}, "no key"),
        ({"jwks": {}}, "no JWK set"),
        ({"jwks": "{"}, "no JSON"),
        ({"jwks": None, "pem": "nonsense"}, "PEM"),
        ({"jwks": None, "secret": "short"}, "at least 32 bytes"),
        ({"jwks": None, "jwks_url": "ftp://x/"}, "not a target"),
        ({"jwks": None, "issuer": "http://169.254.169.254"}, "may not be called"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_reason(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gateway().build(jwt.KIND, config(**wrong))


def test_the_audience_has_to_be_decided() -> None:
    given = config()
    del given["audience"]
    with pytest.raises(ValueError, match="audience"):
        Gateway().build(jwt.KIND, given)


def test_keys_that_are_weak_private_or_for_something_else_are_refused() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    private = rsa_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for pem in (public_pem(weak), private.decode(), public_pem(ec_key(ec.SECP256K1))):
        with pytest.raises(ValueError) as refused:
            Gateway().build(jwt.KIND, config(jwks=None, pem=pem))
        assert "MII" not in str(refused.value)
    for other in (
        jwk(weak),
        jwk(rsa_key(), use="enc"),
        jwk(rsa_key(), key_ops=["sign"]),
        jwk(rsa_key(), kid="x" * 300),
    ):
        with pytest.raises(ValueError, match="no key"):
            Gateway().build(jwt.KIND, config(jwks=jwks(other)))
