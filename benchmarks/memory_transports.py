"""In-memory ends of a worker's connections: what it writes is kept, what it reads is given by hand.

`TwinLoop` is uvloop's loop whose outgoing connections lead to them, so that a whole worker runs on one thread without
a socket. The store's end asks a real server while it learns and repeats the answer afterwards.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import hiredis
import uvloop


class MemoryTransport(asyncio.Transport):
    """A connection whose other side is the benchmark: `written` holds what the protocol sent."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 8080)})
        self.protocol: Any = protocol
        self.written: list[bytes] = []
        self.closed = False
        protocol.connection_made(self)

    def write(self, data: Any) -> None:
        self.written.append(data)

    def writelines(self, list_of_data: Any) -> None:
        self.written.extend(list_of_data)

    def take(self) -> bytes:
        """What was written since the last time."""
        written, self.written = self.written, []
        return b"".join(written)

    def get_protocol(self) -> Any:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """The benchmark does not care."""

    def pause_reading(self) -> None:
        """Everything is given in whole messages."""

    def resume_reading(self) -> None:
        """Nothing was held back."""

    def is_reading(self) -> bool:
        return not self.closed

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered."""

    def get_write_buffer_size(self) -> int:
        return 0


class UpstreamEnd(MemoryTransport):
    """The upstream's side; it lists itself among the asked ones with its first write."""

    def __init__(self, protocol: asyncio.BaseProtocol, asked: list[UpstreamEnd]) -> None:
        self.asked = asked
        super().__init__(protocol)

    def write(self, data: Any) -> None:
        if not self.written:
            self.asked.append(self)
        self.written.append(data)

    def writelines(self, list_of_data: Any) -> None:
        for data in list_of_data:
            self.write(data)


class StoreEnd(MemoryTransport):
    """The store's side. While `learning` a real server answers; then `answer` repeats its last answer to a script."""

    def __init__(self, protocol: asyncio.BaseProtocol, path: str) -> None:
        self.learning = True
        self.answer = b""
        self.commands = 0  # while it was learning
        self.spent = 0.0  # seconds of CPU that the real server's answers took here
        self._loop = asyncio.get_running_loop()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.settimeout(10)
        self._server.connect(path)
        super().__init__(protocol)

    def write(self, data: Any) -> None:
        if not self.learning:
            self.written.append(data)
            return
        began = time.thread_time()
        self._server.sendall(data)
        count = _commands(bytes(data))
        told = self._hear(count)
        self.commands += count
        self.spent += time.thread_time() - began
        if count == 1 and (b"EVALSHA" in data or b"FCALL" in data):
            self.answer = told
        self._loop.call_soon(self.protocol.data_received, told)

    def _hear(self, count: int) -> bytes:
        """The server's next answers, raw: so many have come when so many parse."""
        reader, raw = hiredis.Reader(), b""
        while count:
            piece = self._server.recv(65536)
            if not piece:
                raise ConnectionError("the store server is gone")
            raw += piece
            reader.feed(piece)
            while count and reader.gets() is not False:
                count -= 1
        return raw

    def asked(self) -> int:
        """How many commands were written since the last time."""
        return _commands(self.take())

    def close(self) -> None:
        super().close()
        self._server.close()

    abort = close


def _commands(data: bytes) -> int:
    """How many commands stand in what was written (RESP: each an array of bulk strings)."""
    count, at = 0, 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        parts, at = int(data[at + 1 : end]), end + 2
        for _ in range(parts):
            end = data.index(b"\r\n", at)
            at = end + 2 + int(data[at + 1 : end]) + 2
        count += 1
    return count


class TwinLoop(uvloop.Loop):
    """Connections that the worker opens end in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[UpstreamEnd] = []
        self.stores: list[StoreEnd] = []

    @property
    def store(self) -> StoreEnd | None:
        """Of the counters, which are connected first."""
        return self.stores[0] if self.stores else None

    async def create_connection(  # type: ignore[override]
        self, factory: Callable[[], Any], *_where: Any, **_how: Any
    ) -> tuple[Any, Any]:
        end = UpstreamEnd(factory(), self.asked)
        return end, end.protocol

    async def create_unix_connection(  # type: ignore[override]
        self, factory: Callable[[], Any], path: Any = None, **_how: Any
    ) -> Any:
        end = StoreEnd(factory(), str(path))
        self.stores.append(end)
        return end, end.protocol
