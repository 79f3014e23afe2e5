"""Runtimes as processes of their own: started as people start them, ended, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.server.nodes import HERE, ROOT, WAIT, until

TOKEN = "planted-runtime-token-0123456789abcdef"


class FarRuntime:
    """`penstock runtime` with the processes of these tests; `place` is what it listens on once it is started."""

    def __init__(
        self, folder: Path, name: str, listen: str, package: str = "node_processes", **environment: str
    ) -> None:
        self.name = name
        self.listen = listen
        self.log = folder / f"{name}.log"
        self.output = folder / f"{name}.out"
        self.environment = {"NODE_FILES": str(folder / "files"), "PENSTOCK_RUNTIME_TOKEN": TOKEN, **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> Self:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        environment |= {"PYTHONPATH": f"{ROOT}:{HERE}", "PYTHONUNBUFFERED": "1", "COLUMNS": "400", **self.environment}
        command = ["runtime", "--processes", "node_processes", "--listen", self.listen, "--name", self.name, *options]
        with self.log.open("ab") as log, self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli.main", *command], stdout=output, stderr=log, env=environment
            )
        until(lambda: "hosts" in self.said or not self.runs, f"the runtime {self.name} listens")
        assert self.runs, self.log.read_text()[-3000:]
        return self

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def place(self) -> str:
        return self.said.split("\n")[0].split()[1]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def again(self) -> Self:
        """In the same place."""
        address = self.place
        self.listen = " ".join((address, *self.listen.split()[1:]))
        return self.start()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(WAIT)

    def close(self) -> None:
        if self.runs:
            self.kill()
