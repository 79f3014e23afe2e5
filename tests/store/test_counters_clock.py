"""Counters while the store's clock jumps (CASES A64): the script decides as its twin does, locks nobody out, gives no
quota twice, and no counter ever is without a time to live."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.clock import ManualClock
from gateway.store.connect import connect_counters
from gateway.store.counters import Rule, Verdict
from gateway.store.embedded import EmbeddedStore
from gateway.store.memory_counters import MemoryCounters
from gateway.store.redis_counters import GIVE, TAKE, _arguments, _verdict, counter_key
from tests.servers import embedded, running_valkey

__all__ = ["embedded"]

# The scripts as they are, but for where they read the clock.
CLOCK = "redis.call('HMGET', 'clock', 'seconds', 'micros')"
SOURCES = {
    "take": TAKE.source.replace("redis.call('TIME')", CLOCK),
    "give": GIVE.source.replace("redis.call('TIME')", CLOCK),
}
RULES = {
    "gcra": (Rule("gcra", 3, 60.0),),
    "fixed": (Rule("fixed", 3, 60.0),),
    "a day": (Rule("fixed", 3, 86_400.0),),
    "both": (Rule("gcra", 2, 10.0, 3), Rule("fixed", 5, 3600.0)),
}


class Scripts:
    """The counters' scripts in a real server whose clock the test holds, beside their twin."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.clock = ManualClock(1_700_000_000.0)
        self.twin = MemoryCounters(self.clock)
        client.flushall()

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        now = round(self.clock.time() * 1e6)
        self.client.hset("clock", mapping={"seconds": now // 10**6, "micros": now % 10**6})
        if self.twin._ends.get("a", 0) < now:  # as the server would by the clock that jumped
            self.client.delete(counter_key("p", "a"))
            self.twin._forget("a")

    def take(self, rules: tuple[Rule, ...]) -> tuple[Verdict, Verdict]:
        """What the script says, and its twin."""
        found: list[Any] = []
        self.twin.take("a", rules, 1, found.append)
        verdict = _verdict(self._run("take", rules))
        assert verdict is not None
        return verdict, found[0]

    def give(self, rules: tuple[Rule, ...]) -> None:
        self.twin.give("a", rules, 1)
        self._run("give", rules)

    def _run(self, what: str, rules: tuple[Rule, ...]) -> Any:
        found = self.client.eval(SOURCES[what], 1, counter_key("p", "a"), *_arguments(rules, 1))
        assert self.client.pttl(counter_key("p", "a")) > 0 or not self.client.exists(counter_key("p", "a"))
        return found


def micros(verdict: Verdict) -> tuple[int, ...]:
    """Both count in these; as seconds they may differ in the last bit."""
    allowed, remaining, retry, reset, rule = verdict
    return allowed, remaining, round(retry * 1e6), round(reset * 1e6), rule


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with running_valkey() as url, redis.Redis.from_url(url) as found:
        yield found


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@settings(max_examples=40)
@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from(("take", "take", "take", "give")),
            st.sampled_from((0.0, 0.001, 1.0, 59.0, 60.0, 3600.0, -1.0, -60.0, -3600.0)),
        ),
        max_size=25,
    )
)
def test_the_script_decides_as_its_twin_whatever_the_clock_does(
    client: redis.Redis, rules: tuple[Rule, ...], moves: list[tuple[Literal["take", "give"], float]]
) -> None:
    scripts = Scripts(client)
    for what, seconds in moves:
        scripts.advance(seconds)
        if what == "give":
            scripts.give(rules)
            continue
        found, expected = scripts.take(rules)
        assert micros(found) == micros(expected)
        longest = max(rule.window for rule in rules)
        assert found.retry_after <= 2 * longest, "nobody is locked out by a clock that went back"
        assert found.reset <= 2 * longest


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
@pytest.mark.parametrize("rules", [RULES["gcra"], RULES["fixed"]], ids=["gcra", "fixed"])
def test_after_a_jump_of_an_hour_a_limit_counts_on(client: redis.Redis, rules: tuple[Rule, ...], jump: float) -> None:
    scripts = Scripts(client)
    scripts.advance(0.0)
    for _ in range(4):
        scripts.take(rules)
    scripts.advance(jump)
    admitted = [scripts.take(rules)[0].allowed for _ in range(6)]
    assert sum(admitted) <= 3
    scripts.advance(120.0)
    assert [scripts.take(rules)[0].allowed for _ in range(4)] == [True, True, True, False]


def test_a_quota_of_the_day_is_not_given_twice_when_the_clock_goes_back_over_midnight(client: redis.Redis) -> None:
    scripts, rules = Scripts(client), RULES["a day"]
    scripts.advance(86_400.0 - scripts.clock.time() % 86_400.0 + 600.0)  # ten past midnight
    assert [scripts.take(rules)[0].allowed for _ in range(4)] == [True, True, True, False]
    scripts.advance(-3600.0)
    assert not scripts.take(rules)[0].allowed
    scripts.give(rules)
    assert [scripts.take(rules)[0].allowed for _ in range(2)] == [True, False]
    scripts.advance(3600.0)
    assert not scripts.take(rules)[0].allowed
    scripts.advance(86_400.0)
    assert scripts.take(rules)[0].allowed


async def test_no_counter_is_without_a_time_to_live_even_when_the_store_is_killed(embedded: EmbeddedStore) -> None:
    """A counter that lived for ever would refuse for ever. Each take is one script, which the log holds whole or not
    at all."""
    counters = await connect_counters(embedded.url)
    answered = asyncio.Event()
    count = 0

    def deliver(_verdict: Verdict | None) -> None:
        nonlocal count
        count += 1
        if count == 300:
            answered.set()

    try:
        for number in range(3000):
            rules = list(RULES.values())[number % len(RULES)]
            counters.take(f"subject {number % 97}", rules, 1, deliver)
            if number % 5 == 0:
                counters.give(f"subject {number % 89}", rules, 1)
        await asyncio.wait_for(answered.wait(), 20)
        assert embedded.pid is not None
        os.kill(embedded.pid, signal.SIGKILL)
        await embedded.ended()
        await embedded.start()
        with redis.Redis.from_url(embedded.url) as client:
            lives = {key: client.pttl(key) for key in client.scan_iter("penstock:c:*", count=1000)}
        assert len(lives) > 50
        assert [key for key, life in lives.items() if life == -1] == []
    finally:
        await counters.close()
