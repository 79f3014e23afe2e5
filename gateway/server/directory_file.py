"""The directory as this node knows it, and the file of it: for workers that connect, and as the last known good."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from gateway.consumers.directory import Directory
from gateway.server.last_known_good import Shelf

TRIES: Final = 3  # to write the directory between two changes


class DirectoryFile:
    """Of one control process. `known`: it is worth telling; `unwritten`: it has changes that are not on disk."""

    def __init__(self, shelf: Shelf) -> None:
        self.directory = Directory()
        self.known = False
        self.unwritten = False
        self._shelf = shelf
        self._writing = asyncio.Lock()

    def replace(self, directory: Directory) -> None:
        self.directory = directory
        self.known = self.unwritten = True

    async def current(self) -> Path | None:
        """For a worker that connects; None while nothing is known, so that the last known good stays untouched. The
        file holds every change that was told until this returns."""
        return await self.write() if self.known else None

    async def write(self) -> Path:
        """The directory as it is when this returns, on disk. A change meanwhile has it written again; when they do not
        end, at last in one piece."""
        async with self._writing:
            for _ in range(TRIES):
                await self._write_slices()
            if self.unwritten:
                self._shelf.put_directory(self.directory.dump())
                self.unwritten = False
        return self._shelf.directory_path

    async def keep(self) -> None:
        """What changed goes to the disk, if anything is known; a change meanwhile waits for the next time."""
        if self.known:
            async with self._writing:
                await self._write_slices()

    async def _write_slices(self) -> None:
        if not self.unwritten:
            return
        self.unwritten = False
        try:
            lines = []
            for line in self.directory.lines():
                lines.append(line)
                await asyncio.sleep(0)
            await asyncio.to_thread(self._shelf.put_directory, b"".join(lines))
        except BaseException:
            self.unwritten = True
            raise
