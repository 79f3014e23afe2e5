"""Policies in chains that were published: documents, compiled and built, behind the router."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.ids import id_source
from gateway.core.live import LiveCell
from gateway.core.memory_wire import Answer, MemoryWire
from gateway.live.build import Settings, build_version
from gateway.live.slots import Builder
from gateway.live.space import build_router
from gateway.store.store import SUBSCRIPTIONS
from tests.policy.policy_harness import Gateway, json_of
from tests.snapshot.snapshot_harness import BACKEND_KINDS, KINDS, compiled, documents, plan

KEY = b"pk_right"
WITH_KEY = [(b"X-API-KEY", KEY)]
SHOP = """kind: ApiComponent
name: shop
version: v1
base_path: /shop
operations: {get: {effect: safe, fixed: 1, input: {id: string?}, output: int32}}
policies:
  - {use: cors, with: {origins: ["https://shop.example"]}}
  - {id: keys, use: api-key, with: {query: key}}
  - {id: burst, use: rate-limit, with: {limit: 100/1m}}
rest: {GET /a: get, ANY /any: get, POST /a: get}
soap: {namespace: "urn:shop", operations: [get]}
odata: {operations: [get]}
"""
ASKS = [(b"Origin", b"https://shop.example"), (b"Access-Control-Request-Headers", b"x-api-key")]


class Published:
    """Documents that are live over the services of a gateway."""

    def __init__(self, live: LiveCell) -> None:
        self._live = live

    async def request(self, method: str, target: str, headers: Any = (), body: bytes = b"") -> Answer:
        return await MemoryWire.request(self._live, method, target, headers, body)


async def published(gateway: Gateway, *texts: str) -> Published:
    snapshot = await compiled(documents(*texts))
    settings = Settings(Builder(KINDS, gateway.site().services, {}), BACKEND_KINDS)
    versions = [await build_version(version, snapshot.plans, settings) for version in snapshot.versions]
    return Published(LiveCell(build_router(versions), id_source("id"), gateway.clock))


@pytest.mark.parametrize(
    ("target", "method"),
    [
        ("/shop/a", b"GET"),
        ("/shop/a", b"POST"),
        ("/shop/any", b"PATCH"),
        ("/shop/soap", b"POST"),
        ("/shop/odata/x", b"GET"),
    ],
)
async def test_a_preflight_is_answered_before_authentication(gateway: Gateway, target: str, method: bytes) -> None:
    """DESIGN 5"""
    shop = await published(gateway, SHOP, plan("gold"))
    answer = await shop.request("OPTIONS", target, [*ASKS, (b"Access-Control-Request-Method", method)])
    assert answer.status == 204
    assert answer.get(b"access-control-allow-origin") == b"https://shop.example"
    assert method in (answer.get(b"access-control-allow-methods") or b"").split(b", ")


async def test_a_preflight_of_a_method_that_is_not_there_allows_nothing(gateway: Gateway) -> None:
    shop = await published(gateway, SHOP, plan("gold"))
    answer = await shop.request("OPTIONS", "/shop/a", [*ASKS, (b"Access-Control-Request-Method", b"DELETE")])
    assert answer.get(b"access-control-allow-origin") is None


@pytest.mark.parametrize("target", ["/shop/a", "/shop/odata/get()"])
async def test_a_page_may_read_why_it_was_refused(gateway: Gateway, target: str) -> None:
    shop = await published(gateway, SHOP, plan("gold"))
    answer = await shop.request("GET", target, ASKS[:1])
    assert answer.status == 401
    assert answer.get(b"access-control-allow-origin") == b"https://shop.example"


async def test_a_key_in_the_query_is_no_parameter_of_the_operation(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    shop = await published(gateway, SHOP, plan("gold"))
    assert (await shop.request("GET", "/shop/a?key=pk_right&id=7")).status == 200
    assert (await shop.request("GET", "/shop/a?other=pk_right&id=7", WITH_KEY)).status == 400


async def test_a_plan_adds_and_replaces_limits_for_its_own_subscribers(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    gateway.add_key(b"silver", "k2", plan="silver")
    gold = plan("gold", "{id: minute, use: rate-limit, with: {limit: 2/1m}}")
    silver = plan("silver", "{id: burst, use: rate-limit, with: {limit: 1/1m, by: key}}")
    shop = await published(gateway, SHOP, gold, silver)
    answers = [await shop.request("GET", "/shop/a", WITH_KEY) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].all(b"ratelimit") == [b'"burst";r=99;t=1, "minute";r=1;t=30']
    others = [await shop.request("GET", "/shop/a", [(b"X-API-KEY", b"silver")]) for _ in range(2)]
    assert [answer.status for answer in others] == [200, 429]


async def test_a_plan_limits_soap_and_odata_as_well(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    shop = await published(gateway, SHOP, plan("gold", "{id: minute, use: rate-limit, with: {limit: 1/1m}}"))
    assert (await shop.request("GET", "/shop/odata/get()", WITH_KEY)).status == 200
    assert (await shop.request("GET", "/shop/odata/get()", WITH_KEY)).status == 429
    assert (await shop.request("GET", "/shop/a", WITH_KEY)).status == 429


async def test_a_key_of_a_plan_that_is_not_known_is_refused_rather_than_served_without_limits(gateway: Gateway) -> None:
    gateway.add_key(KEY, plan="platinum")
    shop = await published(gateway, SHOP, plan("gold"))
    answer = await shop.request("GET", "/shop/a", WITH_KEY)
    assert (answer.status, json_of(answer)["code"]) == (503, "unavailable")


async def test_what_a_skipped_step_would_have_set_is_not_set(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    steps = "  - {use: headers, with: {response: {set: {X-Only: a}}}, when: {query: {id: '1'}}}\nrest:"
    shop = await published(gateway, SHOP.replace("rest:", steps, 1), plan("gold"))
    found = [(await shop.request("GET", f"/shop/a?id={id}", WITH_KEY)).get(b"x-only") for id in (1, 2)]
    assert found == [b"a", None]


async def test_a_plans_limits_hold_for_its_subscribers_over_all_protocols(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    shop = await published(gateway, SHOP, "kind: Plan\nname: gold\nlimits: {rate: 2/1d, message_size: 100B}\n")
    large = await shop.request("POST", "/shop/a", WITH_KEY, b"x" * 101)
    assert (large.status, json_of(large)["code"]) == (413, "content_too_large")
    answers = [await shop.request("GET", target, WITH_KEY) for target in ("/shop/a", "/shop/odata/get()", "/shop/a")]
    assert [answer.status for answer in answers] == [200, 200, 429], "what is too large costs nothing"
    assert b'"plan-rate-limit"' in (answers[0].get(b"ratelimit") or b"")


async def test_a_change_of_plan_holds_for_the_next_request(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    plans = "kind: Plan\nname: gold\nlimits: {rate: 1/1d}\n---\nkind: Plan\nname: silver\nlimits: {rate: 2/1d}\n"
    shop = await published(gateway, SHOP, plans)

    async def statuses(count: int) -> list[int]:
        return [(await shop.request("GET", "/shop/a", WITH_KEY)).status for _ in range(count)]

    assert await statuses(2) == [200, 429]
    gateway.directory.current.put(SUBSCRIPTIONS, "partner/shop", {"plan": "silver"})
    assert await statuses(3) == [200, 200, 429]
    gateway.directory.current.put(SUBSCRIPTIONS, "partner/shop", {"plan": None})
    assert await statuses(1) == [200]


async def test_a_plans_quota_counts_by_the_calendar_and_a_change_of_plan_resets_nothing(gateway: Gateway) -> None:
    """From Tuesday 2023-11-14, 22:13:20 UTC: a day ends first, the week with its Saturday."""
    gateway.add_key(KEY)
    gold = "kind: Plan\nname: gold\nlimits: {{rate: {rate}, quota: {{day: 2, week: 3, month: 100}}}}\n"
    shop = await published(gateway, SHOP, gold.format(rate="50/1d"))

    async def statuses(count: int) -> list[int]:
        return [(await shop.request("GET", "/shop/a", WITH_KEY)).status for _ in range(count)]

    assert await statuses(3) == [200, 200, 429]
    shop = await published(gateway, SHOP, gold.format(rate="60/1d"))  # another revision of the plan
    assert await statuses(1) == [429]
    gateway.clock.advance(7_000)  # Wednesday, 00:10
    gateway.directory.current.as_of = gateway.clock.time()
    assert await statuses(2) == [200, 429]
    gateway.clock.advance(4 * 86_400)  # Sunday, 00:10
    gateway.directory.current.as_of = gateway.clock.time()
    assert await statuses(3) == [200, 200, 429]
