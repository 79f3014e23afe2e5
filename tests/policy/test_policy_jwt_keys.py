"""Keys that an issuer publishes: asked for once, asked again seldom, kept while the issuer is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.core.chain import Chain
from gateway.policy import jwt
from gateway.policy.tokens import remote
from gateway.policy.tokens.published import LIMIT, Published
from tests.policy.issuer import Service, answer, bearer, claims, issuer, jwk, jwks, rsa_key, service, token
from tests.policy.policy_harness import Gateway, json_of
from tests.upstreams import Received


@pytest.fixture
async def idp() -> AsyncIterator[Service]:
    async with issuer() as made:
        yield made


def chain(gateway: Gateway, idp: Service, **more: Any) -> Chain:
    return gateway.chain(gateway.build(jwt.KIND, {"issuer": idp.url, "audience": "shop"} | more))


def good(idp: Service, key: int = 0, kid: str | None = "k1", **more: Any) -> bytes:
    return token(claims(iss=idp.url, exp=1_800_000_000, **more), rsa_key(key), kid=kid)


async def status(gateway: Gateway, built: Chain, given: bytes) -> int:
    return (await gateway.request(built, bearer(given))).status


async def settle(gateway: Gateway) -> None:
    """Until nothing is renewed in the background any more."""
    for each in list(gateway.outside.shared(Published)._known.values()):
        if each._task is not None:
            await each._task


async def test_an_issuers_keys_are_found_by_discovery(gateway: Gateway, idp: Service) -> None:
    built = chain(gateway, idp)
    assert await status(gateway, built, good(idp)) == 200
    assert await status(gateway, built, good(idp, key=1)) == 401
    assert idp.asked == {"/.well-known/openid-configuration": 1, "/keys": 1}


async def test_a_server_that_is_no_openid_provider_is_found_by_its_oauth_metadata(
    gateway: Gateway, idp: Service
) -> None:
    """RFC 8414 section 3.1"""
    issuer = idp.url + "/tenant"
    del idp.answers["/.well-known/openid-configuration"]
    found = {"issuer": issuer, "jwks_uri": idp.url + "/keys"}
    idp.answers["/.well-known/oauth-authorization-server/tenant"] = answer(found)
    built = chain(gateway, idp, issuer=issuer)
    assert await status(gateway, built, token(claims(iss=issuer))) == 200


async def test_keys_at_a_url_need_no_discovery(gateway: Gateway, idp: Service) -> None:
    built = chain(gateway, idp, jwks_url=idp.url + "/keys")
    assert await status(gateway, built, good(idp)) == 200
    assert idp.asked == {"/keys": 1}


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://other.example", "jwks_uri": "/keys"},
        {"issuer": None},
        {"issuer": "", "jwks_uri": 7},
        {"issuer": "", "jwks_uri": "file:///etc/passwd"},
        {"issuer": ""},
        [],
    ],
)
async def test_metadata_of_another_issuer_or_without_keys_decides_nothing(
    gateway: Gateway, idp: Service, metadata: Any
) -> None:
    """OpenID Connect Discovery 1.0 section 4.3"""
    if isinstance(metadata, dict) and metadata.get("issuer") == "":
        metadata["issuer"] = idp.url
    idp.answers["/.well-known/openid-configuration"] = answer(metadata)
    assert await status(gateway, chain(gateway, idp), good(idp)) == 503


def test_https_does_not_lead_to_http() -> None:
    from gateway.policy.tokens.metadata import read_metadata

    with pytest.raises(ValueError, match="not https"):
        read_metadata("https://id", b'{"issuer": "https://id", "jwks_uri": "http://id/keys"}')


async def test_c48_500_cold_requests_ask_once(gateway: Gateway, idp: Service) -> None:
    """CASES C48"""
    built = chain(gateway, idp)
    answers = await asyncio.gather(*(status(gateway, built, good(idp, sub=str(number))) for number in range(500)))
    assert set(answers) == {200}
    assert idp.asked == {"/.well-known/openid-configuration": 1, "/keys": 1}


async def test_c48_1000_unknown_kids_ask_at_most_once_in_30_seconds(gateway: Gateway, idp: Service) -> None:
    """CASES C48"""
    built = chain(gateway, idp, jwks_url=idp.url + "/keys")
    assert await status(gateway, built, good(idp)) == 200
    for window in (1, 2, 3):
        for part in range(0, 1000, 100):
            unknown = (good(idp, kid=f"u{window}-{part + number}") for number in range(100))
            answers = await asyncio.gather(*(status(gateway, built, each) for each in unknown))
            assert set(answers) == {401}
            gateway.clock.advance(2.9)  # 29 seconds for all of them
        assert idp.asked["/keys"] == window
        gateway.clock.advance(1)


async def test_c48_a_new_key_is_found_by_its_unknown_kid(gateway: Gateway, idp: Service) -> None:
    """CASES C48"""
    built = chain(gateway, idp)
    assert await status(gateway, built, good(idp)) == 200
    idp.answers["/keys"] = answer(jwks(jwk(rsa_key()), jwk(rsa_key(1), "k2")))
    assert await status(gateway, built, good(idp, key=1, kid="k2")) == 401  # asked less than 30 s ago
    gateway.clock.advance(30)
    answers = await asyncio.gather(*(status(gateway, built, good(idp, key=1, kid="k2")) for _ in range(50)))
    assert set(answers) == {200}
    assert idp.asked["/keys"] == 2


async def test_c48_known_keys_serve_on_while_the_issuer_is_down(gateway: Gateway, idp: Service) -> None:
    """CASES C48: known keys serve; what only the issuer could tell is unavailable, not refused; for a day at most."""
    built = chain(gateway, idp)
    assert await status(gateway, built, good(idp)) == 200
    idp.answers["/keys"] = answer({}, 500)
    for hour in range(23):
        gateway.clock.advance(3600)
        gateway.directory.current.as_of = gateway.clock.time()
        assert await status(gateway, built, good(idp, sub=f"new-{hour}")) == 200
        await settle(gateway)
    assert await status(gateway, built, good(idp, kid="unknown")) == 503
    gateway.clock.advance(3600)
    assert await status(gateway, built, good(idp)) == 503
    assert await status(gateway, built, good(idp, sub="new")) == 503


async def test_keys_are_renewed_in_the_background_when_they_are_no_longer_fresh(gateway: Gateway, idp: Service) -> None:
    """A withdrawn key opens nothing any more, also for tokens that were seen before."""
    built, seen = chain(gateway, idp), good(idp)
    for _ in range(2):
        assert await status(gateway, built, seen) == 200
        assert idp.asked["/keys"] == 1
    idp.answers["/keys"] = answer(jwks(jwk(rsa_key(1), "k2")))
    gateway.clock.advance(300)
    assert await status(gateway, built, seen) == 200  # nobody waits for it
    await settle(gateway)
    assert await status(gateway, built, seen) == 401


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ("", 300),
        ("Cache-Control: max-age=1000\r\n", 1000),
        ("Cache-Control: public, max-age=1000\r\nAge: 400\r\n", 600),
        ("Cache-Control: max-age=1\r\n", 60),
        ("Cache-Control: no-store\r\n", 60),
        ("Cache-Control: max-age=999999999\r\n", 86_400),
    ],
)
async def test_cache_control_is_honoured_within_bounds(
    gateway: Gateway, idp: Service, fields: str, seconds: float
) -> None:
    idp.answers["/keys"] = answer(jwks(jwk(rsa_key())), fields=fields)
    keys = gateway.outside.shared(Published).keys(idp.url + "/keys")
    await keys.current()
    assert keys.due == gateway.clock.monotonic() + seconds


async def test_steps_share_the_keys_of_one_url(gateway: Gateway, idp: Service) -> None:
    for audience in ("shop", ["shop", "other"]):
        assert await status(gateway, chain(gateway, idp, audience=audience), good(idp)) == 200
        first = chain(gateway, idp)  # holds what is shared
    assert first is not None
    assert idp.asked["/keys"] == 1


async def test_c49_keys_that_cannot_be_had_make_it_503_and_are_asked_for_again_later(
    gateway: Gateway, idp: Service
) -> None:
    """CASES C49: error, nonsense, oversized, a redirect, a set without a usable key"""
    built = chain(gateway, idp, jwks_url=idp.url + "/keys")
    moved = answer(b"", 302, f"Location: {idp.url}/elsewhere\r\n")
    for wrong in (answer({}, 500), answer(b"{"), answer([]), answer(b" " * (LIMIT + 1)), moved, answer(jwks())):
        idp.answers["/keys"] = wrong
        refused = await gateway.request(built, bearer(good(idp)))
        assert (refused.status, json_of(refused)["code"]) == (503, "dependency_failed")
        assert dict(refused.headers)[b"retry-after"]
        assert idp.url not in refused.body.decode()
        gateway.clock.advance(remote.AGAIN[-1])
    assert gateway.seen == []
    idp.answers["/keys"] = answer(jwks(jwk(rsa_key())))
    assert await status(gateway, built, good(idp)) == 200


async def test_c49_a_silent_issuer_is_503_within_its_time_for_all_who_wait(
    gateway: Gateway, idp: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CASES C49"""
    monkeypatch.setattr("gateway.policy.tokens.published.TIMEOUT", 0.05)

    async def never(_received: Received) -> bytes:
        await asyncio.Event().wait()
        return b""

    idp.answers["/keys"] = never
    built = chain(gateway, idp, jwks_url=idp.url + "/keys")
    answers = await asyncio.gather(*(status(gateway, built, good(idp)) for _ in range(50)))
    assert set(answers) == {503}
    assert await status(gateway, built, good(idp)) == 503  # at once: nobody asks again so soon
    assert idp.asked["/keys"] == 1


