"""Whose calls `rate-limit` counts, and when they are forgotten: by an injected clock."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.exchange import Exchange
from gateway.core.identity import Identity
from gateway.core.kinds import Built
from gateway.policy import api_key, rate_limit
from tests.policy.policy_harness import Gateway


def limit(gateway: Gateway, **config: Any) -> Built:
    return gateway.build(rate_limit.KIND, {"limit": "2/1m"} | config, "burst")


def tenant(exchange: Exchange) -> None:
    """A login that reads the tenant from a header."""
    claims = {"tenant": value.decode()} if (value := exchange.head.get(b"x-tenant")) else {}
    exchange.identity = Identity("someone", "test", claims=claims)


async def test_keys_of_one_application_are_counted_apart_or_together(gateway: Gateway) -> None:
    gateway.add_key(b"one", "k1")
    gateway.add_key(b"two", "k2")
    for by, expected in (("key", [200, 200, 429]), ("application", [200, 429, 429])):
        chain = gateway.chain(gateway.build(api_key.KIND), limit(gateway, limit="1/1m", by=by))
        found = [(await gateway.request(chain, [(b"X-API-KEY", key)])).status for key in (b"one", b"two", b"one")]
        assert found == expected
        gateway.clock.advance(60)


async def test_claims_are_counted_apart_and_callers_without_one_by_address(gateway: Gateway) -> None:
    chain = gateway.chain(Built(step=tenant), limit(gateway, limit="1/1m", by={"claim": "tenant"}))
    asked = [[(b"X-Tenant", b"a")], [(b"X-Tenant", b"b")], [(b"X-Tenant", b"a")], [], []]
    assert [(await gateway.request(chain, each)).status for each in asked] == [200, 200, 429, 200, 429]


async def test_gcra_lets_calls_in_evenly(gateway: Gateway) -> None:
    chain = gateway.chain(limit(gateway, burst=1))
    assert [(await gateway.request(chain)).status for _ in range(2)] == [200, 429]
    gateway.clock.advance(29)
    assert (await gateway.request(chain)).status == 429
    gateway.clock.advance(1)
    assert [(await gateway.request(chain)).status for _ in range(2)] == [200, 429]


async def test_a_fixed_window_ends_at_its_minute(gateway: Gateway) -> None:
    gateway.clock.now = 60.0 * 1000
    chain = gateway.chain(limit(gateway, algorithm="fixed"))
    assert [(await gateway.request(chain)).status for _ in range(3)] == [200, 200, 429]
    gateway.clock.advance(59)
    answer = await gateway.request(chain)
    assert (answer.status, answer.get(b"retry-after")) == (429, b"1")
    gateway.clock.advance(1)
    assert [(await gateway.request(chain)).status for _ in range(3)] == [200, 200, 429]


async def test_a_refused_call_costs_nothing(gateway: Gateway) -> None:
    """PROTOCOLS R6"""
    chain = gateway.chain(limit(gateway))
    found = [(await gateway.request(chain)).status for _ in range(20)]
    gateway.clock.advance(30)
    assert found.count(200) == 2
    assert (await gateway.request(chain)).status == 200


async def test_a_call_may_cost_more_than_one(gateway: Gateway) -> None:
    chain = gateway.chain(limit(gateway, limit="5/1m", cost=2))
    assert [(await gateway.request(chain)).status for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("scope", ["plan gold", "policy partner"])
async def test_a_counter_belongs_to_who_declared_it(gateway: Gateway, scope: str) -> None:
    """DESIGN 5"""
    config = rate_limit.KIND.config.model_validate({"limit": "1/1m", "by": "ip"})
    for each, status in ((scope, 200), (scope, 429), ("shop@v2", 200)):
        chain = gateway.chain(rate_limit.build(config, gateway.site("burst", each)))
        assert (await gateway.request(chain)).status == status
