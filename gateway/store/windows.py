"""Counting in windows that do not move: multiples of a length (a day; a week from Sunday, by a shift), and months.

Months are numbered from March of the year 0, so that a leap day ends a year; the days of the proleptic Gregorian
calendar repeat every 400 years of 146,097 days.
"""

from __future__ import annotations

from typing import Final

from gateway.store.counted import Counted, Look, State, States

DAY: Final = 86_400 * 10**6  # microseconds
_ERA: Final = 146_097  # days
_EPOCH: Final = 719_468  # days from 0000-03-01 to 1970-01-01


def look(rule: Counted, states: States, cost: int, now: int, forced: bool) -> Look:
    number = numbered(rule, states, now)
    count = states[0].level if states and states[0].since == number else 0
    reset = end(rule, number) - now
    allowed = count + cost <= rule.limit
    after = count + cost if allowed or forced else count
    return Look(allowed, (State(after, number),), max(0, rule.limit - after), 0 if allowed else reset, reset)


def number_at(rule: Counted, tick: int) -> int:
    """The number of the window that a tick is in."""
    return month_of(tick // rule.window) if rule.kind == "m" else (tick + rule.own) // rule.window


def end(rule: Counted, number: int) -> int:
    """The tick at which that window ends."""
    return month_start(number + 1) * rule.window if rule.kind == "m" else (number + 1) * rule.window - rule.own


def numbered(rule: Counted, states: States, now: int) -> int:
    """The window in which is counted at tick `now`. A clock that went back into the window before goes on with the
    later one, so that no quota is given twice; one that went back further begins anew, so that nobody is locked out."""
    number = number_at(rule, now)
    return number + 1 if states and states[0].since == number + 1 else number


def mended(_rule: Counted, states: States, _now: int) -> States:
    return states


def given(rule: Counted, states: States, cost: int, at: int, now: int) -> States:
    """Only into the window of which it was taken; a clock that went back into the one before counts in the later."""
    if not states:
        return ()
    level, since = states[0]
    taken = number_at(rule, at)
    counts = since == taken or (since == taken + 1 and number_at(rule, now) == taken)
    return (State(max(0, level - cost), since),) if counts else states


def month_of(day: int) -> int:
    """The month of a day since 1970."""
    day += _EPOCH
    era, day = divmod(day, _ERA)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    return (era * 400 + year) * 12 + (5 * day + 2) // 153


def month_start(number: int) -> int:
    """The day since 1970 on which a month begins."""
    year, month = divmod(number, 12)
    era, year = divmod(year, 400)
    return era * _ERA + 365 * year + year // 4 - year // 100 + (153 * month + 2) // 5 - _EPOCH
