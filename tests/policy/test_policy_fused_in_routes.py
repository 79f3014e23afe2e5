"""Limits side by side in chains that were published: of a component, an endpoint and a plan, over REST and a mount."""

from __future__ import annotations

from gateway.snapshot.explain import explain
from tests.policy.policy_harness import Gateway, json_of
from tests.policy.test_policy_fused import Counting
from tests.policy.test_policy_in_routes import KEY, WITH_KEY, published
from tests.snapshot.snapshot_harness import KINDS, compiled, documents, plan

SHOP = """kind: ApiComponent
name: shop
version: v1
base_path: /shop
operations: {get: {effect: safe, fixed: 1, output: int32}, put: {effect: writing, fixed: 1, output: int32}}
policies:
  - {id: keys, use: api-key}
  - {id: burst, use: rate-limit, with: {limit: 100/1m}}
rest:
  GET /a: {call: get, policies: [{id: daily, use: quota, with: {day: 5}}]}
  GET /apart: {call: get, policies: [{id: daily, use: quota, with: {day: 5}, when: {method: GET}}]}
soap: {namespace: "urn:shop", operations: [get]}
odata: {operations: [get, put]}
"""
GOLD = plan("gold", "{id: month, use: quota, with: {month: 2}}")


async def test_a_plans_quota_is_decided_with_the_limits_of_component_and_endpoint(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    counting = gateway.counters = Counting(gateway.counters)
    shop = await published(gateway, SHOP, GOLD)
    answers = [await shop.request("GET", "/shop/a", WITH_KEY) for _ in range(3)]
    assert counting.calls == 3
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].all(b"ratelimit-policy") == [b'"burst";q=100;w=60, "daily-day";q=5;w=86400, "month-month";q=2']
    assert [member.split(b";")[1] for member in answers[2].all(b"ratelimit")[0].split(b", ")] == [
        b"r=98",
        b"r=3",
        b"r=0",
    ]
    assert json_of(answers[2])["limit"] == "month"


async def test_a_plan_joins_the_limits_of_a_mount_as_well(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    counting = gateway.counters = Counting(gateway.counters)
    shop = await published(gateway, SHOP, GOLD)
    answers = [await shop.request("GET", "/shop/odata/get()", WITH_KEY) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert counting.calls in {3, 6}


async def test_a_condition_keeps_a_limit_apart(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    counting = gateway.counters = Counting(gateway.counters)
    shop = await published(gateway, SHOP, plan("gold"))
    answer = await shop.request("GET", "/shop/apart", WITH_KEY)
    assert counting.calls == 2
    assert len(answer.all(b"ratelimit")) == 1


async def test_explain_tells_what_is_done_in_one_go() -> None:
    snapshot = await compiled(documents(SHOP, GOLD))
    for url, expected in (("/shop/a", {"daily": "burst"}), ("/shop/apart", {})):
        found = explain(snapshot, "GET", url, {}, KINDS)
        assert {step.id: step.together_with for step in found.steps if step.together_with} == expected


async def test_a_limit_by_operation_counts_in_a_mount_what_runs(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    costly = SHOP.replace("limit: 100/1m", "limit: 100/1m, cost: {by: {put: 90}}")
    shop = await published(gateway, costly, plan("gold"))
    told = []
    for url in ("/shop/odata/get()", "/shop/a"):
        answer = await shop.request("GET", url, WITH_KEY)
        told.append((answer.get(b"ratelimit") or b"").split(b";")[1])
    put = [await shop.request("POST", "/shop/odata/put", WITH_KEY) for _ in range(2)]
    assert told == [b"r=99", b"r=98"]
    assert [answer.status for answer in put] == [200, 429]


async def test_a_limit_of_each_endpoint_counts_operations_of_a_mount_apart(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    apart = SHOP.replace("limit: 100/1m", "limit: 1/1m, by: endpoint")
    shop = await published(gateway, apart, plan("gold"))
    found = [await shop.request("GET", "/shop/odata/get()", WITH_KEY) for _ in range(2)]
    found.append(await shop.request("POST", "/shop/odata/put", WITH_KEY))
    assert [answer.status for answer in found] == [200, 429, 200]
