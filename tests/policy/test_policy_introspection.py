"""Tokens that their authorization server is asked about: asked how, how often, and what if it does not answer."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import serialization

from gateway.core.chain import Chain
from gateway.policy import introspection
from gateway.policy.tokens.introspecting import LIMIT
from tests.policy.issuer import NOW, Service, answer, bearer, ec_key, issuer, public_pem, rsa_key
from tests.policy.policy_harness import Gateway, json_of
from tests.upstreams import Received

SECRET = "of the gateway: %+"


@pytest.fixture
async def idp() -> AsyncIterator[Service]:
    """Knows tokens as `active`: {token: claims}."""
    async with issuer(introspection_endpoint="/introspect") as made:
        made.active = {"good": {"sub": "ann", "scope": "read", "client_id": "partner"}}  # type: ignore[attr-defined]

        def introspect(received: Received) -> bytes:
            found = made.active.get(form(received)["token"])  # type: ignore[attr-defined]
            return answer({"active": False} if found is None else {"active": True} | found)

        made.answers["/introspect"] = introspect
        yield made


def form(received: Received) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(received.body.decode()).items()}


def private_pem(key: Any) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def chain(gateway: Gateway, idp: Service, **more: Any) -> Chain:
    given = {"endpoint": idp.url + "/introspect", "client": {"id": "gw", "secret": SECRET}} | more
    return gateway.chain(gateway.build(introspection.KIND, given))


async def status(gateway: Gateway, built: Chain, token: bytes = b"good") -> int:
    return (await gateway.request(built, bearer(token))).status


async def test_an_active_token_is_an_identity(gateway: Gateway, idp: Service) -> None:
    assert await status(gateway, chain(gateway, idp)) == 200
    identity = gateway.seen[0].identity
    assert identity is not None
    assert (identity.subject, identity.method, identity.application) == ("ann", "introspection", "partner")
    assert identity.scopes == {"read"}
    assert "good" not in (identity.credential or "")


async def test_a_token_that_is_not_active_is_refused(gateway: Gateway, idp: Service) -> None:
    refused = await gateway.request(chain(gateway, idp), bearer(b"other"))
    assert (refused.status, json_of(refused)["code"]) == (401, "invalid_token")
    assert b'error="invalid_token"' in dict(refused.headers)[b"www-authenticate"]
    assert gateway.seen == []


async def test_the_endpoint_is_found_by_discovery(gateway: Gateway, idp: Service) -> None:
    built = chain(gateway, idp, endpoint=None, issuer=idp.url)
    idp.active["good"]["iss"] = idp.url  # type: ignore[attr-defined]
    assert await status(gateway, built) == 200
    idp.active["forged"] = {"sub": "eve", "iss": "https://other.example"}  # type: ignore[attr-defined]
    assert await status(gateway, built, b"forged") == 401


@pytest.mark.parametrize("method", ["basic", "post", "none"])
async def test_the_gateway_proves_itself(gateway: Gateway, idp: Service, method: str) -> None:
    """RFC 6749 section 2.3.1"""
    client = {"id": "g:w", "method": method} | ({} if method == "none" else {"secret": SECRET})
    assert await status(gateway, chain(gateway, idp, client=client)) == 200
    assert idp.recording is not None
    (received,) = idp.recording.received
    sent, field = form(received), received.get(b"authorization")
    assert (sent["token"], sent["token_type_hint"]) == ("good", "access_token")
    if method == "basic":
        assert field is not None
        assert base64.b64decode(field.removeprefix(b"Basic ")) == b"g%3Aw:of+the+gateway%3A+%25%2B"
        assert "client_secret" not in sent
    else:
        assert field is None
        assert sent["client_id"] == "g:w"
        assert sent.get("client_secret") == (SECRET if method == "post" else None)


@pytest.mark.parametrize(("key", "algorithm"), [(rsa_key(), "RS256"), (ec_key(), "ES256")])
async def test_the_gateway_proves_itself_by_a_private_key(
    gateway: Gateway, idp: Service, key: Any, algorithm: str
) -> None:
    """RFC 7523 section 3: each assertion is for one use"""
    client = {"id": "gw", "private_key": private_pem(key), "key_id": "mine"}
    built = chain(gateway, idp, client=client, cache="0s")
    for _ in range(2):
        assert await status(gateway, built) == 200
    assert idp.recording is not None
    ids = set()
    for received in idp.recording.received:
        assertion = form(received)["client_assertion"]
        options = {"verify_exp": False, "verify_iat": False}
        where = idp.url + "/introspect"
        found = pyjwt.decode(assertion, public_pem(key), [algorithm], audience=where, options=options)
        assert (found["iss"], found["sub"], found["exp"]) == ("gw", "gw", NOW + 60)
        assert pyjwt.get_unverified_header(assertion)["kid"] == "mine"
        ids.add(found["jti"])
    assert len(ids) == 2


async def test_a_revocation_is_seen_once_the_answer_is_no_longer_remembered(gateway: Gateway, idp: Service) -> None:
    """CASES C42"""
    built = chain(gateway, idp, cache="30s", cache_refusals="5s")
    for _ in range(3):
        assert await status(gateway, built) == 200
    assert idp.asked["/introspect"] == 1
    del idp.active["good"]  # type: ignore[attr-defined]
    gateway.clock.advance(29.9)
    assert await status(gateway, built) == 200
    gateway.clock.advance(0.1)
    for _ in range(3):
        assert await status(gateway, built) == 401
    assert idp.asked["/introspect"] == 2
    idp.active["good"] = {"sub": "ann"}  # type: ignore[attr-defined]
    gateway.clock.advance(5)
    assert await status(gateway, built) == 200


async def test_an_answer_is_not_remembered_beyond_the_tokens_end(gateway: Gateway, idp: Service) -> None:
    idp.active["good"]["exp"] = NOW + 10  # type: ignore[attr-defined]
    built = chain(gateway, idp)
    assert await status(gateway, built) == 200
    gateway.clock.advance(10)
    assert await status(gateway, built) == 401  # asked again; the server still says active, the clock does not
    assert idp.asked["/introspect"] == 2


async def test_without_a_cache_every_request_asks(gateway: Gateway, idp: Service) -> None:
    built = chain(gateway, idp, cache="0s")
    for _ in range(3):
        assert await status(gateway, built) == 200
    assert idp.asked["/introspect"] == 3


async def test_500_requests_with_one_token_ask_once(gateway: Gateway, idp: Service) -> None:
    built = chain(gateway, idp)
    assert set(await asyncio.gather(*(status(gateway, built) for _ in range(500)))) == {200}
    assert idp.asked["/introspect"] == 1


async def test_c43_50_parallel_logins_never_cross_identities(gateway: Gateway, idp: Service) -> None:
    """CASES C43"""
    people = [f"person-{number}" for number in range(50)]
    idp.active.update({f"token-{name}": {"sub": name, "client_id": f"app-{name}"} for name in people})  # type: ignore[attr-defined]
    built = chain(gateway, idp, forward={"sub": "X-User"})

    async def log_in(name: str) -> None:
        for _ in range(3):
            told = json_of(await gateway.request(built, bearer(f"token-{name}".encode())))
            assert (told["identity"][0], told["add"]) == (f"app-{name}", [f"\r\nX-User: {name}"])

    await asyncio.gather(*(log_in(name) for name in people))


@pytest.mark.parametrize(
    "wrong",
    [
        answer({}, 500), answer({}, 401), answer({"active": True, "sub": "eve"}, 201), answer(b"{"), answer([]),
        answer({}), answer({"active": "true", "sub": "eve"}), answer({"active": 1, "sub": "eve"}),
        answer(b" " * (LIMIT + 1)), answer(b"", 302, "Location: /x\r\n"), b"nonsense\r\n\r\n", b"",
    ],
)  # fmt: skip
async def test_c49_an_answer_that_says_nothing_is_503(gateway: Gateway, idp: Service, wrong: bytes) -> None:
    """CASES C49; it is not remembered"""
    good, idp.answers["/introspect"] = idp.answers["/introspect"], wrong
    if wrong == b"":

        async def cut(_received: Received) -> bytes:
            raise ConnectionError

        idp.answers["/introspect"] = cut
    built = chain(gateway, idp)
    refused = await gateway.request(built, bearer(b"good"))
    assert (refused.status, json_of(refused)["code"]) == (503, "dependency_failed")
    assert gateway.seen == []
    idp.answers["/introspect"] = good
    assert await status(gateway, built) == 200


async def test_c49_a_silent_server_is_503_within_the_timeout(gateway: Gateway, idp: Service) -> None:
    """CASES C49"""

    async def never(_received: Received) -> bytes:
        await asyncio.Event().wait()
        return b""

    idp.answers["/introspect"] = never
    built = chain(gateway, idp, timeout="50ms")
    assert set(await asyncio.gather(*(status(gateway, built) for _ in range(20)))) == {503}


@pytest.mark.parametrize("token", [b"a b", b"a\tb", b"<x>", b"=", b"a=b", b'"'])
async def test_what_can_be_no_token_is_refused_without_asking(gateway: Gateway, idp: Service, token: bytes) -> None:
    assert await status(gateway, chain(gateway, idp), token) == 401
    assert idp.asked == {}


async def test_an_exchange_that_lasts_ends_when_its_token_was_revoked(gateway: Gateway, idp: Service) -> None:
    """CASES C42"""
    built = chain(gateway, idp, cache="10s")
    assert await status(gateway, built) == 200
    identity = gateway.seen[0].identity
    assert identity is not None
    assert identity.holds is not None
    assert identity.holds(identity, NOW + 9)
    assert idp.asked["/introspect"] == 1
    del idp.active["good"]  # type: ignore[attr-defined]
    gateway.clock.advance(10)
    assert identity.holds(identity, NOW + 10)  # asks
    tokens = built.steps[0].__self__  # type: ignore[attr-defined]
    await asyncio.wait(tokens._asking.values())
    assert not identity.holds(identity, NOW + 10)


async def test_an_exchange_that_lasts_outlives_a_server_that_is_down_for_a_moment_only(
    gateway: Gateway, idp: Service
) -> None:
    built = chain(gateway, idp, cache="10s")
    assert await status(gateway, built) == 200
    identity = gateway.seen[0].identity
    assert identity is not None
    assert identity.holds is not None
    idp.answers["/introspect"] = answer({}, 500)
    tokens = built.steps[0].__self__  # type: ignore[attr-defined]
    for at, holds in ((10, True), (39, True), (40, False)):
        assert identity.holds(identity, NOW + at) is holds
        await asyncio.wait(tokens._asking.values())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"endpoint": None}, "whom to ask"),
        ({"client": {"id": "gw"}, "endpoint": "ftp://x"}, "not a target"),
        ({"client": {"id": "gw", "method": "basic"}}, "takes secret"),
        ({"client": {"id": "gw", "secret": "a", "private_key": "b"}}, "takes secret"),
        ({"client": {"id": "gw", "private_key": "b"}}, "no unencrypted private key"),
        ({"cache": "2h"}, "cache"),
        ({"tls": {"ca": "relative.pem"}}, "absolute path"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_reason(wrong: dict[str, Any], message: str) -> None:
    given = {"endpoint": "https://id.example/x", "client": {"id": "gw", "secret": "s"}} | wrong
    with pytest.raises(ValueError, match=message) as refused:
        Gateway().build(introspection.KIND, given)
    assert "BEGIN" not in str(refused.value)
