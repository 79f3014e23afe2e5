"""What an attacker would try on the policies: credentials that leak, identities that are claimed, origins that look
alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies
from pydantic import ValidationError

from gateway.core.chain import Chain
from gateway.core.edge import problem_details
from gateway.core.exchange import Exchange, Head
from gateway.core.headers import block
from gateway.core.kinds import Kind
from gateway.live.slots import Builder, Shared, build_slots
from gateway.policy import anonymous, api_key, cors, headers, rate_limit
from gateway.snapshot.spec import StepSpec
from tests.policy.policy_harness import Gateway, json_of

KEY = b"pk_right"
KINDS: dict[str, Kind[Any]] = {
    kind.name: kind for kind in (api_key.KIND, anonymous.KIND, cors.KIND, headers.KIND, rate_limit.KIND)
}


def placed(gateway: Gateway, *steps: dict[str, Any]) -> Chain:
    """A chain of steps behind their conditions, as a published one has them."""
    specs = [StepSpec(id=str(index), scope="shop@v2", **step) for index, step in enumerate(steps)]
    builder = Builder(KINDS, gateway.site().services, {})
    slots = build_slots(specs, "shop", "v2", "GET /orders/{id}", builder, Shared())
    return gateway.chain(*(replace(slot.built, step=slot.run) for slot in slots))


OPTIONAL = [
    {
        "use": "api-key",
        "config": {"query": "key", "forward": {"application": "X-App"}},
        "when": {"any": [{"header": {"X-API-KEY": {"present": True}}}, {"query": {"key": {"present": True}}}]},
    },
    {"use": "anonymous"},
]


async def test_a_client_without_a_key_cannot_claim_to_be_an_application(gateway: Gateway) -> None:
    """CASES H33"""
    answer = await gateway.request(placed(gateway, *OPTIONAL), [(b"X-App", b"admin")])
    assert answer.status == 200
    assert "x-app" in json_of(answer)["drop"]
    assert json_of(answer)["add"] == []


async def test_a_key_that_nobody_asked_for_does_not_go_upstream(gateway: Gateway) -> None:
    step = {"use": "api-key", "config": {"query": "key"}, "when": {"method": "POST"}}
    answer = await gateway.request(
        placed(gateway, step, {"use": "anonymous"}), [(b"X-API-KEY", KEY)], "/orders/1?a=1&k%65y=x&key=y"
    )
    assert "x-api-key" in json_of(answer)["drop"]
    assert json_of(answer)["query"] == "a=1"


async def test_a_condition_that_errs_keeps_the_door_closed(gateway: Gateway) -> None:
    """DESIGN 5"""
    step = {"use": "api-key", "when": {"query": {"internal": {"present": False}}}}
    answer = await gateway.request(placed(gateway, step, {"use": "anonymous"}), target="/orders/1?internal=%ff")
    assert answer.status == 401


async def test_a_request_that_no_condition_can_read_is_refused_by_any_other_step(gateway: Gateway) -> None:
    """DESIGN 5"""
    step = {"use": "rate-limit", "config": {"limit": "1/1m"}, "when": {"query": {"a": "b"}}}
    assert (await gateway.request(placed(gateway, step), target="/orders/1?a=%ff")).status == 400


async def test_an_empty_key_is_no_key(gateway: Gateway) -> None:
    answer = await gateway.request(gateway.chain(gateway.build(api_key.KIND)), [(b"X-API-KEY", b"")])
    assert answer.status == 401


async def test_an_empty_field_beside_a_key_is_two_places(gateway: Gateway) -> None:
    """CASES C41"""
    gateway.add_key(KEY)
    chain = gateway.chain(gateway.build(api_key.KIND, {"query": "key"}))
    assert (await gateway.request(chain, [(b"X-API-KEY", KEY)], "/orders/1?key")).status == 400


async def test_an_endless_key_is_not_hashed(gateway: Gateway) -> None:
    answer = await gateway.request(gateway.chain(gateway.build(api_key.KIND)), [(b"X-API-KEY", b"a" * 513)])
    assert answer.status == 400


async def test_a_stale_directory_tells_known_from_unknown_keys_by_nothing(gateway: Gateway) -> None:
    """CASES C49: what cannot be decided is 503"""
    gateway.add_key(KEY)
    gateway.clock.advance(1_000_000)
    chain = gateway.chain(gateway.build(api_key.KIND))
    found = [await gateway.request(chain, [(b"X-API-KEY", key)]) for key in (KEY, b"unknown")]
    assert {(answer.status, json_of(answer)["detail"]) for answer in found} == {
        (503, "The keys known here are too old to decide by.")
    }


@pytest.mark.parametrize("config", [{"header": None}, {"header": ""}, {"header": None, "query": ""}])
def test_a_step_that_no_key_could_ever_pass_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        api_key.KIND.config.model_validate(config)


def stepped(gateway: Gateway, query: bytes, config: dict[str, Any]) -> Exchange:
    exchange = Exchange("1", Head(b"GET", b"/", query), None, Chain("", (), problem_details))  # type: ignore[arg-type]
    built = gateway.build(api_key.KIND, config)
    assert built.otherwise is not None
    built.otherwise(exchange)
    return exchange


PARTS = strategies.lists(
    strategies.sampled_from(["key=1", "k%65y=2", "%6b%65%79", "Key=3", "a=key", "a", "", "key2=4", "+key=5"])
)


@given(parts=PARTS)
def test_dropping_the_key_from_a_query_keeps_the_others_byte_for_byte(parts: list[str]) -> None:
    exchange = stepped(Gateway(), "&".join(parts).encode(), {"query": "key"})
    kept = [part for part in parts if part not in {"key=1", "k%65y=2", "%6b%65%79"}]
    assert exchange.edits.query == "&".join(kept).encode()


@pytest.mark.parametrize(
    "origin",
    [
        b"https://evil.example/.shop.example",
        b"https://evil.example#.shop.example",
        b"https://evil.example:1@a.shop.example",
        b"https://.shop.example",
        b"https://a..shop.example",
        b"https://a.shop.example, https://evil.example",
    ],
)
async def test_an_origin_that_only_looks_like_a_subdomain_gets_no_permission(gateway: Gateway, origin: bytes) -> None:
    chain = gateway.chain(gateway.build(cors.KIND, {"origins": ["https://*.shop.example"], "credentials": True}))
    answer = await gateway.request(chain, [(b"Origin", origin)])
    assert answer.get(b"access-control-allow-origin") is None
    assert answer.get(b"access-control-allow-credentials") is None


async def test_two_origins_are_none(gateway: Gateway) -> None:
    chain = gateway.chain(gateway.build(cors.KIND, {"origins": ["https://a.example"]}))
    answer = await gateway.request(chain, [(b"Origin", b"https://a.example"), (b"Origin", b"https://b.example")])
    assert answer.get(b"access-control-allow-origin") is None


@pytest.mark.parametrize(
    "config",
    [
        {"origins": ["https://shop.example:443"]},
        {"origins": ["http://shop.example:80"]},
        {"origins": ["https://shop.example:port"]},
        {"origins": ["https://a*.shop.example"]},
        {"origins": ["https://*"]},
        {"origins": ["https://bücher.example"]},
        {"origins": ["file://shop"]},
        {"origins": ["https://shop.example"], "headers": ["*"]},
        {"origins": ["https://shop.example"], "expose": ["*"], "credentials": True},
        {"origins": ["https://shop.example"], "headers": ["X-A\r\nX-B"]},
    ],
)
def test_cors_that_would_be_silently_off_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        cors.KIND.config.model_validate(config)


async def test_a_star_reflects_no_origin_and_varies_by_none(gateway: Gateway) -> None:
    chain = gateway.chain(gateway.build(cors.KIND, {"origins": ["*"]}))
    answer = await gateway.request(chain, [(b"Origin", b"https://anyone.example")])
    assert answer.get(b"access-control-allow-origin") == b"*"
    assert answer.get(b"vary") is None


def test_a_preflight_with_a_field_that_is_not_allowed_is_refused(gateway: Gateway) -> None:
    answer = gateway.build(cors.KIND, {"origins": ["https://a.example"]}).preflight
    assert answer is not None
    asked = [(b"Origin", b"https://a.example"), (b"Access-Control-Request-Method", b"GET")]
    wanted = (b"Access-Control-Request-Headers", b"content-type,x-evil")
    replies = [
        answer(Head(b"OPTIONS", b"/", b"", block(each)), frozenset((b"GET",))) for each in (asked, [*asked, wanted])
    ]
    assert [reply.get(b"access-control-allow-origin") for reply in replies] == [b"https://a.example", None]


async def test_a_name_in_a_claim_cannot_break_the_message(gateway: Gateway) -> None:
    """CASES F22"""
    built = gateway.build(headers.KIND, {"request": {"set": {"X-From": "{client}"}}})
    answer = await gateway.request(gateway.chain(built), client="a\r\nX-Admin: 1")
    assert json_of(answer)["add"] == ["\r\nX-From: aX-Admin: 1"]
