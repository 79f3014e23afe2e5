"""The policy kind `rate-limit`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.errors import Forbidden
from gateway.core.exchange import Exchange, Reply
from gateway.core.kinds import Built
from gateway.policy import api_key, rate_limit
from gateway.policy.limits.subjects import network
from gateway.policy.rate_limit import rate
from gateway.store.connect import connect_counters
from gateway.store.counters import Costs, Deliver, Limit
from tests.policy.policy_harness import Gateway, json_of


class LostCounters:
    """A store that cannot decide."""

    def counter(self, limits: tuple[Limit, ...]) -> LostCounters:
        return self

    def take(self, subject: str, deliver: Deliver, costs: Costs | None = None) -> None:
        deliver(None)

    def give(self, subject: str, at: int, costs: Costs | None = None) -> None: ...


def limit(gateway: Gateway, **config: Any) -> Built:
    return gateway.build(rate_limit.KIND, {"limit": "2/1m"} | config, "burst")


async def test_calls_beyond_the_limit_are_refused_and_told_when_to_come_back(gateway: Gateway) -> None:
    """PROTOCOLS R6"""
    chain = gateway.chain(limit(gateway))
    assert [(await gateway.request(chain)).status for _ in range(2)] == [200, 200]
    answer = await gateway.request(chain)
    assert answer.status == 429
    assert json_of(answer)["code"] == "too_many_requests"
    assert answer.get(b"retry-after") == b"30"
    assert answer.all(b"ratelimit-policy") == [b'"burst";q=2;w=60']
    assert answer.all(b"ratelimit") == [b'"burst";r=0;t=60']
    gateway.clock.advance(30)
    assert (await gateway.request(chain)).status == 200


async def test_a_reply_tells_what_is_left(gateway: Gateway) -> None:
    answer = await gateway.request(gateway.chain(limit(gateway, algorithm="fixed")))
    assert answer.get(b"ratelimit-policy") == b'"burst";q=2;w=60'
    assert answer.get(b"ratelimit") == b'"burst";r=1;t=40'


async def test_the_fields_can_be_left_out(gateway: Gateway) -> None:
    answer = await gateway.request(gateway.chain(limit(gateway, headers=False)))
    assert answer.get(b"ratelimit") is None


async def test_applications_are_counted_apart_and_callers_without_one_by_address(gateway: Gateway) -> None:
    gateway.add_key(b"one")
    keyed = gateway.chain(gateway.build(api_key.KIND), limit(gateway, limit="1/1m"))
    unkeyed = gateway.chain(limit(gateway, limit="1/1m"))
    assert (await gateway.request(keyed, [(b"X-API-KEY", b"one")])).status == 200
    assert (await gateway.request(unkeyed)).status == 200
    assert (await gateway.request(unkeyed)).status == 429
    assert (await gateway.request(keyed, [(b"X-API-KEY", b"one")])).status == 429


@pytest.mark.parametrize(
    ("by", "one", "other"),
    [
        ("ip", {"client": "192.0.2.1"}, {"client": "192.0.2.2"}),
        ({"header": "X-Tenant"}, {"headers": [(b"x-tenant", b"a")]}, {"headers": [(b"x-tenant", b"b" * 500)]}),
    ],
)
async def test_subjects_are_counted_apart(gateway: Gateway, by: Any, one: Any, other: Any) -> None:
    chain = gateway.chain(limit(gateway, limit="1/1m", by=by))
    found = [(await gateway.request(chain, **each)).status for each in (one, one, other, other)]
    assert found == [200, 429, 200, 429]


async def test_what_a_later_step_refuses_is_given_back(gateway: Gateway) -> None:
    """PROTOCOLS R6: rejected calls cost no quota"""

    def refuse(exchange: Exchange) -> Reply:
        raise Forbidden("No.")

    chain = gateway.chain(limit(gateway, limit="1/1m"), Built(step=refuse))
    assert [(await gateway.request(chain)).status for _ in range(3)] == [403, 403, 403]


async def test_what_is_given_back_goes_to_the_caller_that_was_counted(gateway: Gateway) -> None:
    """A step behind the limit may tell who the caller is: its application's bucket gains nothing."""
    gateway.add_key(b"one")

    def refuse(exchange: Exchange) -> Reply:
        raise Forbidden("No.")

    keys, one = gateway.build(api_key.KIND), limit(gateway, limit="1/1m")
    with_key = [(b"X-API-KEY", b"one")]
    assert (await gateway.request(gateway.chain(keys, one), with_key)).status == 200
    assert (await gateway.request(gateway.chain(one, keys, Built(step=refuse)), with_key)).status == 403
    assert (await gateway.request(gateway.chain(keys, one), with_key)).status == 429


