"""`any-of`: the first way whose credential is there decides."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import jwt
import pytest
from argon2 import PasswordHasher
from pydantic import ValidationError

from gateway.core.errors import Unpresented
from gateway.core.exchange import Exchange, Wait
from gateway.core.identity import Identity
from gateway.core.kinds import Built, Kind
from gateway.policy import any_of
from gateway.policy.anonymous import Anonymous
from tests.policy.policy_harness import Gateway, json_of

KEY = b"pk_right"
TWO = {"steps": [{"use": "api-key"}, {"use": "api-key", "with": {"header": None, "query": "key"}}]}
OPEN = {"steps": [*TWO["steps"], {"use": "anonymous", "with": {"plan": "trial"}}]}


async def test_the_first_credential_that_is_there_decides(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    gateway.add_key(b"second", "k2")
    chain = gateway.chain(gateway.build(any_of.KIND, TWO))
    for headers, target, credential in (
        ([(b"X-API-KEY", KEY)], "/orders/1", "k1"),
        ([], "/orders/1?key=second", "k2"),
        ([(b"X-API-KEY", KEY)], "/orders/1?key=second", "k1"),
    ):
        assert json_of(await gateway.request(chain, headers, target))["identity"][2] == credential


async def test_no_credential_of_any_way_reaches_the_backend(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    chain = gateway.chain(gateway.build(any_of.KIND, OPEN))
    told = json_of(await gateway.request(chain, [(b"X-API-KEY", KEY)], "/orders/1?key=other&a=1"))
    assert told["query"] == "a=1"
    assert "x-api-key" in told["drop"]


@pytest.mark.parametrize(("headers", "target"), [([(b"X-API-KEY", b"wrong")], "/o"), ([], "/o?key=wrong")])
async def test_a_wrong_credential_never_falls_through_to_another_way(
    gateway: Gateway, headers: Any, target: str
) -> None:
    gateway.add_key(KEY)
    chain = gateway.chain(gateway.build(any_of.KIND, OPEN))
    assert (await gateway.request(chain, headers, target)).status == 401
    assert (await gateway.request(chain, [*headers, (b"X-API-KEY", KEY)], target)).status in {200, 400}
    assert all(exchange.identity is not None for exchange in gateway.seen)


async def test_who_has_no_credential_is_let_in_where_that_is_said(gateway: Gateway) -> None:
    told = json_of(await gateway.request(gateway.chain(gateway.build(any_of.KIND, OPEN))))
    assert told["identity"] == [None, "trial", None]


async def test_a_credential_in_two_places_of_one_way_is_refused(gateway: Gateway) -> None:
    """CASES C41"""
    gateway.add_key(KEY)
    chain = gateway.chain(gateway.build(any_of.KIND, OPEN))
    answer = await gateway.request(chain, [(b"X-API-KEY", KEY), (b"X-API-KEY", KEY)])
    assert answer.status == 400


async def test_who_has_no_credential_hears_of_every_way(gateway: Gateway) -> None:
    steps = [{"use": "api-key"}, {"use": "api-key", "with": {"header": "X-Other"}}]
    answer = await gateway.request(gateway.chain(gateway.build(any_of.KIND, {"steps": steps})))
    assert answer.status == 401
    assert answer.all(b"www-authenticate") == [b'ApiKey realm="shop"']
    assert {"X-API-KEY", "X-Other"} <= set(json_of(answer)["detail"].replace(".", "").split())


# ways that wait


def waiting_kind(name: str, step: Any) -> Kind[Any]:
    return Kind(name, Anonymous, lambda _config, _site: Built(step=step), protects=True, family="authentication")


def _known(exchange: Exchange, name: str) -> None:
    exchange.identity = Identity(name, "test", application=name)


async def _present(exchange: Exchange) -> None:
    await asyncio.sleep(0)
    _known(exchange, "coroutine")


async def _missing(_exchange: Exchange) -> None:
    await asyncio.sleep(0)
    raise Unpresented("Nothing here.", headers=[(b"WWW-Authenticate", b"Late")])


def _wait(exchange: Exchange) -> Wait:
    wait = Wait(exchange, lambda exchange, _value: _known(exchange, "wait"))
    asyncio.get_running_loop().call_soon(wait.deliver, None)
    return wait


def _future(exchange: Exchange) -> asyncio.Future[None]:
    _known(exchange, "future")
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, None)
    return future


STEPS = {"coroutine": _present, "late": _missing, "wait": _wait, "future": _future}


@pytest.mark.parametrize(
    ("uses", "who"),
    [
        (["coroutine"], "coroutine"),
        (["wait"], "wait"),
        (["future"], "future"),
        (["late", "coroutine"], "coroutine"),
        (["late", "late", "wait"], "wait"),
        (["late", "future"], "future"),
    ],
)
async def test_ways_may_wait(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, uses: list[str], who: str) -> None:
    kinds = {name: waiting_kind(name, step) for name, step in STEPS.items()}
    monkeypatch.setattr("tests.policy.policy_harness.POLICY_KINDS", kinds)
    built = gateway.build(any_of.KIND, {"steps": [{"use": use} for use in uses]})
    assert json_of(await gateway.request(gateway.chain(built)))["identity"][0] == who


async def test_ways_that_tell_late_are_named_as_well(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.policy.policy_harness.POLICY_KINDS", {"late": waiting_kind("late", _missing)})
    built = gateway.build(any_of.KIND, {"steps": [{"use": "late"}, {"use": "late"}]})
    answer = await gateway.request(gateway.chain(built))
    assert (answer.status, answer.all(b"www-authenticate")) == (401, [b"Late"])


# configurations


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"steps": []},
        {"steps": [{"use": "anonymous"}, {"use": "api-key"}]},
        {"steps": [{"use": "api-key", "when": {"method": "GET"}}]},
        {"steps": ["api-key"]},
    ],
)
def test_ways_that_cannot_be_meant_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        any_of.KIND.config.model_validate(config)


@pytest.mark.parametrize("use", ["rate-limit", "any-of", "scopes", "nothing"])
async def test_only_kinds_of_authentication_are_ways(gateway: Gateway, use: str) -> None:
    with pytest.raises(ValueError, match=use):
        gateway.build(any_of.KIND, {"steps": [{"use": use, "with": {"all": ["a"]}}]})


def token(secret: str = "a secret of thirty-two bytes here") -> list[tuple[bytes, bytes]]:
    claims = {"sub": "ann", "aud": "shop", "iss": "https://id.example", "exp": 1_700_000_600}
    return [(b"Authorization", b"Bearer " + jwt.encode(claims, secret, "HS256").encode())]


async def test_tokens_and_keys_stand_beside_each_other(gateway: Gateway) -> None:
    """The same field may hold Basic or Bearer: each way takes its own."""
    gateway.add_key(KEY)
    settings = {"secret": "a secret of thirty-two bytes here", "issuer": "https://id.example", "audience": "shop"}
    user = {"ann": {"password": PasswordHasher(1, 8, 1).hash("right"), "application": "ann"}}
    steps = [
        {"use": "jwt", "with": settings | {"algorithms": ["HS256"]}},
        {"use": "basic", "with": {"users": user}},
        {"use": "api-key"},
    ]
    chain = gateway.chain(gateway.build(any_of.KIND, {"steps": steps}))
    basic = [(b"Authorization", b"Basic " + base64.b64encode(b"ann:right"))]
    assert (await gateway.request(chain, token())).status == 200
    assert json_of(await gateway.request(chain, basic))["identity"][0] == "ann"
    assert json_of(await gateway.request(chain, [(b"X-API-KEY", KEY)]))["identity"][0] == "partner"
    unknown = [(b"Authorization", b"Basic " + base64.b64encode(b"a:b"))]
    for wrong in (token("another secret of thirty-two bytes"), unknown):
        assert (await gateway.request(chain, [*wrong, (b"X-API-KEY", KEY)])).status == 401
    assert len((await gateway.request(chain)).all(b"www-authenticate")) == 3


async def test_what_the_deciding_way_does_to_the_reply_is_done(gateway: Gateway) -> None:
    """An API key that ends soon says so; nobody else's reply does."""
    gateway.add_key(KEY, ends=gateway.clock.time() + 60)
    steps = [{"use": "api-key", "with": {"announce_end": "1d"}}, {"use": "anonymous"}]
    chain = gateway.chain(gateway.build(any_of.KIND, {"steps": steps}))
    told = [(await gateway.request(chain, headers)).get(b"x-api-key-ends") for headers in ([(b"X-API-KEY", KEY)], [])]
    assert told[0] is not None
    assert told[1] is None
