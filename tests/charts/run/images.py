"""What stands in for the images that the rendered pods name: a root filesystem each, read-only, without their layers.

`PENSTOCK_IMAGE_ROOT` names a root that the Dockerfile's steps were run in; the gateway's containers then run
that. Without it, it is this checkout with its virtual environment and this machine's /usr.
"""

from __future__ import annotations

import os
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
        built = os.environ.get("PENSTOCK_IMAGE_ROOT")
        if built:
            path = f"/opt/penstock/bin:{_PATH}"
            return Image(Path(built), ("/opt/penstock/bin/penstock",), {"PATH": path})
        binds = [ROOT, Path(sys.prefix), Path(sys.base_prefix)]
        outside = tuple(dict.fromkeys(path for path in binds if not path.is_relative_to("/usr")))
        root = self._root("penstock")
        programs = Path(sys.prefix) / "bin"
        return Image(root, (str(programs / "penstock"),), {"PATH": f"{programs}:{_PATH}"}, binds=outside)

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


def _copy(found: Path, to: Path) -> None:
    if found.is_dir():
        shutil.copytree(found, to, symlinks=True, ignore=shutil.ignore_patterns("private"))
    elif found.exists():
        shutil.copy2(found, to)
