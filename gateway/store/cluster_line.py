"""A line to a cluster: a hot connection to each primary, and the map of slots that tells which to ask.

A server that no longer has a slot answers MOVED (or ASK, while the slot moves): the call is asked again there, and
the map is read anew. A primary that is lost costs its own keys only: the others are answered as before.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from redis.crc import key_slot

from gateway.core.errors import StoreUnavailable
from gateway.store.address import Address, Server
from gateway.store.client import Client, Script
from gateway.store.hot import Answer, HotConnection, deliver, pack

_SLOTS: Final = 16384
_REFRESH_SECONDS: Final = 1.0  # the pause between two readings of the map


class ClusterLine:
    """`timeout`: seconds after which a call has failed."""

    def __init__(self, url: str, timeout: float = 0.1) -> None:
        self._client = Client(url)
        self._timeout = timeout
        self._address = Address.of(url)
        self._nodes: dict[Server, HotConnection] = {}
        self._slots: list[HotConnection | None] = [None] * _SLOTS
        self._refreshing: asyncio.Task[None] | None = None
        self._stale = False

    async def connect(self) -> bool:
        """Reads the map and connects to the primaries. False when that failed; it is tried again in the background."""
        if await self._read_map():
            return True
        self._refresh()
        return False

    async def _read_map(self) -> bool:
        try:
            found = await self._client.slots()
        except StoreUnavailable:
            return False
        if not found:
            return False
        slots: list[HotConnection | None] = [None] * _SLOTS
        for first, last, address in found:
            node = await self._node(address)
            slots[first : last + 1] = [node] * (last + 1 - first)
        self._slots = slots
        await self._drop({address for _, _, address in found})
        return True

    async def _node(self, address: Server) -> HotConnection:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = HotConnection(self._address.at(address), self._timeout, moved=self._moved)
            await node.connect()
        return node

    async def _drop(self, current: set[Server]) -> None:
        for address in [address for address in self._nodes if address not in current]:
            await self._nodes.pop(address).close()

    def call(self, key: bytes, command: bytes, answer: Answer, script: Script | None = None) -> None:
        """Sends a packed command to the primary that has the key."""
        node = self._slots[key_slot(key)]
        if node is None or not node.up:
            self._refresh()
            deliver(answer, None)
            return
        node.call(command, answer, script)

    def _moved(self, told: str, command: bytes, answer: Answer, script: Script | None) -> None:
        """`told` is `MOVED slot host:port` or `ASK slot host:port` (Redis cluster specification)."""
        kind, _, place = told.split(" ", 2)
        host, _, port = place.rpartition(":")
        node = self._nodes.get((host, int(port))) if port.isdigit() else None
        if kind == "MOVED" or node is None:
            self._refresh()
        if node is None:
            deliver(answer, None)
            return
        if kind == "ASK":
            node.call(pack(b"ASKING"), _ignore)
        node.call(command, answer, script, redirected=True)

    def _refresh(self) -> None:
        """Reads the map in the background: once, and again when it was asked for meanwhile."""
        self._stale = True
        if self._refreshing is None:
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh_map())

    async def _refresh_map(self) -> None:
        try:
            while self._stale:
                self._stale = not await self._read_map()
                await asyncio.sleep(_REFRESH_SECONDS)
        finally:
            self._refreshing = None

    async def close(self) -> None:
        if (task := self._refreshing) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for node in self._nodes.values():
            await node.close()
        await self._client.close()


def _ignore(_reply: Any) -> None:
    """The answer of ASKING tells nothing."""
