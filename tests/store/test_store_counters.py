"""One suite for every implementation of the counters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis

from gateway.store.connect import OwnedCounters, connect_counters
from gateway.store.counters import Counters, Limit, Rule
from gateway.store.redis_counters import counter_key
from tests.servers import forget_scripts
from tests.store.counting import NAME, give, one, take, take_all

HUNDRED = (Rule("gcra", 100, 3600.0),)
FIXED = (Rule("fixed", 100, 30 * 86_400.0),)
EVERY = {
    "gcra": HUNDRED,
    "fixed": FIXED,
    "sliding": (Rule("sliding", 100, 3600.0),),
    "day": (Rule("day", 100),),
    "week": (Rule("week", 100),),
    "month": (Rule("month", 100),),
    "several": (Rule("sliding", 100, 7200.0), Rule("month", 110), Rule("gcra", 120, 1e6)),
}


def url_of(kind: str, request: pytest.FixtureRequest) -> str:
    return "memory://" if kind == "memory" else str(request.getfixturevalue(kind))


@pytest.fixture(params=["memory", "valkey", "cluster"])
async def counters(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[OwnedCounters]:
    found = await connect_counters(url_of(request.param, request), prefix)
    yield found
    await found.close()


async def test_the_first_take_tells_what_remains(counters: Counters) -> None:
    verdict = await take(counters, "a", HUNDRED)
    assert (verdict.allowed, verdict.remaining, verdict.retry_after, verdict.reset) == (True, 99, 0.0, 36.0)


async def test_a_fixed_window_ends_at_its_multiple(counters: Counters) -> None:
    verdict = await take(counters, "a", FIXED)
    assert (verdict.allowed, verdict.remaining, verdict.retry_after) == (True, 99, 0.0)
    assert 0 < verdict.reset <= 30 * 86_400.0


@pytest.mark.parametrize("rules", EVERY.values(), ids=EVERY)
async def test_of_150_concurrent_takes_100_are_admitted(counters: Counters, rules: tuple[Rule, ...]) -> None:
    verdicts = await asyncio.gather(*(take(counters, "a", rules) for _ in range(150)))
    assert sum(verdict.allowed for verdict in verdicts) == 100
    assert sorted(verdict.remaining for verdict in verdicts if verdict.allowed) == list(range(100))


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
@pytest.mark.parametrize("rules", EVERY.values(), ids=EVERY)
async def test_several_connections_count_as_one(
    kind: str, rules: tuple[Rule, ...], request: pytest.FixtureRequest, prefix: str
) -> None:
    """The promise on limits: exact over workers and nodes."""
    workers = [await connect_counters(url_of(kind, request), prefix) for _ in range(5)]
    verdicts = await asyncio.gather(*(take(worker, "a", rules) for _ in range(30) for worker in workers))
    assert sum(verdict.allowed for verdict in verdicts) == 100
    for worker in workers:
        await worker.close()


async def test_a_refusal_says_when_to_come_again(counters: Counters) -> None:
    for _ in range(3):
        await take(counters, "a", (Rule("gcra", 3, 3600.0),))
    verdict = await take(counters, "a", (Rule("gcra", 3, 3600.0),))
    assert not verdict.allowed
    assert verdict.remaining == 0
    assert 1100 < verdict.retry_after <= 1200
    assert 3500 < verdict.reset <= 3600


async def test_all_rules_or_none(counters: Counters) -> None:
    rules = (Rule("gcra", 100, 3600.0), Rule("fixed", 2, 30 * 86_400.0))
    assert [(await take(counters, "a", rules)).allowed for _ in range(4)] == [True, True, False, False]
    refused = await take(counters, "a", rules)
    assert refused.rule == 1
    assert (await take(counters, "a", rules[:1])).remaining == 97


async def test_the_rule_with_the_least_left_is_told(counters: Counters) -> None:
    verdict = await take(counters, "a", (Rule("gcra", 100, 3600.0), Rule("gcra", 10, 7200.0)))
    assert (verdict.rule, verdict.remaining) == (1, 9)


async def test_two_rules_of_one_window_count_on_their_own(counters: Counters) -> None:
    rules = (Rule("gcra", 10, 3600.0), Rule("gcra", 5, 3600.0))
    verdicts = [await take(counters, "a", rules) for _ in range(6)]
    assert [verdict.remaining for verdict in verdicts] == [4, 3, 2, 1, 0, 0]
    assert not verdicts[-1].allowed


async def test_a_burst_bounds_what_comes_at_once(counters: Counters) -> None:
    rules = (Rule("gcra", 100, 3600.0, burst=2),)
    assert [(await take(counters, "a", rules)).allowed for _ in range(3)] == [True, True, False]


async def test_a_cost_takes_as_many_units(counters: Counters) -> None:
    assert (await take(counters, "a", HUNDRED, 40)).remaining == 60
    assert not (await take(counters, "a", HUNDRED, 61)).allowed
    assert (await take(counters, "a", HUNDRED, 60)).allowed


async def test_a_cost_of_nothing_looks_only(counters: Counters) -> None:
    await take(counters, "a", HUNDRED, 40)
    assert (await take(counters, "a", HUNDRED, 0)).remaining == 60


async def test_a_limit_of_zero_refuses_everything(counters: Counters) -> None:
    for algorithm in ("gcra", "fixed", "sliding", "day", "week", "month"):
        window = 60.0 if algorithm in {"gcra", "fixed", "sliding"} else 0.0
        verdict = await take(counters, "a", (Rule(algorithm, 0, window),))  # type: ignore[arg-type]
        assert not verdict.allowed
        assert verdict.retry_after > 0


@pytest.mark.parametrize("rules", EVERY.values(), ids=EVERY)
async def test_what_is_given_back_can_be_taken_again(counters: Counters, rules: tuple[Rule, ...]) -> None:
    await take(counters, "a", rules, 100)
    give(counters, "a", rules, 30)
    async with asyncio.timeout(10):
        while not (await take(counters, "a", rules, 30)).allowed:
            pass
    assert not (await take(counters, "a", rules)).allowed


async def test_giving_back_more_than_was_taken_gives_no_credit(counters: Counters) -> None:
    await take(counters, "a", HUNDRED)
    give(counters, "a", HUNDRED, 50)
    async with asyncio.timeout(10):
        while (await take(counters, "a", HUNDRED, 0)).remaining != 100:
            pass
    assert not (await take(counters, "a", HUNDRED, 101)).allowed


async def test_subjects_are_counted_apart(counters: Counters) -> None:
    await take(counters, "shop@v2 GET /orders/{id}/burst:a", HUNDRED, 100)
    assert (await take(counters, "shop@v2 GET /orders/{id}/burst:b", HUNDRED)).allowed


async def test_a_changed_limit_goes_on_with_the_same_count(counters: Counters) -> None:
    """DESIGN 5: publishing resets nobody's quota."""
    await take(counters, "a", FIXED, 60)
    assert (await take(counters, "a", (Rule("fixed", 70, 30 * 86_400.0),), 0)).remaining == 10


