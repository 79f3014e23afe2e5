"""The seam of exact counters: limits decided by one script call per subject, exact over workers and nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Rule:
    """`limit` units in `window` seconds. gcra: evenly, with bursts of up to `burst` (default: `limit`);
    fixed: windows that start at whole multiples of `window` since 1970."""

    algorithm: Literal["gcra", "fixed"]
    limit: int
    window: float
    burst: int | None = None


class Verdict(NamedTuple):
    """All rules or none: a refusal consumes nothing. Times are seconds from now; `rule` is the index of the
    rule that refused, or of the one with the least left."""

    allowed: bool
    remaining: int
    retry_after: float
    reset: float
    rule: int = 0


Deliver = Callable[[Verdict | None], None]  # None: the store could not decide


class Counter(Protocol):
    """One limit's counters, one for each subject: what a step holds, with all of the work done that no request
    changes."""

    def take(self, subject: str, deliver: Deliver) -> None: ...

    def give(self, subject: str) -> None: ...


class Counters(Protocol):
    def counter(self, prefix: str, rules: tuple[Rule, ...], cost: int) -> Counter:
        """The counters whose keys are `prefix` and a subject."""
        ...

    def take(self, key: str, rules: tuple[Rule, ...], cost: int, deliver: Deliver) -> None:
        """Decides and counts in one step; `deliver` is called once, on the loop's thread, perhaps at once.
        `key` is a counter's identity (DESIGN 5); keys of one subject share a hash slot, others spread."""
        ...

    def give(self, key: str, rules: tuple[Rule, ...], cost: int) -> None:
        """Gives back what a later step refused; best effort."""
        ...


class Keyed:
    """A `Counter` over any counters."""

    def __init__(self, counters: Counters, prefix: str, rules: tuple[Rule, ...], cost: int) -> None:
        self._counters = counters
        self._prefix = prefix
        self._rules = rules
        self._cost = cost

    def take(self, subject: str, deliver: Deliver) -> None:
        self._counters.take(self._prefix + subject, self._rules, self._cost, deliver)

    def give(self, subject: str) -> None:
        self._counters.give(self._prefix + subject, self._rules, self._cost)
