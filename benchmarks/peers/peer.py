"""What a peer is: how it is found, started, told apart."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine, messages

CONF = Path(__file__).resolve().parent.parent / "conf"
ACT, LOAD = 0, 1  # the gateway's core; the core of load, upstream and store


def cache() -> Path:
    """Where `benchmarks/install_peers` puts what no distribution packages."""
    chosen = os.environ.get("PENSTOCK_PEERS")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "penstock-peers"


def program(name: str, *places: Path) -> str | None:
    """The path of a program: in one of these folders, or on PATH."""
    for place in (*places, cache() / "bin"):
        if os.access(place / name, os.X_OK):
            return str(place / name)
    return shutil.which(name)


@dataclass(frozen=True)
class Site:
    """Where a peer is started: a folder of its own, the upstream's port, files with the keys and the limit's script."""

    folder: Path
    upstream: int
    tls: bool = False

    def write(self, conf: str, as_name: str, **values: object) -> Path:
        """A file of `conf/` with its `{{names}}` filled in."""
        known = {"folder": self.folder, "upstream": self.upstream, **values}
        text = (CONF / conf).read_text()
        filled = re.sub(r"\{\{(\w+)\}\}", lambda match: str(known[match[1]]), text)
        path = self.folder / as_name
        path.write_text(filled)
        return path

    def keys(self) -> Path:
        """Ten thousand keys, a line each; the one that the load sends is among them."""
        path = self.folder / "keys"
        path.write_text("".join(f"{key}\n" for key in messages.key_list(10_000)))
        return path


@dataclass
class Running:
    """A started gateway. `workers` are the processes whose time is a request's cost; `beside` serves no requests."""

    port: int
    workers: list[int]
    beside: list[int] = field(default_factory=list)
    admin: tuple[str, str] | None = None  # URL and token of Penstock's admin REST
    tls_port: int = 0

    @classmethod
    def of(cls, port: int, process: subprocess.Popen[bytes], tls_port: int = 0) -> Running:
        """All processes of it are workers."""
        return cls(port, machine.tree(process.pid), tls_port=tls_port)


@dataclass(frozen=True)
class Peer:
    """`does` is what it does for a request; `missing` tells what to install, or is empty."""

    name: str
    does: str
    missing: Callable[[], str]
    version: Callable[[], str]
    run: Callable[[Site], AbstractContextManager[Running]]


def told(command: list[str], pattern: str) -> str:
    """A version that a program tells on either of its outputs."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(pattern, done.stdout + done.stderr)
    return match[1] if match else "unknown"
