"""Exact counters on a cluster: each subject's on the primary that has it."""

from __future__ import annotations

from gateway.store.client import Script
from gateway.store.cluster_line import ClusterLine
from gateway.store.counters import Counter, Limit
from gateway.store.hot import Answer
from gateway.store.leases import Leases
from gateway.store.redis_counters import PackedCounter
from gateway.store.redis_leases import RedisLeases


class ClusterCounters(ClusterLine):
    """`timeout`: seconds after which a call has failed."""

    def __init__(self, url: str, prefix: str = "penstock", timeout: float = 0.1) -> None:
        super().__init__(url, timeout)
        self._prefix = prefix
        self._leases = RedisLeases(self._send, prefix)

    @property
    def leases(self) -> Leases:
        return self._leases

    def counter(self, limits: tuple[Limit, ...]) -> Counter:
        return PackedCounter(self._send, self._prefix, limits)

    def _send(self, command: bytes, answer: Answer, script: Script, key: bytes) -> None:
        self.call(key, command, answer, script)

    async def close(self) -> None:
        self._leases.close()
        await super().close()
