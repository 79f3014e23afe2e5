"""One started node for all end-to-end tests: the first test process that needs it starts it, the last one ends it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from tests.e2e.gateway_client import Node

ROOT = Path(__file__).resolve().parent.parent.parent
_started: dict[int, subprocess.Popen[bytes]] = {}  # what this process started


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """The file of the processes that use the node, held alone."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder / "users.json"


def _start(folder: Path, parent: int) -> dict[str, object]:
    run = folder / f"run-{os.getpid()}-{time.monotonic_ns()}"
    run.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (run / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.node", str(run), str(parent)],
            cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    _started[process.pid] = process
    deadline = time.monotonic() + 60
    while not (run / "ready.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"the node did not start:\n{(run / 'log').read_text()}")
        time.sleep(0.02)
    return {**json.loads((run / "ready.json").read_text()), "pid": process.pid, "log": str(run / "log")}


def _end(pid: int) -> None:
    """SIGTERM, and waits until it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 40
    while _runs(pid):
        assert time.monotonic() < deadline, "the node does not end"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    """A process that another one started stays as a zombie until that one looks."""
    if pid in _started:
        return _started[pid].poll() is None
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Node]:
    base = tmp_path_factory.getbasetemp()
    alone = worker_id == "master"
    folder = (base if alone else base.parent) / "e2e-node"
    with _locked(folder) as users:
        told = json.loads(users.read_text()) if users.exists() else None
        if told is None:
            told = {**_start(folder, os.getpid() if alone else os.getppid()), "users": 0}
        told["users"] += 1
        users.write_text(json.dumps(told))
    with httpx2.Client(timeout=30) as client:
        yield Node(client, told["url"], told["admin"], told["token"], Path(told["database"]))
    with _locked(folder) as users:
        told = json.loads(users.read_text())
        told["users"] -= 1
        users.write_text(json.dumps(told))
        if not told["users"]:
            users.unlink()
            _end(told["pid"])


@pytest.fixture(scope="session")
def key(node: Node) -> str:
    """A key of the shop with a plan that no test exhausts."""
    return node.key("shop")
