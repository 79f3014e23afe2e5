"""Exact counters on a cluster: each subject's on the primary that has it."""

from __future__ import annotations

from gateway.store.client import Script
from gateway.store.cluster_line import ClusterLine
from gateway.store.counters import Counter, Deliver, Keyed, Rule
from gateway.store.hot import Answer
from gateway.store.redis_counters import GIVE, TAKE, counter_key, decided, framed, ignore


class ClusterCounters(ClusterLine):
    """`timeout`: seconds after which a call has failed."""

    def __init__(self, url: str, prefix: str = "penstock", timeout: float = 0.1) -> None:
        super().__init__(url, timeout)
        self._prefix = prefix

    def counter(self, prefix: str, rules: tuple[Rule, ...], cost: int) -> Counter:
        return Keyed(self, prefix, rules, cost)

    def take(self, key: str, rules: tuple[Rule, ...], cost: int, deliver: Deliver) -> None:
        self._count(TAKE, key, rules, cost, decided(deliver))

    def give(self, key: str, rules: tuple[Rule, ...], cost: int) -> None:
        self._count(GIVE, key, rules, cost, ignore)

    def _count(self, script: Script, key: str, rules: tuple[Rule, ...], cost: int, answer: Answer) -> None:
        name = counter_key(self._prefix, key)
        self.call(name, framed(script, name, rules, cost), answer, script)