@pytest.mark.parametrize(("loss", "status"), [("closed", 503), ("open", 200)])
async def test_a_lost_store_closes_unless_told_otherwise(gateway: Gateway, loss: str, status: int) -> None:
    gateway.counters = LostCounters()
    assert (await gateway.request(gateway.chain(limit(gateway, on_store_loss=loss)))).status == status


async def test_a_new_build_of_the_step_goes_on_with_the_same_counter(gateway: Gateway) -> None:
    """DESIGN 5: publishing resets nobody's quota"""
    assert (await gateway.request(gateway.chain(limit(gateway, limit="1/1m")))).status == 200
    assert (await gateway.request(gateway.chain(limit(gateway, limit="1/1m")))).status == 429


async def test_two_limits_tell_both(gateway: Gateway) -> None:
    second = gateway.build(rate_limit.KIND, {"limit": "100/24h", "algorithm": "fixed"}, "quota")
    answer = await gateway.request(gateway.chain(limit(gateway), second))
    assert answer.all(b"ratelimit-policy") == [b'"burst";q=2;w=60, "quota";q=100;w=86400']
    assert answer.all(b"ratelimit") == [b'"burst";r=1;t=30, "quota";r=99;t=6400']


@pytest.mark.parametrize(
    "config",
    [
        {"limit": "100"},
        {"limit": "0/1s"},
        {"limit": "1/0s"},
        {"limit": "1/s", "cost": 2},
        {"limit": "1/s", "algorithm": "fixed", "burst": 3},
        {"limit": "1/s", "by": "moon"},
        {"limit": "1/s", "by": {"header": "a b"}},
    ],
)
def test_limits_that_cannot_be_meant_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        rate_limit.KIND.config.model_validate(config)


def test_limits_are_written_in_calls_and_time() -> None:
    assert [rate(text) for text in ("10/s", "100/1m", "5000/2h")] == [(10, 1.0), (100, 60.0), (5000, 7200.0)]


def test_an_ipv6_client_is_its_network_and_a_mapped_address_is_ipv4() -> None:
    """CASES H35"""
    assert network("2001:db8::1") == network("2001:db8::ffff:2") == "2001:db8::/64"
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") == "192.0.2.1"


async def test_two_workers_admit_exactly_the_limit_together(gateway: Gateway, valkey: str, prefix: str) -> None:
    workers = [await connect_counters(valkey, prefix) for _ in range(2)]
    try:
        chains = []
        for worker in workers:
            gateway.counters = worker
            chains.append(gateway.chain(limit(gateway, limit="7/1h")))
        answers = await asyncio.gather(*[gateway.request(chains[number % 2]) for number in range(30)])
        assert sorted(answer.status for answer in answers) == [200] * 7 + [429] * 23
    finally:
        for counters in workers:
            await counters.close()


async def test_an_endpoint_is_counted_for_all_of_its_callers(gateway: Gateway) -> None:
    chain = gateway.chain(limit(gateway, limit="1/1m", by="endpoint"))
    assert [(await gateway.request(chain, client=client)).status for client in ("192.0.2.1", "192.0.2.2")] == [200, 429]