async def test_huge_limits_count_exactly(counters: Counters) -> None:
    rules = (Rule("gcra", 10_000_000, 31 * 86_400.0),)
    await take(counters, "a", rules, 9_999_997)
    verdicts = [await take(counters, "a", rules) for _ in range(3)]
    assert [verdict.remaining for verdict in verdicts] == [2, 1, 0]


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
async def test_a_script_that_the_server_forgot_is_loaded_again(
    kind: str, request: pytest.FixtureRequest, prefix: str
) -> None:
    url = url_of(kind, request)
    counters = await connect_counters(url, prefix)
    await take(counters, "a", HUNDRED)
    await asyncio.to_thread(forget_scripts, url)
    verdicts = await asyncio.gather(*(take(counters, "a", HUNDRED) for _ in range(20)))
    assert sorted(verdict.remaining for verdict in verdicts) == list(range(79, 99))
    await counters.close()


async def test_every_counter_ends_by_itself(valkey: str, prefix: str) -> None:
    """CASES A64."""
    counters = await connect_counters(valkey, prefix)
    for number, rules in enumerate((*EVERY.values(), HUNDRED + FIXED, (Rule("gcra", 5, 0.001),))):
        await take(counters, f"s{number}", rules)
        give(counters, f"s{number}", rules, 1)
        await take(counters, f"s{number}", rules)
    with redis.Redis.from_url(valkey) as client:
        keys = list(client.scan_iter(f"{prefix}:c:*"))
        assert all(client.pttl(key) != -1 for key in keys)
        assert 18_000 < client.pttl(counter_key(prefix, NAME, "s0")) < 90_000
    assert len(keys) >= 7
    await counters.close()


TWO = (Limit("burst", HUNDRED), Limit("quota", (Rule("month", 3), Rule("day", 5)), 1))


async def test_limits_that_are_decided_together_are_all_taken_or_none(counters: Counters) -> None:
    verdicts = [await take_all(counters, "a", TWO) for _ in range(5)]
    assert [found and found.allowed for found in verdicts] == [True, True, True, False, False]
    last = verdicts[-1]
    assert last is not None
    assert last.rule == 1
    assert list(last.left[::2]) == [97, 0, 2]


async def test_a_limit_counts_the_same_whether_it_is_decided_alone_or_with_others(counters: Counters) -> None:
    """DESIGN 5: a step that is put beside it resets nobody."""
    await take_all(counters, "a", TWO)
    alone = await take_all(counters, "a", TWO[1:])
    assert alone is not None
    assert alone.left[0] == 1


async def test_limits_that_are_decided_together_may_cost_differently(counters: Counters) -> None:
    found = await take_all(counters, "a", TWO, (10, 2))
    assert found is not None
    assert list(found.left[::2]) == [90, 1, 3]


@pytest.mark.parametrize("rules", EVERY.values(), ids=EVERY)
async def test_what_was_done_already_is_counted_over_the_limit(counters: Counters, rules: tuple[Rule, ...]) -> None:
    counters.counter(one(rules)).charge("a", (150,))
    async with asyncio.timeout(10):
        while (verdict := await take(counters, "a", rules, 0)).remaining:
            pass
    assert not (await take(counters, "a", rules)).allowed
    assert verdict.remaining == 0


async def test_what_was_taken_in_the_window_before_is_not_given_back_into_this_one(counters: Counters) -> None:
    now = (await take(counters, "a", FIXED, 5)).at
    give(counters, "a", FIXED, 5, now - 31 * 86_400 * 10**6)
    assert (await take(counters, "a", FIXED, 0)).remaining == 95


async def test_a_rule_that_no_number_holds_exactly_is_refused(counters: Counters) -> None:
    with pytest.raises(ValueError, match="no counter holds so many"):
        counters.counter(one((Rule("gcra", 10**9, 3650 * 86_400.0),)))
