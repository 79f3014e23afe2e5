"""Limits that stand side by side: one call of the store for all of them, all or none (DESIGN 5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.core.errors import Forbidden
from gateway.core.exchange import Exchange, Reply
from gateway.core.kinds import Built, Stage
from gateway.live.fusing import fused
from gateway.live.slots import Slot
from gateway.policy import quota, rate_limit
from gateway.snapshot.spec import StepSpec
from gateway.store.connect import connect_counters
from gateway.store.counters import Costs, Counter, Deliver, Limit
from tests.policy.policy_harness import Gateway, json_of

RATE = (rate_limit.KIND, {"limit": "5/1h", "algorithm": "fixed"})
QUOTA = (quota.KIND, {"day": 3, "month": 10})


class Counting:
    """Counters that note how often they were asked."""

    def __init__(self, counters: Any) -> None:
        self.counters = counters
        self.calls = 0

    def counter(self, limits: tuple[Limit, ...]) -> Counter:
        counter = self.counters.counter(limits)

        class Noted:
            def take(_, subject: str, deliver: Deliver, costs: Costs | None = None) -> None:
                self.calls += 1
                counter.take(subject, deliver, costs)

            give = staticmethod(counter.give)
            charge = staticmethod(counter.charge)

        return Noted()


def slots(gateway: Gateway, *kinds: tuple[Any, dict[str, Any]], when: int | None = None) -> list[Slot]:
    made = []
    for number, (kind, config) in enumerate(kinds):
        condition = {"method": "GET"} if number == when else None
        spec = StepSpec(id=f"s{number}", use=kind.name, config=config, scope="shop", when=condition)
        built = gateway.build(kind, config, f"s{number}")
        made.append(Slot(spec, Stage.HEAD, Stage.HEAD, built, built.step or (lambda _exchange: None)))
    return made


def chain_of(gateway: Gateway, slots: list[Slot], *others: Built) -> Any:
    return gateway.chain(*(slot.built for slot in fused(slots, {})), *others)


async def test_neighbours_of_one_subject_take_one_call(gateway: Gateway) -> None:
    counting = gateway.counters = Counting(gateway.counters)
    chain = chain_of(gateway, slots(gateway, RATE, QUOTA, RATE))
    answer = await gateway.request(chain)
    assert counting.calls == 1
    assert answer.status == 200
    told = answer.all(b"ratelimit-policy")
    assert told == [b'"s0";q=5;w=3600, "s1-day";q=3;w=86400, "s1-month";q=10, "s2";q=5;w=3600']


@pytest.mark.parametrize("other", [{"by": "ip"}, {"on_store_loss": "open"}, {"by": {"header": "X-A"}}])
async def test_another_subject_or_another_way_to_close_takes_a_call_of_its_own(
    gateway: Gateway, other: dict[str, Any]
) -> None:
    counting = gateway.counters = Counting(gateway.counters)
    chain = chain_of(gateway, slots(gateway, RATE, (RATE[0], RATE[1] | other)))
    answer = await gateway.request(chain)
    assert counting.calls == 2
    assert len(answer.all(b"ratelimit")) == 1


async def test_a_step_with_a_condition_stands_for_itself(gateway: Gateway) -> None:
    found = slots(gateway, RATE, QUOTA, RATE, when=1)
    assert [one is other for one, other in zip(fused(found, {}), found, strict=True)] == [True, True, True]


async def test_positions_stay_as_they_were(gateway: Gateway) -> None:
    found = slots(gateway, RATE, QUOTA)
    assert [slot.spec.id for slot in fused(found, {})] == ["s0", "s1"]


async def test_the_one_that_refuses_is_named_and_the_others_lose_nothing(gateway: Gateway) -> None:
    chain = chain_of(gateway, slots(gateway, RATE, QUOTA))
    answers = [await gateway.request(chain) for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 3 + [429] * 3
    assert json_of(answers[-1])["limit"] == "s1"
    assert "`s1` of the day" in json_of(answers[-1])["detail"]
    told = answers[-1].all(b"ratelimit")[0].split(b", ")
    assert [member.partition(b";t")[0] for member in told] == [b'"s0";r=2', b'"s1-day";r=0', b'"s1-month";r=7']


async def test_what_a_later_step_refuses_is_given_back_to_all(gateway: Gateway) -> None:
    def refuse(exchange: Exchange) -> Reply:
        raise Forbidden("No.")

    found = slots(gateway, RATE, QUOTA)
    for _ in range(4):
        answer = await gateway.request(chain_of(gateway, found, Built(step=refuse)))
        assert answer.status == 403
        assert [member.split(b";")[1] for member in answer.all(b"ratelimit")[0].split(b", ")] == [
            b"r=5",
            b"r=3",
            b"r=10",
        ]


async def test_a_limit_behind_that_refuses_tells_what_those_before_it_have_back(gateway: Gateway) -> None:
    chain = gateway.chain(
        gateway.build(*RATE, "outer"), gateway.build(rate_limit.KIND, {"limit": "1/1h", "by": "ip"}, "inner")
    )
    assert (await gateway.request(chain)).status == 200
    answer = await gateway.request(chain)
    assert answer.status == 429
    assert [member.split(b";")[:2] for member in answer.all(b"ratelimit")[0].split(b", ")] == [
        [b'"outer"', b"r=4"],
        [b'"inner"', b"r=0"],
    ]


async def test_a_step_put_beside_it_resets_nobody(gateway: Gateway) -> None:
    """DESIGN 5: publishing resets nobody's quota."""
    one, two = slots(gateway, RATE, QUOTA)
    await gateway.request(chain_of(gateway, [one]))
    answer = await gateway.request(chain_of(gateway, [one, two]))
    assert b'"s0";r=3' in answer.all(b"ratelimit")[0]


@pytest.mark.parametrize("algorithm", ["gcra", "fixed", "sliding"])
async def test_the_least_of_fused_limits_is_admitted_exactly_over_several_workers(
    gateway: Gateway, valkey: str, prefix: str, algorithm: str
) -> None:
    """The promise on limits, counted: 50 requests at once over four connections, whatever the algorithm."""
    workers = [await connect_counters(valkey, prefix) for _ in range(4)]
    try:
        chains = []
        for gateway.counters in workers:
            rate = (rate_limit.KIND, {"limit": "30/1h", "algorithm": algorithm})
            chains.append(chain_of(gateway, slots(gateway, rate, (quota.KIND, {"week": 11, "month": 12}))))
        answers = await asyncio.gather(*(gateway.request(chains[number % 4]) for number in range(50)))
        assert sorted(answer.status for answer in answers) == [200] * 11 + [429] * 39
        told = [answer.all(b"ratelimit")[0].split(b", ") for answer in answers if answer.status == 200]
        assert sorted(int(each[1].split(b";")[1][2:]) for each in told) == list(range(11))
    finally:
        for counters in workers:
            await counters.close()
