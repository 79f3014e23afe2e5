"""What the limits have in common: counting before the backend is asked, refusing, giving back, and telling.

Limits that stand side by side, count the same subject and close alike are decided together: one call of the store
takes all of them or none (DESIGN 5). Each keeps its own counter, so that it makes no difference to what is counted.
Replies tell of all limits that decided on them in one pair of fields (draft-ietf-httpapi-ratelimit-headers): every
rule is a member of both lists.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.core.errors import StoreUnavailable, TooManyRequests
from gateway.core.exchange import After, Exchange, Reply, Step, StepResult, Wait
from gateway.core.headers import line
from gateway.core.kinds import Built
from gateway.policy.limits.costs import PerRequest
from gateway.policy.limits.subjects import Subject
from gateway.policy.limits.told import Told, restored
from gateway.store.counters import Costs, Counter, Counters, Limit, Verdict

OnStoreLoss = Literal["open", "closed"]
LOSS: Final = "closed: 503 while nobody can count"
FIELDS: Final = "RateLimit and RateLimit-Policy on replies"


@dataclass(frozen=True, eq=False)
class Limiting:
    """What one step counts, and how it is decided beside others (`core.kinds.Fusible`). `cost` is a constant, or tells
    it for each request; `charge` what a reply says that it was."""

    name: str
    rules: tuple[Told, ...]
    key: Hashable
    subject: Subject
    counters: Counters
    closed: bool
    shown: bool
    step: str
    cost: int | PerRequest = 1
    charge: Callable[[Reply], int | None] | None = None

    @property
    def limit(self) -> Limit:
        cost = self.cost if isinstance(self.cost, int) else 1
        return Limit(self.name, tuple(each.rule for each in self.rules), cost)

    def fuse(self, others: Sequence[object]) -> Built:
        return _Group((self, *(each for each in others if isinstance(each, Limiting)))).built()

    def built(self) -> Built:
        return self.fuse(())


class _Taken:
    """What one group of limits took of an exchange; `before` was taken by one that stands earlier. `costs` None: what
    the limits cost by themselves."""

    __slots__ = ("announced", "before", "costs", "group", "subject", "verdict")

    def __init__(self, group: _Group, subject: str, costs: Costs | None, before: _Taken | None) -> None:
        self.group = group
        self.subject = subject
        self.costs = costs
        self.before = before
        self.verdict: Verdict | None = None
        self.announced = False


_TAKEN: Final = object()  # the note of the latest `_Taken`


class _Group:
    """Limits that one step decides together; mostly one."""

    def __init__(self, limits: tuple[Limiting, ...]) -> None:
        self.limits = limits
        self.rules = [(index, each) for index, limit in enumerate(limits) for each in limit.rules]
        self.shown = [limits[index].shown for index, _ in self.rules]
        first = limits[0]
        self.closed, self.subject = first.closed, first.subject
        self.counter: Counter = first.counters.counter(tuple(limit.limit for limit in limits))
        self.usual = tuple(limit.limit.cost for limit in limits)
        self.template = self._template() if all(self.shown) else None
        self.paced = [(number, each.pace) for number, (_, each) in enumerate(self.rules) if each.pace is not None]

    def built(self) -> Built:
        return Built(step=self._step(), after=self._after(), fuses=self.limits[0] if len(self.limits) == 1 else None)

    def _template(self) -> bytes:
        """Both fields as a reply of these limits alone has them, but for the figures."""
        policies = b", ".join(each.policy for _, each in self.rules)
        lefts = b", ".join(each.name.replace(b"%", b"%%") + b";r=%d;t=%d" for _, each in self.rules)
        return line(b"RateLimit-Policy", policies).replace(b"%", b"%%") + b"\r\nRateLimit: " + lefts

    # on the way in

    def _step(self) -> Step:
        subject, take, decide = self.subject, self.counter.take, self._decide
        varying = any(not isinstance(limit.cost, int) for limit in self.limits)

        def count(exchange: Exchange) -> StepResult:
            whose = subject(exchange)  # kept: a later step may change who the caller is
            notes = exchange.notes
            costs = self._costs(exchange) if varying else None
            if notes is None:
                exchange.notes = {_TAKEN: _Taken(self, whose, costs, None)}
            else:
                notes[_TAKEN] = _Taken(self, whose, costs, notes.get(_TAKEN))
            wait = Wait(exchange, decide)
            take(whose, wait.deliver, costs)
            return wait

        return count

    def _costs(self, exchange: Exchange) -> Costs:
        return tuple(limit.cost if isinstance(limit.cost, int) else limit.cost(exchange) for limit in self.limits)

    def _decide(self, exchange: Exchange, verdict: Verdict | None) -> StepResult:
        if verdict is None:
            if self.closed:
                raise StoreUnavailable("The rate limit cannot be decided now.", headers=[(b"Retry-After", b"1")])
            return None
        assert exchange.notes is not None
        taken: _Taken = exchange.notes[_TAKEN]
        taken.verdict = verdict
        if not verdict.allowed:
            raise self._refusal(taken)
        exchange.on_refusal(self._give_back)
        return self._slow_down(exchange, verdict) if self.paced else None

    def _refusal(self, taken: _Taken) -> TooManyRequests:
        assert taken.verdict is not None
        after = max(1, math.ceil(taken.verdict.retry_after))
        fields = [(b"Retry-After", b"%d" % after), *_fields(taken, given=True)]
        taken.announced = True
        which, rule = self.rules[taken.verdict.rule]
        detail = f"The limit {rule.text} is used up. Try again in {after} s."
        return TooManyRequests(detail, headers=fields, limit=self.limits[which].step)

    def _slow_down(self, exchange: Exchange, verdict: Verdict) -> StepResult:
        """Until its turn: the bucket holds this call and those that wait before it."""
        micros = max(verdict.left[2 * number + 1] - pace for number, pace in self.paced)
        if micros <= 0:
            return None
        wait = Wait(exchange, _goes_on)
        timer = asyncio.get_running_loop().call_later(micros / 1e6, wait.deliver, None)
        exchange.on_close(lambda _exchange: timer.cancel())
        return wait

    def _give_back(self, exchange: Exchange) -> None:
        taken = self._own(exchange)
        if taken is not None and taken.verdict is not None:
            self.counter.give(taken.subject, taken.verdict.at, taken.costs)

    def _own(self, exchange: Exchange) -> _Taken | None:
        taken: _Taken | None = exchange.notes.get(_TAKEN) if exchange.notes else None
        while taken is not None and taken.group is not self:
            taken = taken.before
        return taken

    # on the way out

    def _after(self) -> After | None:
        announce = _announce if any(self.shown) else None
        if all(limit.charge is None for limit in self.limits):
            return announce

        def settle(exchange: Exchange, reply: Reply) -> None:
            self._settle(exchange, reply)
            if announce is not None:
                announce(exchange, reply)

        return settle

    def _settle(self, exchange: Exchange, reply: Reply) -> None:
        """What the reply says beyond what was taken is charged, what it says less is given back."""
        taken = self._own(exchange)
        if taken is None or taken.verdict is None or exchange.undo is None:
            return
        worth = [limit.charge(reply) if limit.charge is not None else None for limit in self.limits]
        costs = taken.costs or self.usual
        differences = [0 if units is None else units - cost for units, cost in zip(worth, costs, strict=True)]
        if any(difference > 0 for difference in differences):
            self.counter.charge(taken.subject, tuple(max(0, each) for each in differences))
        if any(difference < 0 for difference in differences):
            self.counter.give(taken.subject, taken.verdict.at, tuple(max(0, -each) for each in differences))

    def members(self, taken: _Taken, given: bool) -> Iterator[tuple[bytes, bytes]]:
        """Of both fields, for each rule that is told."""
        verdict = taken.verdict
        if verdict is None:
            return
        back = (taken.costs or self.usual) if given and verdict.allowed else None
        for number, (limit, each) in enumerate(self.rules):
            if self.shown[number]:
                remaining, reset = verdict.left[2 * number : 2 * number + 2]
                if back is not None:
                    remaining, reset = restored(each.rule, remaining, reset, back[limit])
                yield each.policy, b"%b;r=%d;t=%d" % (each.name, remaining, -(-reset // 1_000_000))


def _goes_on(_exchange: Exchange, _value: object) -> None:
    """Its turn has come."""


def _fields(taken: _Taken, given: bool) -> list[tuple[bytes, bytes]]:
    """The pair of fields; none where nothing is told."""
    members: list[tuple[bytes, bytes]] = []
    latest: _Taken | None = taken
    while latest is not None:
        members[:0] = latest.group.members(latest, given)
        latest = latest.before
    if not members:
        return []
    policies, lefts = zip(*members, strict=True)
    return [(b"RateLimit-Policy", b", ".join(policies)), (b"RateLimit", b", ".join(lefts))]


def _announce(exchange: Exchange, reply: Reply) -> None:
    """Once for all limits of an exchange, by the latest that decided; nothing when the store was away. Limits that gave
    back what they took (`undo` is gone) tell what is left now."""
    taken: _Taken | None = exchange.notes.get(_TAKEN) if exchange.notes else None
    if taken is None or taken.announced:
        return
    taken.announced = True
    template, verdict = taken.group.template, taken.verdict
    if template is not None and taken.before is None and verdict is not None and exchange.undo is not None:
        figures = verdict.left  # the usual case: limits of one step
        if len(figures) == 2:
            reply.block += template % (figures[0], -(-figures[1] // 1_000_000))
        else:
            reply.block += template % tuple([-(-one // 1_000_000) if at & 1 else one for at, one in enumerate(figures)])
        return
    for field, value in _fields(taken, exchange.undo is None):
        reply.block += line(field, value)
