"""The arithmetic of counters over time, by a clock that is moved by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.clock import ManualClock
from gateway.store.counters import Rule, Verdict
from gateway.store.limits import compile_rules
from gateway.store.memory_counters import MemoryCounters
from gateway.store.windows import month_of, month_start
from tests.store.counting import one


def take(counters: MemoryCounters, rules: tuple[Rule, ...], cost: int = 1) -> Verdict:
    found: list[Verdict | None] = []
    counters.counter(one(rules, cost)).take("a", found.append)
    assert found[0] is not None
    return found[0]


def test_gcra_gives_back_one_unit_at_a_time() -> None:
    clock = ManualClock()
    counters, rules = MemoryCounters(clock), (Rule("gcra", 6, 60.0),)
    assert [take(counters, rules).allowed for _ in range(7)] == [True] * 6 + [False]
    clock.advance(10)
    assert [take(counters, rules).allowed for _ in range(2)] == [True, False]


def test_a_fixed_window_starts_anew_at_its_multiple() -> None:
    clock = ManualClock(1_700_000_040.0 + 59.0)  # a second before a whole minute
    counters, rules = MemoryCounters(clock), (Rule("fixed", 2, 60.0),)
    assert [take(counters, rules).allowed for _ in range(3)] == [True, True, False]
    assert take(counters, rules).retry_after == pytest.approx(1.0)
    clock.advance(1)
    assert take(counters, rules).remaining == 1


@pytest.mark.parametrize("algorithm", ["gcra", "fixed", "sliding"])
def test_a_clock_that_goes_back_admits_nobody_twice(algorithm: Literal["gcra", "fixed", "sliding"]) -> None:
    """CASES A64. The clock goes back into another window."""
    clock = ManualClock(1_700_000_000.0 - 1_700_000_000.0 % 3600.0 + 50.0)
    counters, rules = MemoryCounters(clock), (Rule(algorithm, 2, 3600.0),)
    take(counters, rules, 2)
    clock.advance(-600)
    assert not take(counters, rules).allowed


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 40),
    window=st.floats(0.5, 5000.0),
    pauses=st.lists(st.floats(0.0, 100.0), min_size=1, max_size=120),
)
def test_gcra_never_admits_more_than_burst_and_rate(limit: int, window: float, pauses: list[float]) -> None:
    clock = ManualClock()
    counters, rules, admitted = MemoryCounters(clock), (Rule("gcra", limit, window),), []
    for pause in pauses:
        clock.advance(pause)
        if take(counters, rules).allowed:
            admitted.append(clock.time())
    for start, first in enumerate(admitted):
        for end in range(start, len(admitted)):
            assert end - start + 1 <= limit + (admitted[end] - first) * limit / window + 1e-3


@settings(max_examples=60, deadline=None)
@given(limit=st.integers(1, 1000), window=st.floats(0.5, 1e7))
def test_a_refused_caller_is_admitted_after_retry_after(limit: int, window: float) -> None:
    clock = ManualClock()
    counters, rules = MemoryCounters(clock), (Rule("gcra", limit, window),)
    take(counters, rules, limit)
    refused = take(counters, rules)
    assert not refused.allowed
    clock.advance(refused.retry_after + 2e-3)
    assert take(counters, rules).allowed


def test_what_remains_never_grows_without_time() -> None:
    counters, rules = MemoryCounters(ManualClock()), (Rule("gcra", 7, 60.0),)
    left = [take(counters, rules).remaining for _ in range(9)]
    assert all(a >= b for a, b in pairwise(left))


@pytest.mark.parametrize("rule", [Rule("gcra", 1, 0.0), Rule("fixed", -1, 60.0), Rule("gcra", 1, 60.0, burst=-1)])
def test_a_rule_that_cannot_count_is_refused(rule: Rule) -> None:
    with pytest.raises(ValueError, match="a limit needs a window"):
        compile_rules((rule,))


def test_ended_counters_are_forgotten() -> None:
    clock = ManualClock()
    counters = MemoryCounters(clock)
    counter = counters.counter(one((Rule("gcra", 1, 1.0),)))
    for number in range(20_001):
        counter.take(f"s{number}", lambda _verdict: None)
        clock.advance(0.01)
    assert len(counters._states) < 10_200


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 20),
    window=st.floats(0.5, 5000.0),
    moves=st.lists(st.tuples(st.floats(0.0, 300.0), st.integers(1, 3)), min_size=1, max_size=120),
)
def test_in_no_span_of_a_sliding_window_is_one_too_many_admitted(
    limit: int, window: float, moves: list[tuple[float, int]]
) -> None:
    clock = ManualClock()
    counters, rules, admitted = MemoryCounters(clock), (Rule("sliding", limit, window),), []
    for pause, cost in moves:
        clock.advance(pause)
        if take(counters, rules, cost).allowed:
            admitted += [clock.time()] * cost
    for first in range(len(admitted) - limit):
        assert admitted[first + limit] - admitted[first] > window - 1e-5


@settings(max_examples=60, deadline=None)
@given(limit=st.integers(1, 10), pauses=st.lists(st.floats(0.0, 20.0), min_size=1, max_size=120))
def test_a_sliding_window_forgets_at_most_a_sixtieth_later_than_a_log(limit: int, pauses: list[float]) -> None:
    """A request that a log would admit, with what was admitted within the window and a slot before it."""
    clock, window = ManualClock(), 60.0
    counters, rules, admitted = MemoryCounters(clock), (Rule("sliding", limit, window),), []
    for pause in pauses:
        clock.advance(pause)
        recent = [at for at in admitted if clock.time() - at < window + 1.0 + 1e-3]
        found = take(counters, rules)
        assert found.allowed or len(recent) >= limit
        if found.allowed:
            admitted.append(clock.time())


@settings(max_examples=60, deadline=None)
@given(
    algorithm=st.sampled_from(("sliding", "fixed", "day", "week", "month")),
    pauses=st.lists(st.floats(0.0, 40_000.0), max_size=12),
)
def test_whoever_comes_again_when_told_is_admitted(
    algorithm: Literal["sliding", "fixed", "day", "week", "month"], pauses: list[float]
) -> None:
    clock = ManualClock(1_700_000_000.0)
    counters = MemoryCounters(clock)
    rules = (Rule(algorithm, 3, 50_000.0 if algorithm in {"sliding", "fixed"} else 0.0),)
    for pause in pauses:
        clock.advance(pause)
        take(counters, rules)
    while (found := take(counters, rules)).allowed:
        pass
    clock.advance(found.retry_after - 1e-3)
    assert not take(counters, rules).allowed
    clock.advance(2e-3)
    assert take(counters, rules).allowed


@pytest.mark.parametrize(
    ("algorithm", "then", "ends"),
    [
        ("day", datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        ("week", datetime(2024, 12, 28, 23, 59, 58, tzinfo=UTC), datetime(2024, 12, 29, tzinfo=UTC)),  # a Sunday
        ("week", datetime(2024, 12, 29, tzinfo=UTC), datetime(2025, 1, 5, tzinfo=UTC)),
        ("month", datetime(2023, 12, 31, 23, 59, 58, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)),
        ("month", datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_quota_starts_anew_with_the_calendar(
    algorithm: Literal["day", "week", "month"], then: datetime, ends: datetime
) -> None:
    clock = ManualClock(then.timestamp())
    counters, rules = MemoryCounters(clock), (Rule(algorithm, 1),)
    assert take(counters, rules).reset == (ends - then).total_seconds()
    assert take(counters, rules).retry_after == (ends - then).total_seconds()
    clock.now = ends.timestamp() - 0.001
    assert not take(counters, rules).allowed
    clock.now = ends.timestamp()
    assert take(counters, rules).allowed


@given(st.dates(date(1970, 1, 1), date(2400, 12, 31)))
def test_months_are_those_of_the_calendar(day: date) -> None:
    number = (day - date(1970, 1, 1)).days
    first = date(1970, 1, 1) + timedelta(days=month_start(month_of(number)))
    assert first == day.replace(day=1)


def test_a_counter_is_given_back_what_was_taken_in_its_window_alone() -> None:
    clock = ManualClock(86_400.0 * 100 - 1)
    counters, rules = MemoryCounters(clock), (Rule("day", 5),)
    before = take(counters, rules, 3).at
    clock.advance(2)
    take(counters, rules, 2)
    counters.counter(one(rules, 3)).give("a", before)
    assert take(counters, rules, 0).remaining == 3


def test_a_sliding_window_is_given_back_where_it_was_taken() -> None:
    clock = ManualClock(0.5)
    counters, rules = MemoryCounters(clock), (Rule("sliding", 5, 60.0),)
    take(counters, rules, 2)
    clock.advance(30)
    second = take(counters, rules, 3).at
    clock.advance(10)
    counters.counter(one(rules, 3)).give("a", second)
    assert take(counters, rules, 0).remaining == 3
    clock.advance(21.5)
    assert take(counters, rules, 0).remaining == 5


def test_what_is_charged_afterwards_is_a_debt_of_one_more_limit_at_most() -> None:
    clock = ManualClock()
    counters, rules = MemoryCounters(clock), (Rule("gcra", 60, 60.0),)
    for _ in range(50):
        counters.counter(one(rules)).charge("a", (60,))
    clock.advance(60)
    assert take(counters, rules, 0).remaining == 0
    clock.advance(1)
    assert take(counters, rules).allowed


def test_a_bucket_with_slack_takes_what_must_wait() -> None:
    counters, rules = MemoryCounters(ManualClock()), (Rule("gcra", 10, 1.0, 1, slack=0.2),)
    assert [take(counters, rules).allowed for _ in range(4)] == [True, True, True, False]
