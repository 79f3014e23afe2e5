"""Penstock as it is started by users: `penstock serve` with one worker, access log and metrics on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import orjson

from benchmarks import certificate, machine, servers
from benchmarks.messages import key_list
from benchmarks.peers.peer import ACT, LOAD, Peer, Running, Site
from gateway import __version__
from gateway.consumers.records import key_id
from gateway.core.secrets import KeyHasher, Secret
from gateway.core.settings import Settings
from gateway.demo.database import make
from gateway.store.connect import open_store
from gateway.store.store import Write

MANIFESTS = Path(__file__).resolve().parent.parent / "manifests"
ROOT = MANIFESTS.parent.parent
SECRET = "the key secret of the benchmark, of no use elsewhere"
TOKEN = "pt_bench-0123456789abcdefghijklmnopqrstuvwxyz-ABCD"
PATIENCE = 120.0  # seconds that a node with a thousand versions may take to start
COMMIT = 5_000  # keys in one commit


def tls_missing() -> str:
    return "" if "listen" in Settings.model_fields else "this release has no TLS listeners"


def keys(count: int, apis: Sequence[str]) -> Iterator[Write]:
    """Applications with a subscription and a key each, spread over the APIs; the load's key opens the first one."""
    hasher = KeyHasher(Secret(SECRET))
    for number, key in enumerate(key_list(count)):
        application, api = f"application-{number}", apis[number % len(apis)]
        yield Write("applications", application, {})
        yield Write("subscriptions", f"{application}/{api}", {})
        digest = hasher.digest(key.encode())
        yield Write("keys", key_id(digest), {"digest": digest.hex(), "application": application, "api": api})


async def _put(url: str, writes: Iterable[Write]) -> None:
    store = open_store(url)
    try:
        batch: list[Write] = []
        for write in writes:
            batch.append(write)
            if len(batch) >= COMMIT:
                await store.commit(batch)
                batch = []
        await store.commit(batch)
    finally:
        await store.close()


def environment(site: Site) -> Path:
    make(site.folder / "shop.db")
    values = {"up": f"http://127.0.0.1:{site.upstream}", "db": f"sqlite+aiosqlite:///{site.folder / 'shop.db'}"}
    path = site.folder / "environment.json"
    path.write_bytes(orjson.dumps({"kind": "Environment", "values": values}))
    return path


def command(site: Site, manifests: Path, store: str | None, port: int = 0) -> list[str]:
    """`penstock serve`; without a store it starts its own."""
    parts = [sys.executable, "-m", "gateway.cli.main", "serve", "--manifests", str(manifests)]
    parts += ["--processes", "benchmarks.processes", "--environment", str(environment(site))]
    parts += ["--data", str(site.folder / "var"), "--port", str(port), "--admin-port", "0"]
    return [*parts, "--store", store] if store else parts


def variables(site: Site) -> dict[str, str]:
    found = {"PENSTOCK_ADMIN_TOKEN": TOKEN, "PENSTOCK_KEY_SECRET": SECRET, "PENSTOCK_LOG_LEVEL": "warning"}
    found |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    return found


def _tls(site: Site) -> tuple[int, dict[str, str]]:
    if not site.tls or tls_missing():
        return 0, {}
    chain, key = certificate.files(site.folder)
    port = servers.free_port()
    return port, {"PENSTOCK_LISTEN": f"127.0.0.1:{port} certificate={chain} key={key}"}


@contextmanager
def node(
    site: Site, manifests: Path = MANIFESTS, count: int = 10_000, apis: Sequence[str] = ("bench",)
) -> Iterator[Running]:
    """A node with so many keys. The worker alone is on the gateway's core."""
    port = servers.free_port()
    tls_port, more = _tls(site)
    log = site.folder / "penstock.out"
    with servers.store(site.folder, core=LOAD) as store:
        asyncio.run(_put(f"unix://{store}", keys(count, apis)))
        started = command(site, manifests, f"unix://{store}", port)
        with servers.running(
            started,
            partial(_ready, log),
            log,
            core=LOAD,
            variables={**variables(site), **more},
            folder=site.folder,
            patience=PATIENCE,
        ) as process:
            running = _told(site, port, process)
            running.tls_port = tls_port
            yield running


def _ready(log: Path) -> bool:
    """It says where its admin REST is, after all workers serve."""
    return any(line.startswith("admin") for line in log.read_text(errors="replace").splitlines())


def _told(site: Site, port: int, process: subprocess.Popen[bytes]) -> Running:
    context = orjson.loads((site.folder / "var" / "context.json").read_bytes())
    pids = machine.tree(process.pid)
    workers = [pid for pid in pids if b"gateway.server.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    for pid in workers:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {ACT % (os.cpu_count() or 1)})
    return Running(port, workers, [pid for pid in pids if pid not in workers], (context["url"], TOKEN))


PENSTOCK = Peer("penstock", "key, exact limit, access log, metrics", lambda: "", lambda: __version__, node)
