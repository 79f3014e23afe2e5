"""What stands in for the images that the rendered pods name: a root filesystem each, read-only, without their layers.

`PENSTOCK_IMAGE` names what `python -m tests.charts.run.image_root` wrote: a root in which the steps of the Dockerfile
were run, with its environment; the gateway's containers then run that. Without it, it is this checkout with its virtual
environment and this machine's /usr, with the environment and folder that the Dockerfile gives.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.store.embedded import find_binary
from tests.charts.run.rendered import ROOT

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSWD: Final = "root:x:0:0:root:/root:/usr/sbin/nologin\npenstock:x:10001:10001::/nonexistent:/usr/sbin/nologin\n"
# Debian's client has no `-t`, the seconds that valkey-cli may take to connect.
_CLIENT: Final = '#!/bin/sh\n[ "$1" = -t ] && shift 2\nexec redis-cli "$@"\n'
_GROUP: Final = "root:x:0:\npenstock:x:10001:\n"


@dataclass(frozen=True)
class Image:
    """A root with what a container of it starts as."""

    root: Path
    entrypoint: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    workdir: str = "/"
    binds: tuple[Path, ...] = ()  # folders of this machine, at the same place, read-only


class Images:
    """By repository, without tag and digest; roots are made below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Image] = {"penstock": self._penstock(), "docker.io/valkey/valkey": self._valkey()}

    def of(self, name: str) -> Image:
        """KeyError for an image that this run has nothing for."""
        return self._known[name.partition("@")[0].rsplit(":", 1)[0] if ":" in name else name]

    def _penstock(self) -> Image:
        if built := os.environ.get("PENSTOCK_IMAGE"):
            found = json.loads(Path(built).read_text())
            return Image(Path(found["root"]), tuple(found["entrypoint"]), found["environment"], found["workdir"])
        binds = [ROOT, Path(sys.prefix), Path(sys.base_prefix)]
        outside = tuple(dict.fromkeys(path for path in binds if not path.is_relative_to("/usr")))
        programs = Path(sys.prefix) / "bin"
        environment, workdir = _dockerfile(ROOT / "Dockerfile")
        environment["PATH"] = f"{programs}:{_PATH}"
        return Image(self._root("penstock"), (str(programs / "penstock"),), environment, workdir, outside)

    def _valkey(self) -> Image:
        """The server that the product is tested with, under the names that the official image has."""
        root = self._root("valkey")
        programs = root / "opt/valkey"
        programs.mkdir(parents=True)
        client = shutil.which("valkey-cli") or shutil.which("redis-cli")
        assert client, "redis-cli is not there: apt-get install redis-tools"
        shutil.copy2(find_binary(), programs / "valkey-server")
        shutil.copy2(client, programs / "redis-cli")
        (programs / "valkey-cli").write_text(_CLIENT)
        (programs / "valkey-cli").chmod(0o755)
        return Image(root, environment={"PATH": f"/opt/valkey:{_PATH}"}, workdir="/data")

    def _root(self, name: str) -> Path:
        """Empty but for what every program asks for; /usr comes by a bind."""
        root = self._folder / name
        for each in ("usr", "etc", "proc", "dev", "sys", "tmp", "run", "var", "data"):
            (root / each).mkdir(parents=True)
        for each in ("bin", "sbin", "lib", "lib64"):
            (root / each).symlink_to(f"usr/{each}")
        (root / "etc/passwd").write_text(_PASSWD)
        (root / "etc/group").write_text(_GROUP)
        (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
        for each in ("ld.so.cache", "ssl", "mime.types", "localtime"):
            _copy(Path("/etc") / each, root / "etc" / each)
        return root


def _dockerfile(path: Path) -> tuple[dict[str, str], str]:
    """ENV and WORKDIR of its last stage; nothing where there is none."""
    text = path.read_text() if path.exists() else ""
    stage = re.split(r"(?m)^FROM ", text)[-1]
    pairs = [each for line in re.findall(r"(?m)^ENV (.*)$", stage) for each in shlex.split(line)]
    workdirs = re.findall(r"(?m)^WORKDIR (\S+)", stage)
    return dict(each.split("=", 1) for each in pairs), workdirs[-1] if workdirs else "/"


def _copy(found: Path, to: Path) -> None:
    if found.is_dir():
        shutil.copytree(found, to, symlinks=True, ignore=shutil.ignore_patterns("private"))
    elif found.exists():
        shutil.copy2(found, to)
