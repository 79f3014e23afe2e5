"""Starts a built image as an engine for containers would: process 1 of its own process, mount and network namespaces,
not root, without capabilities, with a read-only root in which only the volume and /tmp can be written. Needs root."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Self

from tests.image.building import Image

# Makes the container's mounts and network, then becomes its process 1.
ROOM = """
set -eu
python=$1 root=$2 data=$3 owner=$4
shift 4
"$python" -c 'import fcntl,socket,struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14s", b"lo", 0x41, b""))'
mount --bind "$root" "$root"
mount --bind "$data" "$root/data"
mount -t tmpfs -o mode=1777,size=64m tmp "$root/tmp"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o mode=755,size=64k dev "$root/dev"
for each in null zero random urandom; do touch "$root/dev/$each"; mount --bind "/dev/$each" "$root/dev/$each"; done
mount -o remount,bind,ro "$root"
cd /
exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid \\
  chroot --userspec="$owner" --groups= "$root" env -i "$@"
"""
# Asks from within the network namespace, with this interpreter: the image has no curl.
ASK = """
import json, sys, urllib.request, urllib.error
url, headers = json.loads(sys.argv[1])
try:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    told = opener.open(urllib.request.Request(url, headers=headers), timeout=20)
except urllib.error.HTTPError as error:
    told = error
print(json.dumps([told.status, told.read().decode()]))
"""


class Container:
    """`data` is the volume's folder; `log` gets what it prints. A context, at whose end SIGKILL ends what is left."""

    def __init__(
        self, image: Image, data: Path, command: Sequence[str] | None = None, environment: dict[str, str] | None = None
    ) -> None:
        self.image = image
        self.data = data
        self.log = data.with_suffix(".log")
        self._environment = {**image.environment, **(environment or {})}
        self._command = [*image.entrypoint, *(image.command if command is None else command)]
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.data.mkdir(exist_ok=True)
        self.data.chmod(0o700)
        os.chown(self.data, *map(int, self.image.user.split(":")))
        self._output = self.log.open("wb")
        unshare = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
        room = ["sh", "-c", ROOM, "room", sys.executable, str(self.image.root), str(self.data), self.image.user]
        self._process = subprocess.Popen(
            [*unshare, *room, *self._variables(), *self._command],
            stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._process is not None
        assert self._output is not None
        with contextlib.suppress(OSError, IndexError):
            os.kill(self.first, signal.SIGKILL)  # and with it all of its namespace
        self._process.kill()
        self._process.wait()
        self._output.close()

    def _variables(self) -> list[str]:
        return [f"{name}={value}" for name, value in self._environment.items()]

    @property
    def first(self) -> int:
        """Process 1, by the id that this machine knows it by; IndexError while there is none."""
        assert self._process is not None
        pid = self._process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def printed(self) -> str:
        return self.log.read_text()

    def until_printed(self, text: str) -> str:
        self.until(lambda: text in self.printed())
        return self.printed()

    def until(self, holds: Callable[[], bool], seconds: float = 90) -> None:
        """Fails when the container ends before."""
        end = time.monotonic() + seconds
        while not holds():
            assert self._process is not None
            assert self._process.poll() is None, self.printed()
            assert time.monotonic() < end, self.printed()
            time.sleep(0.02)

    def parent(self, pid: str) -> str | None:
        """Of a process, by its id in the container; None when there is none."""
        status = self.execute("cat", f"/proc/{pid}/status").stdout
        return status.partition("PPid:")[2].split()[0] if status else None

    def handles_term(self) -> bool:
        """Whether process 1 is the product already, and has a handler of SIGTERM."""
        try:
            process = Path(f"/proc/{self.first}")
        except IndexError:
            return False
        caught = (process / "status").read_text().partition("SigCgt:")[2].split()[0]
        return b"penstock" in (process / "cmdline").read_bytes()[:60] and bool(
            int(caught, 16) >> (signal.SIGTERM - 1) & 1
        )

    def execute(self, *command: str, user: bool = True) -> subprocess.CompletedProcess[str]:
        """As `docker exec`: in all its namespaces, with its environment."""
        enter = ["nsenter", "--target", str(self.first), "--mount", "--pid", "--net", "--ipc", "--uts", "--root"]
        who = self.image.user if user else "0:0"
        inside = ["chroot", f"--userspec={who}", "/", "env", "-i", *self._variables(), *command]
        return subprocess.run([*enter, *inside], capture_output=True, text=True, check=False, timeout=60)

    def get(self, url: str, **headers: str) -> tuple[int, Any]:
        """Status and body."""
        enter = ["nsenter", "--target", str(self.first), "--net", sys.executable, "-c", ASK]
        told = subprocess.run(
            [*enter, json.dumps([url, headers])], capture_output=True, text=True, check=False, timeout=60
        )
        assert not told.returncode, told.stderr
        status, body = json.loads(told.stdout)
        return status, body

    def stop(self) -> int:
        """Sends the image's stop signal to process 1; its exit code."""
        assert self._process is not None
        os.kill(self.first, signal.Signals[self.image.stopsignal])
        return self.wait()

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(45)
