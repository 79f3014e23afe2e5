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
from gateway.live import libraries
from gateway.live.build import LiveVersion, Settings, build_version
from gateway.live.router import LiveRouter
from gateway.live.space import build_router_in_slices, trie_of
from gateway.snapshot.spec import Outline, Snapshot, VersionSpec

log: Final = logging.getLogger("gateway")


Read = Callable[[str], VersionSpec]
"""The version of a digest, from where the outline came."""


@dataclass(eq=False)
class LiveSnapshot:
    """A snapshot, built: its versions are held until `release`. `fresh` counts those that were built for it."""

    outline: Outline
    router: LiveRouter
    versions: dict[str, LiveVersion]
    fresh: int = 0

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
        """Of a snapshot that is here as a whole."""
        by_digest = {each.digest: each for each in snapshot.versions}
        return await self.prepare_outline(snapshot.outline, by_digest.__getitem__)

    async def prepare_outline(
        self, outline: Outline, read: Read, step: Callable[[], None] = lambda: None
    ) -> LiveSnapshot:
        """Reads and builds what differs from the running one, yielding between versions; `step` hears of each. A
        failure leaves nothing open."""
        found = LiveSnapshot(outline, None, {})  # type: ignore[arg-type]  # it is not routed yet
        running = self._running(outline)
        try:
            for name, digest in outline.versions.items():
                version = running.get(digest)
                if version is None:
                    version = await self._built(read(digest), digest, outline)
                    found.fresh += 1
                    step()
                    await asyncio.sleep(0)
                version.holders += 1
                found.versions[name] = version
            found.router = await build_router_in_slices(found.versions.values(), outline.canaries)
        except BaseException:
            await found.release()
            raise
        return found

    async def _built(self, spec: VersionSpec, digest: str, outline: Outline) -> LiveVersion:
        await libraries.load(spec, outline.plans, self._settings.builder.kinds)
        version = await build_version(spec, outline.plans, self._settings)
        version.trie, version.digest = trie_of(version), digest
        version.slim()
        return version

    def _running(self, outline: Outline) -> dict[str, LiveVersion]:
        """The versions that may go on as they run, by digest: plans are part of every chain."""
        current = self.current
        if current is None or current.outline.plans != outline.plans:
            return {}
        return {version.digest: version for version in current.versions.values()}

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
