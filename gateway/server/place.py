"""Where a node keeps its things."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

SOCKET_LIMIT: Final = 100  # bytes of a unix socket's path, with room to spare (unix(7))


def private_folder(path: Path) -> Path:
    """The folder, made for its owner only when it is not there."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path.resolve()


def socket_path(data: Path) -> Path:
    """The control socket. A path that is too deep gets a short one, the same for the same data folder."""
    path = private_folder(data / "run") / "control.sock"
    if len(os.fsencode(path)) <= SOCKET_LIMIT:
        return path
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return private_folder(Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}-{name}") / "control.sock"