async def test_one_who_gives_up_waiting_does_not_stop_the_others(gateway: Gateway, idp: Service) -> None:
    """CASES A63"""
    asked, go = asyncio.Event(), asyncio.Event()

    async def later(_received: Received) -> bytes:
        asked.set()
        await go.wait()
        return answer(jwks(jwk(rsa_key())))

    idp.answers["/keys"] = later
    keys = gateway.outside.shared(Published).keys(idp.url + "/keys")
    waiting = [asyncio.create_task(keys.current()) for _ in range(3)]
    await asked.wait()
    waiting[0].cancel()
    go.set()
    first, *others = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert all(not isinstance(each, BaseException) for each in others)


async def test_c43_50_parallel_logins_never_cross_identities(gateway: Gateway) -> None:
    """CASES C43: cold keys, so that all wait at once; each caller several times."""
    async with issuer() as idp, service():
        built = chain(gateway, idp, forward={"sub": "X-User"})
        people = [f"person-{number}" for number in range(50)]

        async def log_in(name: str) -> None:
            for _ in range(3):
                told = json_of(await gateway.request(built, bearer(good(idp, sub=name, client_id=f"app-{name}"))))
                assert told["identity"][0] == f"app-{name}"
                assert told["add"] == [f"\r\nX-User: {name}"]

        await asyncio.gather(*(log_in(name) for name in people))
        assert {each.identity.subject for each in gateway.seen if each.identity} == set(people)
