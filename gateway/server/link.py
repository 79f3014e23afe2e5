"""How the processes of a node talk: JSON lines over a private unix socket, the control process in the middle."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import orjson

LINE_LIMIT: Final = 16 * 1024 * 1024  # bytes of one message; snapshots and directories go by file


class Link:
    """One end of a connection. Messages are JSON objects, each sent whole."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, message: dict[str, Any]) -> None:
        """Never waits; a closed connection loses it, and the reader's end tells."""
        if not self._writer.is_closing():
            self._writer.write(orjson.dumps(message) + b"\n")

    @property
    def unsent(self) -> int:
        """Bytes that the other end has not read yet."""
        return self._writer.transport.get_write_buffer_size()

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Until the other end is gone."""
        with contextlib.suppress(ConnectionError):
            while line := await self._reader.readline():
                yield orjson.loads(line)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


async def connect(path: str) -> Link:
    return Link(*await asyncio.open_unix_connection(path, limit=LINE_LIMIT))
