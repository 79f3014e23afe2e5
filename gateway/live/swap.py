"""Replaces the running gateway whole: build what changed in slices, assign once, close the old one when it drained.

Versions that did not change are taken over as they run, with their pools and connections.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.core.live import LiveCell
from gateway.live.build import LiveVersion, Settings, build_version
from gateway.live.router import LiveRouter
from gateway.live.space import build_router, trie_of
from gateway.snapshot.spec import Snapshot

log: Final = logging.getLogger("gateway")


@dataclass(eq=False)
class LiveSnapshot:
    """A snapshot, built: its versions are held until `release`."""

    snapshot: Snapshot
    router: LiveRouter
    versions: dict[str, LiveVersion]

    async def release(self) -> None:
        for version in self.versions.values():
            version.holders -= 1
            if not version.holders:
                await version.close()


class Swapper:
    """Prepares a snapshot beside the running one, then puts it in its place."""

    def __init__(self, cell: LiveCell, settings: Settings, on_swap: Callable[[LiveSnapshot], None]) -> None:
        self._cell = cell
        self._settings = settings
        self._on_swap = on_swap
        self._tasks: set[asyncio.Task[None]] = set()
        self.current: LiveSnapshot | None = None

    async def prepare(self, snapshot: Snapshot) -> LiveSnapshot:
        """Builds what differs from the running one, yielding between versions. A failure leaves nothing open."""
        versions: dict[str, LiveVersion] = {}
        running = self._running(snapshot)
        try:
            for spec in snapshot.versions:
                version = running.get(spec.name)
                if version is None or (version.spec is not spec and version.spec != spec):
                    version = await build_version(spec, snapshot.plans, self._settings)
                version.holders += 1
                versions[spec.name] = version
                trie_of(version)
                await asyncio.sleep(0)
            router = build_router(versions.values())
        except BaseException:
            await LiveSnapshot(snapshot, None, versions).release()  # type: ignore[arg-type]  # it was never routed
            raise
        return LiveSnapshot(snapshot, router, versions)

    def _running(self, snapshot: Snapshot) -> dict[str, LiveVersion]:
        """The versions that may go on as they run: plans are part of every chain."""
        current = self.current
        return current.versions if current is not None and current.snapshot.plans == snapshot.plans else {}

    def swap(self, prepared: LiveSnapshot) -> None:
        """One assignment; the old one drains and is then closed."""
        old, self.current = self.current, prepared
        self._cell.current = prepared.router
        self._on_swap(prepared)
        if old is not None:
            old.router.retire(lambda: self._release(old))

    def _release(self, old: LiveSnapshot) -> None:
        task = asyncio.get_running_loop().create_task(old.release())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        if self.current is not None:
            current, self.current = self.current, None
            await current.release()
        if self._tasks:
            await asyncio.wait(self._tasks)
