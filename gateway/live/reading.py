"""Reads what the control process compiled, in slices: a worker that serves a thousand versions goes on serving while it
reads them. A version that is written as in the snapshot before is the same object, and is neither read nor compared."""

from __future__ import annotations

import asyncio
from hashlib import blake2b

import orjson

from gateway.snapshot.spec import Snapshot, VersionSpec, load


class SnapshotReader:
    """Knows the versions that were read last."""

    def __init__(self) -> None:
        self._known: dict[bytes, VersionSpec] = {}

    async def read(self, data: bytes) -> Snapshot:
        """The snapshot that `dump` wrote. ValueError when it is not one."""
        found = orjson.loads(data)
        if not isinstance(found, dict) or not isinstance(listed := found.pop("versions", None), list):
            return load(data)  # tells what is wrong
        read: dict[bytes, VersionSpec] = {}
        for raw in listed:
            text = orjson.dumps(raw)
            digest = blake2b(text, digest_size=16).digest()
            read[digest] = self._known.get(digest) or VersionSpec.model_validate_json(text)
            await asyncio.sleep(0)
        snapshot = load(orjson.dumps(found)).model_copy(update={"versions": tuple(read.values())})
        self._known = read
        return snapshot
