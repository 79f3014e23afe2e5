"""Counters while the store's clock jumps (CASES A64): the script decides as its twin does, locks nobody out, gives no
quota twice, and no counter ever is without a time to live."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.clock import ManualClock
from gateway.store.counters import Rule, Verdict
from gateway.store.embedded import EmbeddedStore
from gateway.store.memory_counters import MemoryCounters
from gateway.store.redis_counters import RedisCounters, arguments, counter_key, decided, scripts_of
from tests.servers import running_valkey
from tests.store.counting import NAME, one

# The scripts as they are, but for where they read the clock.
CLOCK = "redis.call('HMGET', 'clock', 'seconds', 'micros')"
RULES = {
    "gcra": (Rule("gcra", 3, 60.0),),
    "fixed": (Rule("fixed", 3, 60.0),),
    "a day": (Rule("fixed", 3, 86_400.0),),
    "both": (Rule("gcra", 2, 10.0, 3), Rule("fixed", 5, 3600.0)),
    "sliding": (Rule("sliding", 3, 60.0),),
    "a quota": (Rule("day", 3), Rule("week", 5), Rule("month", 6)),
    "all": (Rule("gcra", 2, 7.0, 1, slack=9.0), Rule("sliding", 4, 100.0), Rule("month", 9), Rule("gcra", 10**6, 1e7)),
}


KEY = counter_key("p", NAME, "a")
Move = Literal["take", "give", "charge"]


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
        if self.twin._ends.get(("a", NAME), 0) < now:  # as the server would by the clock that jumped
            self.client.delete(KEY)
            self.twin.forget(("a", NAME))

    def take(self, rules: tuple[Rule, ...], cost: int = 1) -> tuple[Verdict, Verdict]:
        """What the script says, and its twin."""
        found: list[Any] = []
        self.twin.counter(one(rules, cost)).take("a", found.append)
        decided(found.append)(self._run("take", b"0", rules, cost))
        return found[1], found[0]

    def charge(self, rules: tuple[Rule, ...], cost: int) -> None:
        self.twin.counter(one(rules)).charge("a", (cost,))
        self._run("take", b"1", rules, cost)

    def give(self, rules: tuple[Rule, ...], cost: int = 1, ago: float = 0.0) -> None:
        at = self.twin.now() - round(ago * 1e6)
        self.twin.counter(one(rules, cost)).give("a", at)
        self._run("give", b"%d" % at, rules, cost)

    def _run(self, what: str, first: bytes, rules: tuple[Rule, ...], cost: int) -> Any:
        script = scripts_of(one(rules))[what == "give"]
        source = script.source.replace("redis.call('TIME')", CLOCK)
        found = self.client.eval(source, 1, KEY, first, *arguments(one(rules), (cost,)))
        assert self.client.pttl(KEY) != -1
        self.client.pexpire(KEY, 60_000)  # by the real clock; `advance` ends it by the test's
        return found


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with running_valkey() as url, redis.Redis.from_url(url) as found:
        yield found


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@settings(max_examples=40)
@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from(("take", "take", "take", "give", "charge")),
            st.sampled_from((0.0, 0.001, 1.0, 7.0, 59.0, 60.0, 3600.0, 1e5, 3e6, -1.0, -60.0, -3600.0, -1e5)),
            st.sampled_from((1, 1, 0, 2, 3)),
        ),
        max_size=25,
    )
)
def test_the_script_decides_as_its_twin_whatever_the_clock_does(
    client: redis.Redis, rules: tuple[Rule, ...], moves: list[tuple[Move, float, int]]
) -> None:
    scripts = Scripts(client)
    for what, seconds, cost in moves:
        scripts.advance(seconds)
        if what == "give":
            scripts.give(rules, cost, max(0.0, seconds))
            continue
        if what == "charge":
            scripts.charge(rules, cost)
            continue
        found, expected = scripts.take(rules, cost)
        assert found == expected
        longest = max(rule.seconds for rule in rules)
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
    counters = RedisCounters(embedded.url, timeout=20.0)  # so many at once take a while
    assert await counters.connect()
    answered = asyncio.Event()
    count = 0

    def deliver(_verdict: Verdict | None) -> None:
        nonlocal count
        count += 1
        if count == 300:
            answered.set()

    try:
        now = round(time.time() * 1e6)
        for number in range(3000):
            rules = list(RULES.values())[number % len(RULES)]
            counter = counters.counter(one(rules))
            counter.take(f"subject {number % 97}", deliver)
            if number % 5 == 0:
                counter.give(f"subject {number % 89}", now)
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
