"""Gateways on Node: fast-gateway as a bare proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import servers
from benchmarks.peers.peer import ACT, Peer, Running, Site, cache, program


def _modules() -> Path:
    return cache() / "node" / "node_modules"


def _missing() -> str:
    found = program("node") and (_modules() / "fast-gateway").exists()
    return "" if found else "fast-gateway is not installed (benchmarks/install_peers node)"


def _version() -> str:
    return str(json.loads((_modules() / "fast-gateway" / "package.json").read_text())["version"])


@contextmanager
def _run(site: Site) -> Iterator[Running]:
    port = servers.free_port()
    path = site.write("fast_gateway.js", "fast_gateway.js", port=port)
    with servers.running(
        [program("node") or "node", str(path)],
        partial(servers.accepts, port),
        site.folder / "fast-gateway.out",
        core=ACT,
        variables={"NODE_PATH": str(_modules()), "NODE_ENV": "production"},
    ) as process:
        yield Running.of(port, process)


FAST_GATEWAY = Peer("fast-gateway", "proxy only", _missing, _version, _run)
