"""Processes that a benchmark starts, waits for, and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from gateway.store.embedded import find_binary

PATIENCE = 30.0  # seconds until a server that does not answer is given up


class NotStarted(Exception):
    """A server ended or stayed silent; the text has the last lines that it said."""


def pinned(core: int | None, command: Sequence[str]) -> list[str]:
    """The command on one core; None, or a machine with one core: anywhere."""
    cores = os.cpu_count() or 1
    return list(command) if core is None or cores == 1 else ["taskset", "-c", str(core % cores), *command]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


@contextlib.contextmanager
def running(
    command: Sequence[str],
    ready: Callable[[], bool],
    log: Path,
    *,
    core: int | None = None,
    variables: Mapping[str, str] | None = None,
    folder: Path | None = None,
    patience: float = PATIENCE,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process until the block ends, once `ready` says so. NotStarted with what it wrote to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(core, command),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**_environ(), **(variables or {})},
            cwd=folder,
        )
    try:
        _wait(process, ready, log, patience)
        yield process
    finally:
        end(process)


def _environ() -> dict[str, str]:
    """Ours, without what would send requests to another proxy."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path, patience: float) -> None:
    until = time.monotonic() + patience
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            told = log.read_text(errors="replace").splitlines()[-5:]
            raise NotStarted("\n".join([f"{log.stem} does not serve", *told]))
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends it, by force after ten seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)


@contextlib.contextmanager
def store(folder: Path, core: int | None = None) -> Iterator[Path]:
    """The socket of a store server of our own, with nothing kept on disk."""
    with store_process(folder, core) as (path, _pid):
        yield path


@contextlib.contextmanager
def store_process(folder: Path, core: int | None = None) -> Iterator[tuple[Path, int]]:
    """Its process beside it."""
    path = folder / "store.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with running([str(find_binary()), *options], lambda: _answers(path), folder / "store.log", core=core) as process:
        yield path, process.pid


def _answers(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(0.5)
        asked.connect(str(path))
        asked.sendall(b"PING\r\n")
        return asked.recv(16).startswith(b"+PONG")
    return False
