"""What a worker tells of its upstreams' targets, and of the services that policies ask."""

from __future__ import annotations

from typing import Any

from gateway.live.swap import LiveSnapshot
from gateway.relay.outside import Outside
from gateway.relay.pool import HttpUpstream


def dependencies(outside: Outside, worker: int) -> list[dict[str, Any]]:
    """Of the services that policies asked so far."""
    return [{**state, "worker": worker} for state in outside.dependencies.states()]


def states(live: LiveSnapshot | None, worker: int) -> list[dict[str, Any]]:
    """Of the targets whose health, ejection or circuit is watched."""
    told = []
    for version in live.versions.values() if live is not None else ():
        names = {"component": version.spec.component, "version": version.spec.version, "worker": worker}
        for backend, connection in version.connections.items():
            if isinstance(connection, HttpUpstream):
                told += [{**names, "backend": backend, **state} for state in connection.states()]
    return told
