"""From `penstock serve` on an empty folder, with the embedded store, to the first request that is served."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path

from benchmarks import servers
from benchmarks.messages import OPEN
from benchmarks.peers.peer import Site
from benchmarks.peers.penstock import MANIFESTS, command, variables

LIMIT = 30.0


def served(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.settimeout(1)
        connection.sendall(OPEN.raw())
        return connection.recv(64).startswith(b"HTTP/1.1 200")
    return False


def cold(folder: Path, upstream: int) -> float:
    """Seconds. Not pinned: a node uses what cores there are."""
    site = Site(folder, upstream)
    port = servers.free_port()
    everywhere = ["taskset", "-c", f"0-{(os.cpu_count() or 1) - 1}"]
    started = [*everywhere, *command(site, MANIFESTS, None, port)]
    began = time.perf_counter()
    with (folder / "penstock.out").open("wb") as log:
        process = subprocess.Popen(started, env={**os.environ, **variables(site)}, stdout=log, stderr=log, cwd=folder)
    try:
        while not served(port):
            if process.poll() is not None or time.perf_counter() - began > LIMIT:
                raise servers.NotStarted((folder / "penstock.out").read_text(errors="replace")[-1000:])
            time.sleep(0.002)
        return time.perf_counter() - began
    finally:
        servers.end(process)
