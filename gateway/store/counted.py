"""The words of the counters' arithmetic: a rule in ticks, what is stored of it, and a judgement."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["g", "f", "m", "s"]
EXACT: Final = 2**52
SLOTS: Final = 60  # into which a sliding window is cut
WEEK_SHIFT: Final = 4 * 86_400 * 10**6  # microseconds from a Sunday to the Thursday that 1970 began with


class Counted(NamedTuple):
    """A rule in ticks of `tick` microseconds; `field` is where its state lives in its counter. `own` is what only its
    algorithm needs: gcra the room of its bucket, in parts of which `window` make a unit; fixed by how much its windows
    are shifted; sliding the length of a slot. `window` of a month is a day."""

    kind: Kind
    window: int
    limit: int
    own: int
    tick: int
    field: str


class State(NamedTuple):
    """gcra: `level` at tick `since`. Windows: `level` counted in window number `since`; sliding: in slot `since`."""

    level: int
    since: int


States = tuple[State, ...]  # at most one, but for sliding: oldest first


class Look(NamedTuple):
    """One rule's judgement, and the states to store when all rules admit; times in ticks from now."""

    allowed: bool
    states: States
    remaining: int
    retry: int
    reset: int
