"""What a node writes to disk so that it can start without its store: the snapshot and the directory (hashed keys only).

`snapshot/HASH.json` holds a snapshot's outline and `snapshot/versions/` its versions (`server.parts`),
`snapshot/current.json` says which one served last and when the store was last heard. Every file is written beside its
place and renamed, so that a reader never sees half of one; an outline after all that it names.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.consumers.directory import Directory
from gateway.server.parts import read_outline, read_snapshot, version_path, versions_folder
from gateway.snapshot.spec import Snapshot

log: Final = logging.getLogger("gateway.control")
KEPT: Final = 5  # snapshots that stay on disk


@dataclass(frozen=True, slots=True)
class LastKnownGood:
    snapshot: Snapshot
    sequence: int
    at: float  # seconds since 1970: when the store was last heard
    directory: Directory | None  # as of `at`


class Shelf:
    """The folder `<data>/snapshot`."""

    def __init__(self, data: Path) -> None:
        self.folder = data / "snapshot"
        self.marked = 0.0  # how fresh what is on the shelf was when it was marked last
        self.folder.mkdir(parents=True, exist_ok=True)
        versions_folder(self.path("")).mkdir(exist_ok=True)
        for torn in (*self.folder.glob(".*"), *versions_folder(self.path("")).glob(".*")):
            torn.unlink(missing_ok=True)

    def path(self, hash: str) -> Path:
        return self.folder / f"{hash}.json"

    @property
    def directory_path(self) -> Path:
        return self.folder / "directory.bin"

    def put(self, snapshot: Snapshot) -> tuple[str, Path]:
        """Writes what is not there yet; its hash and file. May run in a thread, one at a time."""
        hash = snapshot.hash
        path = self.path(hash)
        for version in snapshot.versions:
            part = version_path(path, version.digest)
            if not part.exists():
                write(part, version.dump())
        if path.exists():
            os.utime(path)  # the oldest are swept
        else:
            write(path, snapshot.outline.dump())
        return hash, path

    def mark(self, hash: str, sequence: int, at: float, store: str | None = None) -> None:
        """This snapshot serves now, and what is on the shelf was current at that time, by the store of that id."""
        self.marked = at
        current = {"hash": hash, "sequence": sequence, "at": at, "store": store}
        write(self.folder / "current.json", orjson.dumps(current))

    def followed(self) -> tuple[int, str | None]:
        """Up to which sequence this node has followed which store, before it ended; (0, None) if it never did."""
        try:
            current: dict[str, Any] = orjson.loads((self.folder / "current.json").read_bytes())
            return (int(current["sequence"]), str(current["store"])) if current.get("store") else (0, None)
        except (OSError, ValueError, KeyError, TypeError):
            return 0, None

    def put_directory(self, data: bytes) -> Path:
        """May run in a thread, one at a time."""
        write(self.directory_path, data)
        return self.directory_path

    def read(self) -> LastKnownGood | None:
        """None when this node has never served anything, or another release wrote what is there."""
        try:
            current: dict[str, Any] = orjson.loads((self.folder / "current.json").read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            self._unreadable(error)
            return None
        try:
            snapshot = read_snapshot(self.path(current["hash"]))
            sequence, at = int(current["sequence"]), float(current["at"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._unreadable(error)
            return None
        return LastKnownGood(snapshot, sequence, at, self._directory(at))

    def _unreadable(self, error: Exception) -> None:
        log.error("the last known good in %s cannot be read: %s", self.folder, error)

    def _directory(self, at: float) -> Directory | None:
        try:
            directory = Directory.load(self.directory_path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            log.error("%s cannot be read: %s", self.directory_path, error)
            return None
        directory.as_of = max(directory.as_of, at)
        return directory

    def sweep(self, hash: str) -> None:
        """Takes the oldest snapshots away, and versions that none of those that stay names. Never while one is put."""
        others = [path for path in self.folder.glob("*.json") if path.stem not in {hash, "current"}]
        others.sort(key=lambda each: each.stat().st_mtime)
        for path in others[:-KEPT]:
            path.unlink(missing_ok=True)
        named = {digest for path in (self.path(hash), *others[-KEPT:]) for digest in _named(path)}
        for path in versions_folder(self.path(hash)).glob("*.json"):
            if path.stem not in named:
                path.unlink(missing_ok=True)


def _named(path: Path) -> Collection[str]:
    """The digests of an outline's versions; none of what an earlier release wrote."""
    try:
        return read_outline(path).versions.values()
    except (OSError, ValueError):
        return ()


def write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Whole or not at all, and on the disk before it counts."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
