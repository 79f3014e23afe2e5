"""What a worker tells of its upstreams' targets."""

from __future__ import annotations

from typing import Any

from gateway.live.swap import LiveSnapshot
from gateway.relay.pool import HttpUpstream


def states(live: LiveSnapshot | None, worker: int) -> list[dict[str, Any]]:
    """Of the targets whose health, ejection or circuit is watched."""
    told = []
    for version in live.versions.values() if live is not None else ():
        names = {"component": version.spec.component, "version": version.spec.version, "worker": worker}
        for backend, connection in version.connections.items():
            if isinstance(connection, HttpUpstream):
                told += [{**names, "backend": backend, **state} for state in connection.states()]
    return told
