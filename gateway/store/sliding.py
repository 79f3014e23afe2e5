"""A window that slides: in no span of its length are more than `limit` units admitted.

Time is cut into slots, `SLOTS` to a window. Counted are the slot of now and a whole window of slots before it, so that
a unit is remembered for its window and up to a slot more. Against a log of every request that means: never one too
many, and a caller waits up to a sixtieth of the window longer. A subject takes at most `SLOTS` + 1 counts, whatever
the limit.
"""

from __future__ import annotations

from gateway.store.counted import Counted, Look, State, States


def look(rule: Counted, states: States, cost: int, now: int, forced: bool) -> Look:
    number, states = _remembered(rule, states, now)
    total = sum(state.level for state in states)
    allowed = total + cost <= rule.limit
    if cost and (allowed or forced):
        states, counted = _added(states, number, cost), total + cost
    else:
        counted = total
    retry = (
        0 if allowed else _retry(rule, states, total + cost - rule.limit, now) if cost <= rule.limit else rule.window
    )
    reset = _forgotten(rule, states[-1].since) - now if states else 0
    return Look(allowed, states, max(0, rule.limit - counted), retry, reset)


def _slots(rule: Counted) -> int:
    return -(-rule.window // rule.own)


def _remembered(rule: Counted, states: States, now: int) -> tuple[int, States]:
    """The slot in which is counted, and what still counts. A clock that went back by less than a window stands still at
    the latest slot; one that went back further begins anew, so that nobody is locked out."""
    number, slots = now // rule.own, _slots(rule)
    if states and states[-1].since > number:
        if states[-1].since - number >= slots:
            return number, ()
        number = states[-1].since
    return number, tuple(state for state in states if state.since >= number - slots)


def _added(states: States, number: int, cost: int) -> States:
    if states and states[-1].since == number:
        return (*states[:-1], State(states[-1].level + cost, number))
    return (*states, State(cost, number))


def _forgotten(rule: Counted, slot: int) -> int:
    """The tick from which on a slot counts no more."""
    return (slot + _slots(rule) + 1) * rule.own


def _retry(rule: Counted, states: States, over: int, now: int) -> int:
    """Until so many units are forgotten."""
    for state in states:
        over -= state.level
        if over <= 0:
            return _forgotten(rule, state.since) - now
    return rule.window


def mended(_rule: Counted, states: States, _now: int) -> States:
    return states


def given(rule: Counted, states: States, cost: int, at: int, _now: int) -> States:
    """Out of the slot in which it was taken, or of the next one that counts, where a clock stood still."""
    slot = at // rule.own
    for index, state in enumerate(states):
        if state.since >= slot:
            return (*states[:index], State(max(0, state.level - cost), state.since), *states[index + 1 :])
    return states
