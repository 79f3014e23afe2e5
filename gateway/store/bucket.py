"""gcra, run as the equivalent leaky bucket (ITU-T I.371 annex A): its level drains by `limit` a tick, and a request
pours `window` ticks times its cost, so that all of it is whole numbers: no rounding, exact counts."""

from __future__ import annotations

from gateway.store.counted import Counted, Look, State, States


def look(rule: Counted, states: States, cost: int, now: int, forced: bool) -> Look:
    """What is forced fills the bucket twice at most: no debt is longer than that."""
    level, room, rate = drained(rule, states, now), rule.own, max(1, rule.limit)
    poured = level + cost * rule.window
    allowed = rule.limit > 0 and poured <= room
    after = poured if allowed else max(level, min(poured, 2 * room)) if forced else level
    fits = rule.limit > 0 and cost * rule.window <= room
    retry = 0 if allowed else _up(poured - room, rate) if fits else rule.window
    return Look(allowed, (State(after, now),), max(0, room - after) // rule.window, retry, _up(after, rate))


def drained(rule: Counted, states: States, now: int) -> int:
    """The level at tick `now`; a clock that went back drains nothing."""
    return max(0, states[0].level - max(0, now - states[0].since) * rule.limit) if states else 0


def mended(_rule: Counted, states: States, now: int) -> States:
    """A bucket last seen at a time that is to come again drains from now on, as its subject would be locked out until
    then."""
    return (State(states[0].level, now),) if states and states[0].since > now else states


def given(rule: Counted, states: States, cost: int, _at: int, now: int) -> States:
    if not states:
        return ()
    level = max(0, drained(rule, states, now) - cost * rule.window)
    return (State(level, max(now, states[0].since)),)


def _up(amount: int, rate: int) -> int:
    return -(-amount // rate)
