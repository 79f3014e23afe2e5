"""Where a node keeps its things, and that no second one uses the same place."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

PROBE_SOCKET: Final = "probe.sock"  # beside the control socket
SOCKET_LIMIT: Final = 100  # bytes of a unix socket's path, with room to spare (unix(7))


class PlaceUnusable(Exception):
    """The data folder cannot be used; the text says why and what to do."""


def private_folder(path: Path) -> Path:
    """The folder, made for its owner only when it is not there. PlaceUnusable when it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(None, "it is not writable for this user")
    except OSError as error:
        raise PlaceUnusable(f"{path} cannot be used: {error.strerror}. Name another folder with --data.") from error
    return path.resolve()


def hold(data: Path) -> int:
    """Takes the folder for this process, as long as the descriptor is open: also a killed owner lets go of it.
    PlaceUnusable when another gateway has it."""
    lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise PlaceUnusable(
            f"Another gateway uses {data}. Stop it, or give this one another folder with --data; "
            "several gateways share a store that --store names."
        ) from None
    return lock


def socket_path(data: Path) -> Path:
    """The control socket. A path that is too deep gets a short one, the same for the same data folder."""
    path = private_folder(data / "run") / "control.sock"
    if len(os.fsencode(path)) <= SOCKET_LIMIT:
        return path
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    folder = private_folder(Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}-{name}")
    if folder.stat().st_uid != os.getuid():
        raise PlaceUnusable(f"{folder} belongs to somebody else. Remove it, or name a shorter folder with --data.")
    return folder / "control.sock"
