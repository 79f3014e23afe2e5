"""Gateways on Node: fast-gateway as a bare proxy, Express Gateway with a key and a limit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx2

from benchmarks import servers
from benchmarks.messages import KEY
from benchmarks.peers.peer import ACT, LOAD, Peer, Running, Site, cache, program

EXPRESS = "require('express-gateway')().load(process.argv[1]).run()"


def _modules() -> Path:
    return cache() / "node" / "node_modules"


def _missing(name: str) -> str:
    found = program("node") and (_modules() / name).exists()
    return "" if found else f"{name} is not installed (benchmarks/install_peers node)"


def _version(name: str) -> str:
    return str(json.loads((_modules() / name / "package.json").read_text())["version"])


@contextmanager
def _run(site: Site, name: str, port: int, *arguments: str) -> Iterator[Running]:
    with servers.running(
        [program("node") or "node", *arguments],
        partial(servers.accepts, port),
        site.folder / f"{name}.out",
        core=ACT,
        variables={"NODE_PATH": str(_modules()), "NODE_ENV": "production", "LOG_LEVEL": "error"},
        folder=site.folder,
    ) as process:
        yield Running.of(port, process)


@contextmanager
def _fast_gateway(site: Site) -> Iterator[Running]:
    port = servers.free_port()
    with _run(site, "fast-gateway", port, str(site.write("fast_gateway.js", "fast_gateway.js", port=port))) as running:
        yield running


@contextmanager
def _express_gateway(site: Site) -> Iterator[Running]:
    port, admin = servers.free_port(), servers.free_port()
    shutil.copytree(_modules() / "express-gateway" / "lib" / "config" / "models", site.folder / "models")
    with servers.store(site.folder, core=LOAD) as store:
        for name in ("gateway.config.yml", "system.config.yml"):
            site.write(f"express_gateway/{name}", name, port=port, admin=admin, store=store)
        with _run(site, "express-gateway", port, "-e", EXPRESS, str(site.folder)) as running:
            _give_key(admin)
            yield running


def _give_key(admin: int) -> None:
    """A user with the load's key, whose two halves a colon parts."""
    id, secret = KEY.split(":")
    credential = {"keyId": id, "keySecret": secret}
    with httpx2.Client(base_url=f"http://127.0.0.1:{admin}") as client:
        user = {"username": "load", "firstname": "Load", "lastname": "Load"}
        client.post("/users", json=user).raise_for_status()
        body = {"consumerId": "load", "type": "key-auth", "credential": credential}
        client.post("/credentials", json=body).raise_for_status()


FAST_GATEWAY = Peer(
    "fast-gateway", "proxy only", partial(_missing, "fast-gateway"), partial(_version, "fast-gateway"), _fast_gateway
)
EXPRESS_GATEWAY = Peer(
    "express-gateway",
    "key, exact limit",
    partial(_missing, "express-gateway"),
    partial(_version, "express-gateway"),
    _express_gateway,
)
