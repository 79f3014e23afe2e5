"""The arithmetic of counters over time, by a clock that is moved by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.clock import ManualClock
from gateway.store.counters import Rule, Verdict
from gateway.store.limits import compile_rules
from gateway.store.memory_counters import MemoryCounters


def take(counters: MemoryCounters, rules: tuple[Rule, ...], cost: int = 1) -> Verdict:
    found: list[Verdict | None] = []
    counters.take("a", rules, cost, found.append)
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


@pytest.mark.parametrize("algorithm", ["gcra", "fixed"])
def test_a_clock_that_goes_back_admits_nobody_twice(algorithm: Literal["gcra", "fixed"]) -> None:
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
    for number in range(20_001):
        counters.take(f"s{number}", (Rule("gcra", 1, 1.0),), 1, lambda _verdict: None)
        clock.advance(0.01)
    assert len(counters._states) < 10_200
