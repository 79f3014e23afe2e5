"""A line to the store: where calls on keys go, on one server or on a cluster."""

from __future__ import annotations

from typing import Protocol

from gateway.store.client import Script
from gateway.store.hot import Answer, HotConnection


class Line(Protocol):
    async def connect(self) -> bool:
        """Tries once; when the store is not there it goes on trying in the background."""
        ...

    def call(self, key: bytes, command: bytes, answer: Answer, script: Script | None = None) -> None:
        """Sends a packed command to the server that has the key; `answer` is called once, None: no decision."""
        ...

    async def close(self) -> None: ...


class ServerLine:
    """To one server."""

    def __init__(self, url: str, timeout: float) -> None:
        self._connection = HotConnection(url, timeout)

    async def connect(self) -> bool:
        return await self._connection.connect()

    def call(self, key: bytes, command: bytes, answer: Answer, script: Script | None = None) -> None:
        self._connection.call(command, answer, script)

    async def close(self) -> None:
        await self._connection.close()
