"""Snapshots on disk: an outline `HASH.json`, and beside it `versions/DIGEST.json` for each version that it names
(decision 0019). A version that several snapshots share is written once, and read by a worker only when it is new to it.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from gateway.snapshot.spec import Outline, Snapshot, VersionSpec, digest_of, load, load_outline, load_version


def versions_folder(outline: Path) -> Path:
    return outline.parent / "versions"


def version_path(outline: Path, digest: str) -> Path:
    return versions_folder(outline) / f"{digest}.json"


def read_version(outline: Path, digest: str) -> VersionSpec:
    """ValueError when the file is not what it was, FileNotFoundError when it is not there."""
    path = version_path(outline, digest)
    data = path.read_bytes()
    if digest_of(data) != digest:
        raise ValueError(f"{path} is not what was written there")
    return load_version(data)


def read_outline(path: Path) -> Outline:
    return load_outline(path.read_bytes())


def read_snapshot(path: Path) -> Snapshot:
    """With all versions; also of a file that an earlier release wrote, which has them in itself. ValueError,
    FileNotFoundError."""
    data = path.read_bytes()
    found = orjson.loads(data)
    if isinstance(found, dict) and isinstance(found.get("versions"), list):
        return load(data)
    outline = load_outline(data)
    return Snapshot(
        versions=tuple(read_version(path, digest) for digest in outline.versions.values()),
        plans=outline.plans,
        gateway=outline.gateway,
        topics=outline.topics,
        policies=outline.policies,
        canaries=outline.canaries,
    )
