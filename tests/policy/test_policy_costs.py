"""What a request takes of a limit: by what it says, and by what its reply says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.exchange import Exchange, Reply
from gateway.core.identity import Identity
from gateway.core.kinds import Built
from gateway.policy import quota, rate_limit
from gateway.policy.limits.costs import names_operation
from tests.policy.policy_harness import Gateway


def limit(gateway: Gateway, **config: Any) -> Built:
    return gateway.build(rate_limit.KIND, {"limit": "10/1h", "algorithm": "fixed"} | config, "burst")


async def left(gateway: Gateway, chain: Any, *headers: tuple[bytes, bytes], method: str = "GET") -> str:
    answer = await gateway.request(chain, headers, method=method)
    return f"{answer.status} {(answer.get(b'ratelimit') or b'').split(b';')[1].decode()}"


@pytest.mark.parametrize(
    ("said", "remaining"),
    [(b"3", 7), (b"10", 0), (b"0", 9), (b"-4", 9), (b"x", 9), (b"", 9), (b"1e1", 9), (b"9" * 30, 9), (b"5000", 0)],
)
async def test_a_header_tells_what_a_request_costs_within_bounds(gateway: Gateway, said: bytes, remaining: int) -> None:
    chain = gateway.chain(limit(gateway, cost={"header": "X-Units"}))
    assert await left(gateway, chain, (b"x-units", said)) == f"200 r={remaining}"


async def test_a_header_that_is_not_there_or_there_twice_costs_one(gateway: Gateway) -> None:
    chain = gateway.chain(limit(gateway, cost={"header": "X-Units"}))
    assert await left(gateway, chain) == "200 r=9"
    assert await left(gateway, chain, (b"x-units", b"4"), (b"x-units", b"5")) == "200 r=8"


@pytest.mark.parametrize(("claim", "remaining"), [(4, 6), (True, 9), ("4", 9), (-1, 9), (10**6, 0), (None, 9)])
async def test_a_claim_tells_what_a_request_costs(gateway: Gateway, claim: object, remaining: int) -> None:
    def login(exchange: Exchange) -> None:
        exchange.identity = Identity("someone", "test", claims={"units": claim})

    chain = gateway.chain(Built(step=login), limit(gateway, cost={"claim": "units"}))
    assert await left(gateway, chain) == f"200 r={remaining}"


async def test_methods_and_operations_cost_differently_and_the_operation_goes_first(gateway: Gateway) -> None:
    chain = gateway.chain(limit(gateway, cost={"by": {"POST": 3, "make_order": 5}}))
    assert await left(gateway, chain) == "200 r=9"
    assert await left(gateway, chain, method="POST") == "200 r=6"
    order = replace(chain, facts={"operation": "make_order"})
    assert await left(gateway, order, method="POST") == "200 r=1"


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"cost": {"by": {"POST": 2}}}, False),
        ({"cost": {"by": {"get_order": 2}}}, True),
        ({"by": "endpoint"}, True),
        ({"cost": 2}, False),
    ],
)
def test_a_limit_by_operation_waits_until_that_is_known(config: dict[str, Any], names: bool) -> None:
    assert names_operation(config) is names


@pytest.mark.parametrize(("said", "remaining"), [(b"4", 5), (b"1", 8), (b"0", 9), (b"x", 8), (b"400", 0), (None, 8)])
async def test_what_a_reply_says_is_charged_afterwards(gateway: Gateway, said: bytes | None, remaining: int) -> None:
    fields = [(b"x-cost", said)] if said is not None else []
    built = limit(gateway, cost_from={"response_header": "X-Cost"})
    chain = gateway.chain(built, last=lambda _exchange: Reply(200, list(fields)))
    assert (await gateway.request(chain)).status == 200
    expected = 200 if remaining else 429
    assert await left(gateway, gateway.chain(limit(gateway))) == f"{expected} r={remaining}"


async def test_a_quota_is_charged_in_all_of_its_windows(gateway: Gateway) -> None:
    config = {"day": 10, "month": 100, "cost_from": {"response_header": "X-Cost"}}
    chain = gateway.chain(
        gateway.build(quota.KIND, config, "plan"), last=lambda _exchange: Reply(200, [(b"x-cost", b"20")])
    )
    assert (await gateway.request(chain)).status == 200
    answer = await gateway.request(chain)
    assert answer.status == 429
    told = answer.all(b"ratelimit")[0]
    assert b'"plan-day";r=0' in told
    assert b'"plan-month";r=80' in told


@pytest.mark.parametrize(
    "cost",
    [0, -1, 11, "2", {"header": "a b"}, {"by": {}}, {"by": {"POST": 0}}, {"by": {"POST": 11}}, {"header": "A", "x": 1}],
)
def test_costs_that_cannot_be_meant_are_refused(cost: object) -> None:
    with pytest.raises(ValidationError):
        rate_limit.KIND.config.model_validate({"limit": "10/1h", "cost": cost})
