"""The in-memory twin of the counters: one process's, by its clock. Nothing outlives its usefulness."""

from __future__ import annotations

from gateway.core.clock import Clock, SystemClock
from gateway.store.counters import Counter, Deliver, Keyed, Rule
from gateway.store.limits import Limit, State, compile_rules, given, look, mended, verdict

_SWEEP_EVERY = 10_000  # takes


class MemoryCounters:
    """Delivers at once."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._states: dict[str, dict[str, State]] = {}
        self._ends: dict[str, int] = {}
        self._takes = 0

    def counter(self, prefix: str, rules: tuple[Rule, ...], cost: int) -> Counter:
        return Keyed(self, prefix, rules, cost)

    def take(self, key: str, rules: tuple[Rule, ...], cost: int, deliver: Deliver) -> None:
        micros = self._now()
        limits = compile_rules(rules)
        states = self._at(key, micros)
        looks = [look(limit, states.get(limit.field), cost, micros) for limit in limits]
        if all(one.allowed for one in looks):
            self._states[key] = states
            for limit, one in zip(limits, looks, strict=True):
                states[limit.field] = one.state
                self._ends[key] = max(self._ends.get(key, 0), micros + one.keep * limit.tick)
        else:
            self._mend(states, limits, micros)
        self._sweep(micros)
        deliver(verdict(limits, looks))

    def _mend(self, states: dict[str, State], limits: tuple[Limit, ...], micros: int) -> None:
        for limit in limits:
            if (state := states.get(limit.field)) is not None:
                states[limit.field] = mended(limit, state, micros)

    def give(self, key: str, rules: tuple[Rule, ...], cost: int) -> None:
        micros = self._now()
        states = self._at(key, micros)
        for limit in compile_rules(rules):
            self._give_one(states, limit, cost, micros)

    def _give_one(self, states: dict[str, State], limit: Limit, cost: int, micros: int) -> None:
        state = states.get(limit.field)
        if state is not None:
            states[limit.field] = given(limit, state, cost, micros)

    def _at(self, key: str, micros: int) -> dict[str, State]:
        if self._ends.get(key, 0) < micros:
            self._forget(key)
        return self._states.get(key, {})

    def _sweep(self, micros: int) -> None:
        self._takes += 1
        if self._takes % _SWEEP_EVERY == 0:
            for key in [key for key, end in self._ends.items() if end < micros]:
                self._forget(key)

    def _forget(self, key: str) -> None:
        self._states.pop(key, None)
        self._ends.pop(key, None)

    def _now(self) -> int:
        return round(self._clock.time() * 1e6)

    async def close(self) -> None:
        self._states.clear()
        self._ends.clear()
