"""The arithmetic of counters, shared by the script in the server and its twin: rules brought into whole numbers.

All of it is whole numbers below 2**53, so that Lua counts as exactly as Python does. A tick is a microsecond, or a
millisecond or a second where the numbers would grow too large. Each algorithm is a module: `bucket` (gcra), `windows`
(fixed, and those of the calendar) and `sliding`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol

from gateway.store import bucket, sliding, windows
from gateway.store.counted import EXACT, SLOTS, WEEK_SHIFT, Counted, Kind, Look, States
from gateway.store.counters import Rule, Verdict

_KINDS: Final[dict[str, Kind]] = {"gcra": "g", "fixed": "f", "sliding": "s", "day": "f", "week": "f", "month": "m"}


class _Algorithm(Protocol):
    """A module, in ticks."""

    def look(self, rule: Counted, states: States, cost: int, now: int, forced: bool, /) -> Look: ...

    def mended(self, rule: Counted, states: States, now: int, /) -> States: ...

    def given(self, rule: Counted, states: States, cost: int, at: int, now: int, /) -> States: ...


_ALGORITHMS: Final[Mapping[str, _Algorithm]] = {"g": bucket, "f": windows, "m": windows, "s": sliding}


@lru_cache(maxsize=4096)
def compile_rules(rules: tuple[Rule, ...]) -> tuple[Counted, ...]:
    """ValueError for a rule that cannot count. The field names algorithm and window, so that a changed limit goes on
    with the same state (DESIGN 5); a repeated pair gets a number."""
    compiled: list[Counted] = []
    seen: dict[str, int] = {}
    for rule in rules:
        name = f"{rule.algorithm[0]}{_micros(rule)}" if rule.window else rule.algorithm
        seen[name] = number = seen.get(name, 0) + 1
        compiled.append(_compile(rule, name if number == 1 else f"{name}.{number}"))
    return tuple(compiled)


def _micros(rule: Rule) -> int:
    return round(rule.seconds * 1e6)


def _compile(rule: Rule, field: str) -> Counted:
    micros = _micros(rule)
    burst = rule.limit if rule.burst is None else rule.burst
    if micros < 1 or rule.limit < 0 or burst < 0 or rule.slack < 0:
        raise ValueError(f"a limit needs a window above 0 and counts of at least 0, not {rule}")
    kind = _KINDS[rule.algorithm]
    if kind == "g":
        return _bucket(rule, micros, burst, field)
    if kind == "m":
        return Counted("m", windows.DAY, rule.limit, 0, 1, field)
    own = max(1, -(-micros // SLOTS)) if kind == "s" else WEEK_SHIFT if rule.algorithm == "week" else 0
    return Counted(kind, micros, rule.limit, own, 1, field)


def _bucket(rule: Rule, micros: int, burst: int, field: str) -> Counted:
    slack = round(rule.slack * 1e6)
    for tick in (1, 1000, 10**6):
        window = max(1, micros // tick)
        room = burst * window + slack // tick * rule.limit
        if max(room, rule.limit * window) < EXACT:
            return Counted("g", window, rule.limit, room, tick, field)
    raise ValueError(f"no counter holds so many in so long a time: {rule.limit} in {rule.window:g} s")


def look(rule: Counted, states: States, cost: int, micros: int, forced: bool = False) -> Look:
    """Judges one rule at `micros` microseconds since 1970. `forced`: counts what it would refuse."""
    return _ALGORITHMS[rule.kind].look(rule, states, cost, micros // rule.tick, forced)


def mended(rule: Counted, states: States, micros: int) -> States:
    """What a refusal leaves: the states as they were, but for what a clock that went back made wrong."""
    return _ALGORITHMS[rule.kind].mended(rule, states, micros // rule.tick)


def given(rule: Counted, states: States, cost: int, at: int, micros: int) -> States:
    """The states after `cost` that was taken at `at` was given back."""
    return _ALGORITHMS[rule.kind].given(rule, states, cost, at // rule.tick, micros // rule.tick)


def verdict(rules: Sequence[Counted], looks: Sequence[Look], micros: int) -> Verdict:
    """All or none. Of several refusing rules the one that refuses longest; else the one with the least left."""
    ticks = [rule.tick for rule in rules]
    refused = [index for index, one in enumerate(looks) if not one.allowed]
    if refused:
        chosen = max(refused, key=lambda index: looks[index].retry * ticks[index])
    else:
        chosen = min(range(len(looks)), key=lambda index: looks[index].remaining)
    left = [part for one, tick in zip(looks, ticks, strict=True) for part in (one.remaining, one.reset * tick)]
    return Verdict(not refused, chosen, looks[chosen].retry * ticks[chosen], micros, left)


def kept(rule: Counted, one: Look) -> int:
    """Milliseconds for which a counter must live."""
    return math.ceil(one.reset * rule.tick / 1000) + 1
