"""Types a page's commands into one shell, against a real node, as its reader would."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.docs import pages
from tests.docs.pages import Type, Write

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE: Final = 300.0  # seconds for a command, and for a node until it is ready
# What curl got is written to descriptor 9: its output is the reader's.
PRELUDE: Final = r"""
curl() { command curl --noproxy '*' --max-time 60 -w '%{stderr}\n@status %{http_code}\n' "$@"; }
"""


@dataclass(frozen=True)
class Told:
    """How a command ended, and all that it printed."""

    code: int
    printed: str

    @property
    def status(self) -> int | None:
        """Of its last curl."""
        found = [line for line in self.printed.splitlines() if line.startswith("@status ")]
        return int(found[-1].split()[1]) if found else None


class Reader:
    """Has a folder, a shell, and free ports where the page says 8080 and 8081. A context: at its end every node that
    the page started is ended, and must end well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = dict(zip(("8080", "8081"), _free(2), strict=True))
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._count = 0
        binaries = Path(sys.executable).parent
        given = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        self._environment = {
            **given,
            "PATH": f"{binaries}:{given['PATH']}",
            "HOME": str(folder),
            "CHECKOUT": str(ROOT),
            "PENSTOCK_PORT": self._ports["8080"],
            "PENSTOCK_ADMIN_PORT": self._ports["8081"],
        }
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], cwd=folder, env=self._environment,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._say(PRELUDE)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        try:
            self._shell.wait(10)
        except subprocess.TimeoutExpired:  # a command that hangs: the test has failed by it already
            os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.wait()
        for node in self._nodes:
            node.send_signal(signal.SIGTERM)
        ends = [node.wait(60) for node in self._nodes]
        assert not any(ends), ends

    def read(self, page: str) -> None:
        """Does all that a page says, what it continues first."""
        text = (pages.GUIDE / page).read_text()
        if (first := pages.predecessor(text)) is not None:
            self.read(first)
        for step in pages.steps(text):
            if isinstance(step, Write):
                self._write(step)
            else:
                self._follow(page, step)

    def _write(self, step: Write) -> None:
        place = self.folder / step.name
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a" if step.appends else "w") as file:
            file.write(step.text)

    def _follow(self, page: str, step: Type) -> None:
        if step.serves:
            self._serve(step)
            return
        told = self.type(step.text)
        where = f"{page}:{step.line}: {step.text}\n{told.printed}"
        assert told.code == step.code, f"exit {told.code} instead of {step.code}\n{where}"
        if step.status is not None:
            assert told.status == step.status, f"{told.status} instead of {step.status}\n{where}"

    def type(self, text: str) -> Told:
        """Types it, and waits until it is done."""
        self._count += 1
        out, done = (self.folder.with_name(f"{self.folder.name}.{self._count}.{kind}") for kind in ("out", "done"))
        held = f"{{ {self._here(text)}\n}} > {shlex.quote(str(out))} 2>&1 < /dev/null"
        new, name = shlex.quote(f"{done}.new"), shlex.quote(str(done))
        self._say(f"{held}\necho $? > {new}; mv {new} {name}\n")
        end = time.monotonic() + PATIENCE
        while not done.exists():
            assert self._shell.poll() is None, f"{text}: the shell ended"
            assert time.monotonic() < end, f"{text}: not done\n{out.read_text() if out.exists() else ''}"
            time.sleep(0.01)
        return Told(int(done.read_text()), out.read_text())

    def _serve(self, step: Type) -> None:
        """Until it tells where its admin is, as the reader would see it."""
        log = self.folder.with_name(f"{self.folder.name}.node{len(self._nodes)}.log")
        text = self._here(step.text.partition(" #")[0].rstrip(" &"))
        if "penstock demo" in text:
            text += f" --port {self._ports['8080']} --admin-port {self._ports['8081']}"
        with log.open("wb") as output:
            node = subprocess.Popen(
                ["bash", "-c", _exec(text)], cwd=self.folder, env=self._environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        self._nodes.append(node)
        end = time.monotonic() + PATIENCE
        while "admin " not in log.read_text():
            assert node.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)

    def _here(self, text: str) -> str:
        for written, port in self._ports.items():
            text = text.replace(f":{written}", f":{port}")
        return text

    def _say(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(text.encode())
        self._shell.stdin.flush()


def _free(count: int) -> list[str]:
    """Ports that nothing listens on: all are held until each has another."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(each.getsockname()[1]) for each in held]
    for each in held:
        each.close()
    return ports


def _exec(text: str) -> str:
    """So that the signal goes to the node: variables first, then exec and the command."""
    words = text.split(" ")
    variables = [each for each in words[: _command(words)] if each]
    return " ".join([*(f"export {each};" for each in variables), "exec", *words[_command(words) :]])


def _command(words: Sequence[str]) -> int:
    return next(index for index, word in enumerate(words) if word and "=" not in word.partition("/")[0])
