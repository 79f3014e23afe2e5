"""The seam of exact counters: limits decided by one script call per subject, exact over workers and nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from gateway.store.leases import Leases

Algorithm = Literal["gcra", "fixed", "sliding", "day", "week", "month"]
DAY: Final = 86_400.0
CALENDAR: Final = {"day": DAY, "week": 7 * DAY, "month": 31 * DAY}


@dataclass(frozen=True, slots=True)
class Rule:
    """`limit` units in `window` seconds. gcra: evenly, with bursts of up to `burst` (default: `limit`), and `slack`
    seconds that a caller may be made to wait instead of being refused; fixed: windows that start at whole multiples of
    `window` since 1970; sliding: in no span of `window` more than `limit`; day, week, month: windows of the calendar in
    UTC, the day and the week (from Sunday) at 00:00, the month on its first."""

    algorithm: Algorithm
    limit: int
    window: float = 0.0
    burst: int | None = None
    slack: float = 0.0

    @property
    def seconds(self) -> float:
        """The window; of a month its longest."""
        return CALENDAR.get(self.algorithm, self.window)


@dataclass(frozen=True, slots=True)
class Limit:
    """What one step counts: `name` identifies its counters, one set for each subject (DESIGN 5); `cost` is what a
    request takes of all its rules unless it says otherwise."""

    name: str
    rules: tuple[Rule, ...]
    cost: int = 1


class Verdict(NamedTuple):
    """All rules or none: a refusal consumes nothing. `rule` is the index, over all rules of all limits, of the one that
    refuses longest, or of the one with the least left; `retry` the microseconds from now until it would admit; `at`
    when it was decided, in microseconds since 1970 by the counters' clock; `left` holds for each rule what remains, and
    the microseconds until all of it is there again."""

    allowed: bool
    rule: int
    retry: int
    at: int
    left: Sequence[int]

    @property
    def remaining(self) -> int:
        return self.left[2 * self.rule]

    @property
    def retry_after(self) -> float:
        """In seconds."""
        return self.retry / 1e6

    @property
    def reset(self) -> float:
        """In seconds."""
        return self.left[2 * self.rule + 1] / 1e6


Deliver = Callable[[Verdict | None], None]  # None: the store could not decide
Costs = tuple[int, ...]  # one for each limit


class Counter(Protocol):
    """The counters of one limit, or of several that are decided together: what a step holds, with all of the work done
    that no request changes. `costs` None: the limits' own."""

    def take(self, subject: str, deliver: Deliver, costs: Costs | None = None) -> None:
        """Decides and counts in one step; `deliver` is called once, on the loop's thread, perhaps at once."""
        ...

    def give(self, subject: str, at: int, costs: Costs | None = None) -> None:
        """Gives back what was taken at that time, as a later step refused; best effort."""
        ...

    def charge(self, subject: str, costs: Costs) -> None:
        """Counts what was done already, over the limit, too; best effort."""
        ...


class Counters(Protocol):
    def counter(self, limits: tuple[Limit, ...]) -> Counter:
        """All counters of one subject share a hash slot, those of others spread."""
        ...

    @property
    def leases(self) -> Leases:
        """What is held at the same time, where counters are what is done in a time."""
        ...
