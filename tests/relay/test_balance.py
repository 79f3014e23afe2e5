"""How targets are picked."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.relay.rotation import Rotation
from gateway.relay.settings import Balancing, Hashing
from tests.relay.upstream_harness import Time, index, numbers, rotation

RING = Balancing(hashing=Hashing("header", "X-User"))


def picks(given: Rotation, count: int) -> list[int]:
    return [index(given.take()) for _ in range(count)]


async def test_equal_targets_are_taken_in_turn() -> None:
    assert picks(rotation([1, 1, 1], Balancing(), Time()), 6) == [1, 2, 3, 1, 2, 3]


async def test_weights_are_kept_exactly_and_spread() -> None:
    given = rotation([5, 1, 1], Balancing(), Time())
    taken = picks(given, 700)
    assert Counter(taken) == {1: 500, 2: 100, 3: 100}
    assert taken[:7].count(1) == 5
    assert taken[:5] != [1] * 5


async def test_of_two_choices_the_less_loaded_is_taken_for_its_weight() -> None:
    given = rotation([1, 1], Balancing(least_loaded=True), Time(), chance=numbers(0.1, 0.5))
    one, two = given.pools
    one.active, two.active = 3, 2
    assert index(given.take()) == 2
    two.active = 3
    assert index(given.take()) == 1  # equal: the one that chance named


async def test_without_load_choices_follow_the_weights() -> None:
    given = rotation([3, 1], Balancing(least_loaded=True), Time())
    taken = Counter(picks(given, 4000))
    assert 0.70 < taken[1] / 4000 < 0.80


async def test_a_target_of_triple_weight_carries_triple_load() -> None:
    given = rotation([3, 1], Balancing(least_loaded=True), Time())
    for _ in range(400):
        given.take().active += 1
    one, two = (pool.active for pool in given.pools)
    assert abs(one - 300) <= 4
    assert abs(two - 100) <= 4


KEYS = [b"user-%d" % number for number in range(4000)]


def owners(given: Rotation) -> dict[bytes, int]:
    return {key: index(given.choose(key)) for key in KEYS}


async def test_one_key_goes_to_one_target_in_every_worker() -> None:
    assert owners(rotation([1, 1, 1], RING, Time())) == owners(rotation([1, 1, 1], RING, Time()))


async def test_keys_spread_by_weight() -> None:
    taken = Counter(owners(rotation([2, 1, 1], RING, Time())).values())
    assert 0.40 < taken[1] / len(KEYS) < 0.60
    assert min(taken.values()) > len(KEYS) * 0.15


async def test_a_target_that_leaves_takes_only_its_own_keys_along_and_gets_them_back() -> None:
    time = Time()
    given = rotation([1, 1, 1, 1], RING, time)
    before = owners(given)
    given.missed(given.pools[2])
    without = owners(given)
    assert all(without[key] == owner for key, owner in before.items() if owner != 3)
    assert {without[key] for key, owner in before.items() if owner == 3} == {1, 2, 4}
    time.advance(11)
    given.refresh()
    assert owners(given) == before


async def test_a_request_without_a_key_is_spread() -> None:
    given = rotation([1, 1], RING, Time())
    assert [index(given.choose(None)) for _ in range(4)] == [1, 2, 1, 2]


async def test_bounded_load_passes_a_hot_key_on_to_the_same_next_target() -> None:
    given = rotation([1, 1, 1], Balancing(hashing=Hashing("path", bound=1.25)), Time())
    hot = b"hot"
    taken = []
    for _ in range(60):
        pool = given.choose(hot)
        assert pool is not None
        pool.active += 1
        taken.append(index(pool))
    counts = Counter(taken)
    assert counts[taken[0]] == 25  # 1.25 times its third of 60
    assert max(counts.values()) == 25
    for pool in given.pools:
        pool.active = 0
    assert index(given.choose(hot)) == taken[0]


@pytest.mark.parametrize("weights", [[1000, 1], [7, 7, 14], [999, 1000]])
async def test_a_ring_stays_bounded_whatever_the_weights(weights: list[int]) -> None:
    given = rotation(weights, RING, Time())
    taken = Counter(owners(given).values())
    assert abs(taken[1] / len(KEYS) - weights[0] / sum(weights)) < 0.1
