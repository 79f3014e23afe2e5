"""What a worker tells of its upstreams' targets, and of the services that policies ask. What was counted at a target
outlives the upstream, which publishing replaces."""

from __future__ import annotations

from typing import Any, Final

from gateway.live.swap import LiveSnapshot
from gateway.relay.outside import Outside
from gateway.relay.pool import HttpUpstream
from gateway.relay.rotation import COUNTED

MOST: Final = 1000  # targets that are told apart; names whose addresses come and go make ever more
OTHER: Final = "other"
Key = tuple[str, str, str, str]  # component, version, backend, target


def dependencies(outside: Outside, worker: int) -> list[dict[str, Any]]:
    """Of the services that policies asked so far."""
    return [{**state, "worker": worker} for state in outside.dependencies.states()]


class Targets:
    """Of one worker."""

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._sums: dict[Key, dict[str, Any]] = {}
        self._seen: dict[object, dict[str, Any]] = {}  # what each target that runs had counted when it was last told

    def told(self, live: LiveSnapshot | None) -> list[dict[str, Any]]:
        """JSON-ready: each target that runs, with what was counted there; then those that are gone, without what was
        seen of them."""
        now: dict[object, dict[str, Any]] = {}
        told: dict[Key, dict[str, Any]] = {}
        for version in live.versions.values() if live is not None else ():
            for backend, connection in version.connections.items():
                if isinstance(connection, HttpUpstream):
                    for state, entry in connection.identified():
                        key = (version.spec.component, version.spec.version, backend, str(entry["target"]))
                        now[state] = {name: entry[name] for name in COUNTED}
                        self._count(key, now[state], self._seen.get(state))
                        told[key] = entry
        self._seen = now
        return [self._entry(key, sums, told.get(key)) for key, sums in self._sums.items()]

    def _count(self, key: Key, counted: dict[str, Any], before: dict[str, Any] | None) -> None:
        if key not in self._sums and len(self._sums) >= MOST:
            key = (*key[:3], OTHER)
        sums = self._sums.setdefault(key, {})
        for name, value in counted.items():
            sums[name] = _grown(sums.get(name), value, None if before is None else before[name])

    def _entry(self, key: Key, sums: dict[str, Any], seen: dict[str, Any] | None) -> dict[str, Any]:
        component, version, backend, target = key
        named = {"component": component, "version": version, "backend": backend, "target": target}
        how = {"ended": True} if seen is None else {**seen, "worker": self._worker}
        return {**how, **named, **sums}


def _grown(sum_: Any, value: Any, before: Any) -> Any:
    if isinstance(value, list):
        sums, olds = sum_ or [0] * len(value), before or [0] * len(value)
        return [one + new - old for one, new, old in zip(sums, value, olds, strict=True)]
    return (sum_ or 0) + value - (before or 0)
