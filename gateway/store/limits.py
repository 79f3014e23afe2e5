"""The arithmetic of counters, shared by the script in the server and its twin: rules brought into whole numbers.

gcra is run as the equivalent leaky bucket (ITU-T I.371 annex A): the bucket's level drains by `limit` a tick and a
request pours `window` ticks times its cost, so that all of it is whole numbers, below 2**53 for every sensible rule:
no rounding, exact counts. A tick is a microsecond, or a millisecond where the numbers would grow too large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from gateway.store.counters import Rule, Verdict

_EXACT = 2**52


@dataclass(frozen=True, slots=True)
class Limit:
    """A rule in ticks: `tick` microseconds each; `field` is where its state lives under the counter's key."""

    fixed: bool
    window: int
    limit: int
    burst: int
    tick: int
    field: str


@lru_cache(maxsize=4096)
def compile_rules(rules: tuple[Rule, ...]) -> tuple[Limit, ...]:
    """ValueError for a rule that cannot count. The field names algorithm and window, so that a changed limit goes on
    with the same state (DESIGN 5); a repeated pair gets a number."""
    compiled: list[Limit] = []
    seen: dict[str, int] = {}
    for rule in rules:
        micros = round(rule.window * 1e6)
        burst = rule.limit if rule.burst is None or rule.algorithm == "fixed" else rule.burst
        if micros < 1 or rule.limit < 0 or burst < 0:
            raise ValueError(f"a limit needs a window above 0 and counts of at least 0, not {rule}")
        tick = 1 if micros * max(burst, 1) < _EXACT else 1000
        name = f"{rule.algorithm[0]}{micros}"
        seen[name] = number = seen.get(name, 0) + 1
        field = name if number == 1 else f"{name}.{number}"
        window = max(1, micros // tick)
        compiled.append(Limit(rule.algorithm == "fixed", window, rule.limit, burst, tick, field))
    return tuple(compiled)


@dataclass(frozen=True, slots=True)
class State:
    """gcra: `level` at tick `since`. fixed: `level` counted in window number `since`."""

    level: int
    since: int


@dataclass(frozen=True, slots=True)
class Look:
    """One rule's judgement: the state to store when all rules admit; times in ticks."""

    allowed: bool
    state: State
    remaining: int
    retry: int
    reset: int
    keep: int


def look(limit: Limit, state: State | None, cost: int, micros: int) -> Look:
    """Judges one rule at `micros` microseconds since 1970."""
    now = micros // limit.tick
    return _fixed(limit, state, cost, now) if limit.fixed else _gcra(limit, state, cost, now)


def _fixed(limit: Limit, state: State | None, cost: int, now: int) -> Look:
    number = numbered(limit, state, now)
    count = state.level if state is not None and state.since == number else 0
    reset = (number + 1) * limit.window - now
    allowed = count + cost <= limit.limit
    after = count + cost if allowed else count
    return Look(allowed, State(after, number), max(0, limit.limit - after), 0 if allowed else reset, reset, reset)


def numbered(limit: Limit, state: State | None, now: int) -> int:
    """The window in which is counted at tick `now`. A clock that went back into the window before goes on with the
    later one, so that no quota is given twice; one that went back further begins anew, so that nobody is locked out."""
    number = now // limit.window
    return state.since if state is not None and state.since == number + 1 else number


def _gcra(limit: Limit, state: State | None, cost: int, now: int) -> Look:
    level = drained(limit, state, now)
    room = limit.burst * limit.window
    poured = level + cost * limit.window
    allowed = limit.limit > 0 and poured <= room
    after = poured if allowed else level
    rate = max(1, limit.limit)
    fits = limit.limit > 0 and cost <= limit.burst
    retry = 0 if allowed else _up(poured - room, rate) if fits else limit.window
    reset = _up(after, rate)
    return Look(allowed, State(after, now), max(0, room - after) // limit.window, retry, reset, reset)


def mended(limit: Limit, state: State, micros: int) -> State:
    """What a refusal leaves: the state as it was, but for a bucket last seen at a time that is to come again. It drains
    from now on, as its subject would be locked out until then."""
    now = micros // limit.tick
    return State(state.level, now) if not limit.fixed and state.since > now else state


def drained(limit: Limit, state: State | None, now: int) -> int:
    """A bucket's level at tick `now`; a clock that went back drains nothing."""
    if state is None:
        return 0
    return max(0, state.level - max(0, now - state.since) * limit.limit)


def given(limit: Limit, state: State, cost: int, micros: int) -> State:
    """The state after `cost` was given back."""
    now = micros // limit.tick
    if limit.fixed:
        counts = state.since == numbered(limit, state, now)
        return State(max(0, state.level - cost), state.since) if counts else state
    return State(max(0, drained(limit, state, now) - cost * limit.window), max(now, state.since))


def verdict(limits: tuple[Limit, ...], looks: list[Look]) -> Verdict:
    """All or none. Of several refusing rules the one that refuses longest; else the one with the least left."""
    refused = [index for index, one in enumerate(looks) if not one.allowed]
    if refused:
        rule = max(refused, key=lambda index: looks[index].retry * limits[index].tick)
    else:
        rule = min(range(len(looks)), key=lambda index: looks[index].remaining)
    chosen, seconds = looks[rule], limits[rule].tick / 1e6
    return Verdict(not refused, chosen.remaining, chosen.retry * seconds, chosen.reset * seconds, rule)


def _up(amount: int, rate: int) -> int:
    return math.ceil(amount / rate) if amount < _EXACT else -(-amount // rate)
