"""The in-memory twin of the counters: one process's, by its clock. Nothing outlives its usefulness."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.core.clock import Clock, SystemClock
from gateway.store.counted import Counted, Look, States
from gateway.store.counters import Costs, Counter, Deliver, Limit, Verdict
from gateway.store.leases import Leases, MemoryLeases
from gateway.store.limits import compile_rules, given, kept, look, mended, verdict

_SWEEP_EVERY: Final = 10_000  # takes
Key = tuple[str, str]  # subject, limit


class MemoryCounters:
    """Delivers at once."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._states: dict[Key, dict[str, States]] = {}
        self._ends: dict[Key, int] = {}  # microseconds since 1970
        self._takes = 0
        self._leases = MemoryLeases()

    @property
    def leases(self) -> Leases:
        return self._leases

    def counter(self, limits: tuple[Limit, ...]) -> Counter:
        return MemoryCounter(self, limits)

    def now(self) -> int:
        return round(self._clock.time() * 1e6)

    def at(self, key: Key, micros: int) -> dict[str, States]:
        if self._ends.get(key, 0) < micros:
            self.forget(key)
        return self._states.get(key, {})

    def write(self, key: Key, field: str, states: States, end: int | None = None) -> None:
        """`end`: until when the counter must live at least."""
        if end is not None:
            self._ends[key] = max(self._ends.get(key, 0), end)
        self._states.setdefault(key, {})[field] = states

    def sweep(self, micros: int) -> None:
        self._takes += 1
        if self._takes % _SWEEP_EVERY == 0:
            for key in [key for key, end in self._ends.items() if end < micros]:
                self.forget(key)

    def forget(self, key: Key) -> None:
        self._states.pop(key, None)
        self._ends.pop(key, None)

    async def close(self) -> None:
        self._states.clear()
        self._ends.clear()


class MemoryCounter:
    def __init__(self, counters: MemoryCounters, limits: tuple[Limit, ...]) -> None:
        self._counters = counters
        self._costs = tuple(limit.cost for limit in limits)
        self._rules = [(limit.name, rule, index) for index, limit in enumerate(limits) for rule in _compiled(limit)]

    def take(self, subject: str, deliver: Deliver, costs: Costs | None = None) -> None:
        deliver(self._count(subject, costs, forced=False))

    def charge(self, subject: str, costs: Costs) -> None:
        self._count(subject, costs, forced=True)

    def _count(self, subject: str, costs: Costs | None, forced: bool) -> Verdict:
        micros = self._counters.now()
        costs = self._costs if costs is None else costs
        states = [self._states(subject, name, rule, micros) for name, rule, _ in self._rules]
        looks = [
            look(rule, state, costs[index], micros, forced)
            for (_, rule, index), state in zip(self._rules, states, strict=True)
        ]
        if forced or all(one.allowed for one in looks):
            self._write(subject, looks, micros)
        else:
            self._mend(subject, micros)
            looks = self._untouched(looks, states, micros)
        self._counters.sweep(micros)
        return verdict([rule for _, rule, _ in self._rules], looks, micros)

    def _untouched(self, looks: list[Look], states: list[States], micros: int) -> list[Look]:
        """What a rule tells that would have admitted, as another one refused: it lost nothing."""
        return [
            look(rule, state, 0, micros) if one.allowed else one
            for one, state, (_, rule, _) in zip(looks, states, self._rules, strict=True)
        ]

    def _states(self, subject: str, name: str, rule: Counted, micros: int) -> States:
        return self._counters.at((subject, name), micros).get(rule.field, ())

    def _write(self, subject: str, looks: Iterable[Look], micros: int) -> None:
        for (name, rule, _), one in zip(self._rules, looks, strict=True):
            self._counters.write((subject, name), rule.field, one.states, micros + kept(rule, one) * 1000)

    def _mend(self, subject: str, micros: int) -> None:
        for name, rule, _ in self._rules:
            if states := self._states(subject, name, rule, micros):
                self._counters.write((subject, name), rule.field, mended(rule, states, micros))

    def give(self, subject: str, at: int, costs: Costs | None = None) -> None:
        micros = self._counters.now()
        costs = self._costs if costs is None else costs
        for name, rule, index in self._rules:
            if states := self._states(subject, name, rule, micros):
                self._counters.write((subject, name), rule.field, given(rule, states, costs[index], at, micros))


def _compiled(limit: Limit) -> tuple[Counted, ...]:
    """ValueError for a limit that cannot count."""
    if limit.cost < 0 or not limit.rules:
        raise ValueError("a counter needs rules and a cost of at least 0")
    return compile_rules(limit.rules)
