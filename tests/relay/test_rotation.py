"""Which targets are usable: ejection, circuits, health, slow start; no sockets, time by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.core.errors import Unavailable
from gateway.core.locations import Location
from gateway.relay.names import FixedResolver, Resolved
from gateway.relay.rotation import Budget, Rotation, states
from gateway.relay.settings import Balancing, Breaking, Ejection, Health, Settings
from tests.relay.upstream_harness import Time, end, index, network, rotation


def taken(given: Rotation, count: int = 12) -> set[int]:
    return {index(given.choose(None)) for _ in range(count)}


EJECTING = Balancing(ejection=Ejection(failures=3, time=10, max_time=25, max_share=0.5))


async def test_a_target_that_fails_in_a_row_is_left_out_for_a_while() -> None:
    time = Time()
    given = rotation([1, 1, 1], EJECTING, time)
    for failed in (True, True, False, True, True):
        end(given, given.pools[0], failed)
    assert taken(given) == {1, 2, 3}
    end(given, given.pools[0], True)
    assert taken(given) == {2, 3}
    time.advance(10)
    given.check(0)
    assert taken(given) == {1, 2, 3}


async def test_each_ejection_is_longer_up_to_a_limit_and_a_good_while_shortens_it() -> None:
    time = Time()
    given = rotation([1, 1], EJECTING, time)
    state = given.pools[0].state
    lasted = []
    for _ in range(4):
        for _ in range(3):
            end(given, given.pools[0], True)
        lasted.append(state.ejected_until - time.now)
        time.now = state.ejected_until
        given.check(0)
    assert lasted == [10, 20, 25, 25]
    time.advance(100)
    for _ in range(3):
        end(given, given.pools[0], True)
    assert state.ejected_until - time.now == 10


async def test_no_more_than_its_share_is_ejected() -> None:
    given = rotation([1, 1, 1, 1], EJECTING, Time())
    for pool in given.pools:
        for _ in range(3):
            end(given, pool, True)
    assert taken(given) == {3, 4}


async def test_a_single_target_is_never_ejected() -> None:
    given = rotation([1], EJECTING, Time())
    for _ in range(10):
        end(given, given.pools[0], True)
    assert taken(given) == {1}


async def test_when_all_are_ejected_all_are_used() -> None:
    given = rotation([1, 1], Balancing(ejection=Ejection(failures=1, max_share=1.0)), Time())
    end(given, given.pools[0], True)
    assert taken(given) == {2}
    end(given, given.pools[1], True)
    assert taken(given) == {1, 2}


async def test_a_target_that_cannot_be_connected_is_left_out_where_there_are_others() -> None:
    time = Time()
    given = rotation([1, 1], Balancing(), time)
    given.missed(given.pools[0])
    assert taken(given) == {2}
    given.missed(given.pools[1])
    assert taken(given) == {1, 2}
    time.advance(10)
    given.check(0)
    assert taken(given) == {1, 2}
    assert given.network.deadlines._timed == set()


async def test_a_target_is_left_out_for_longer_while_it_cannot_be_connected_again_and_again() -> None:
    time = Time()
    given = rotation([1, 1], Balancing(), time)
    state, lasted = given.pools[0].state, []
    for _ in range(5):
        for _ in range(3):  # requests that fail together are one failure
            given.missed(given.pools[0])
        lasted.append(state.avoided_until - time.now)
        time.now = state.avoided_until
        given.check(0)
    assert lasted == [10, 20, 40, 60, 60]


BREAKING = Balancing(breaking=Breaking(failures=2, open=30))


async def test_a59_an_open_circuit_takes_its_target_out_and_half_open_lets_one_request_through() -> None:
    time = Time()
    given = rotation([1, 1], BREAKING, time)
    first = given.pools[0]
    end(given, first, True)
    end(given, first, True)
    assert taken(given) == {2}
    time.advance(30)
    given.check(0)
    assert taken(given) == {1, 2}
    token = given.enter(first)
    assert taken(given) == {2}
    given.judge(first, token, False)
    assert taken(given) == {1, 2}


async def test_a59_with_all_circuits_open_nothing_is_chosen_and_the_refusal_says_when() -> None:
    time = Time()
    given = rotation([1, 1], BREAKING, time)
    for wait, pool in enumerate(given.pools):
        time.advance(5 * wait)
        end(given, pool, True)
        end(given, pool, True)
    assert given.choose(None) is None
    refusal = given.refusal()
    assert (refusal.status, refusal.headers) == (503, ((b"Retry-After", b"25"),))


async def test_a59_a_circuit_of_the_upstream_counts_all_its_targets() -> None:
    time = Time()
    given = rotation([1, 1], Balancing(breaking=Breaking(failures=2, open=30, whole_upstream=True)), time)
    end(given, given.pools[0], True)
    end(given, given.pools[1], True)
    assert given.choose(None) is None
    time.advance(30)
    pool = given.choose(None)
    assert pool is not None
    token = given.enter(pool)
    assert given.choose(None) is None
    given.judge(pool, token, False)
    assert given.choose(None) is not None


async def test_an_open_circuit_of_the_upstream_is_not_gone_round_by_another_target() -> None:
    given = rotation([1, 1], Balancing(breaking=Breaking(failures=1, whole_upstream=True)), Time())
    first, second = given.pools
    assert given.another([first], beside=True) is second
    end(given, first, True)
    assert given.another([first], beside=True) is None
    assert given.again(first) is None
    with pytest.raises(Unavailable):
        given.take()


async def test_a59_a_thousand_cycles_of_circuits_leak_nothing() -> None:
    time = Time()
    given = rotation([1, 1], BREAKING, time)
    deadlines = given.network.deadlines
    for _ in range(1000):
        end(given, given.pools[0], True)
        end(given, given.pools[0], True)
        time.advance(30)
        given.check(0)
        end(given, given.pools[0], False)
    assert taken(given) == {1, 2}
    assert deadlines._timed == set()
    assert given.pools[0].size == 0
    assert states(given)[0]["opened"] == 1000


CHECKED = Balancing(health=Health(b"/health", healthy=2, unhealthy=3))


async def test_the_first_check_decides_alone_later_ones_by_their_number() -> None:
    given = rotation([1, 1], CHECKED, Time())
    first = given.pools[0]
    given.checked(first, False)
    assert taken(given) == {2}
    given.checked(first, True)
    assert taken(given) == {2}
    given.checked(first, True)
    assert taken(given) == {1, 2}
    for well in (False, False, True, False, False):
        given.checked(first, well)
    assert taken(given) == {1, 2}
    given.checked(first, False)
    assert taken(given) == {2}


async def test_when_no_target_is_healthy_all_are_used() -> None:
    given = rotation([1, 1], CHECKED, Time())
    for pool in given.pools:
        given.checked(pool, False)
    assert taken(given) == {1, 2}


async def test_a_target_that_comes_back_grows_slowly_to_its_share() -> None:
    time = Time()
    given = rotation([1, 1], Balancing(ejection=Ejection(failures=1, time=10), slow_start=10), time)

    def share() -> float:
        return Counter(index(given.take()) for _ in range(220))[1] / 220

    end(given, given.pools[0], True)
    time.advance(10)
    given.check(0)
    assert abs(share() - 1 / 11) < 0.02
    time.advance(5)
    given.check(0)
    assert abs(share() - 1 / 3) < 0.02
    time.advance(5)
    given.check(0)
    assert abs(share() - 1 / 2) < 0.02
    assert given.network.deadlines._timed == set()


def test_a61_a_budget_gives_one_retry_for_ten_requests_and_a_few_saved_up() -> None:
    budget = Budget(Time())
    retries = 0
    for _ in range(1000):
        budget.earn()
        while budget.spend():
            retries += 1
    assert retries <= 103
    for _ in range(1000):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) == 10


def test_a_budget_saves_what_a_second_of_traffic_earns() -> None:
    """Those that are in flight at a target that dies are sent again at another."""
    time = Time()
    budget = Budget(time)
    for _ in range(10_000):
        budget.earn()
    time.advance(2)
    assert sum(budget.spend() for _ in range(1000)) == 500
    for _ in range(10_000):
        budget.earn()
    time.advance(1000)
    assert sum(budget.spend() for _ in range(1000)) == 10


async def test_the_addresses_of_a_name_share_its_weight_and_those_that_stay_keep_what_is_known() -> None:
    time = Time()
    resolver = FixedResolver({"erp": Resolved(("127.0.0.1", "127.0.0.2"), 5)})
    targets = [(Location.parse("http://erp:9"), 1), (Location.parse("http://127.0.0.9:9"), 1)]
    given = Rotation(targets, Settings(), network(time, resolver), EJECTING)
    assert [str(pool) for pool in given.pools] == ["erp:9", "127.0.0.9:9"]
    await time.pass_(0)
    assert [str(pool) for pool in given.pools] == ["erp:9 (127.0.0.1)", "erp:9 (127.0.0.2)", "127.0.0.9:9"]
    assert [pool.state.weight for pool in given.pools] == [0.5, 0.5, 1]
    kept = given.pools[1]
    resolver.answers["erp"] = Resolved(("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"), 5)
    await time.pass_(5)
    assert given.pools[0] is kept
    assert [pool.state.weight for pool in given.pools] == [0.25] * 4 + [1]
    await given.close()


async def test_a_change_of_weights_of_a_name_takes_effect_in_turn() -> None:
    time = Time()
    resolver = FixedResolver({"erp": Resolved(("127.0.0.1", "127.0.0.2"), 5)})
    targets = [(Location.parse("http://erp:9"), 1), (Location.parse("http://127.0.0.9:9"), 1)]
    given = Rotation(targets, Settings(), network(time, resolver))
    await time.pass_(0)
    taken_ = Counter(str(given.take()) for _ in range(400))
    assert taken_ == {"erp:9 (127.0.0.1)": 100, "erp:9 (127.0.0.2)": 100, "127.0.0.9:9": 200}
    await given.close()
