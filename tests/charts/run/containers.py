"""Containers by runc, the program that runs them in a cluster, too. None of them outlives the run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.charts.run.rendered import Object

STATES: Final = Path("/run")


class Runc:
    """The runtime of one run; its state stands in /run under the run's name, so that another run can clear it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = STATES / f"penstock-{name}"
        self.root.mkdir(mode=0o700)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["runc", "--root", str(self.root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)


class Container:
    """A started one: PID 1 of its own. `ended` is set when it has ended; `code` is its exit code then."""

    def __init__(self, runc: Runc, name: str, folder: Path, config: Object, log: Path) -> None:
        self.name, self._runc = name, runc
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "config.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        self.ended = threading.Event()
        self.code: int | None = None
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                ["runc", "--root", str(runc.root), "run", "--bundle", str(folder), name],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        self.code = self._process.wait()
        self.ended.set()

    def kill(self, signal: str) -> None:
        self._runc.call("kill", self.name, signal)

    def pid(self) -> int:
        """Of its PID 1, as this machine counts."""
        return int(json.loads(self._runc.call("state", self.name).stdout)["pid"])

    def execute(self, command: Sequence[str], timeout: float) -> tuple[int, str]:
        """Exit code and output of a program in it, as its own user; 124 when the time is over."""
        arguments = ["runc", "--root", str(self._runc.root), "exec", self.name, *command]
        try:
            done = subprocess.run(
                arguments, capture_output=True, text=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            return 124, f"not done after {timeout:g} s"
        return done.returncode, done.stdout + done.stderr

    def remove(self) -> None:
        self._runc.call("delete", "--force", self.name)


def clear(root: Path) -> None:
    """Ends every container of a runtime's state, and removes that."""
    for each in sorted(root.iterdir()) if root.exists() else ():
        subprocess.run(["runc", "--root", str(root), "delete", "--force", each.name], capture_output=True, check=False)
    shutil.rmtree(root, ignore_errors=True)


def usable() -> str:
    """Why no container can be run here; empty: they can."""
    if os.geteuid():
        return "needs root, for network namespaces"
    missing = [name for name in ("ip", "nft", "runc") if shutil.which(name) is None]
    if missing:
        return f"needs {', '.join(missing)}: apt-get install iproute2 nftables runc"
    return ""
