"""An upstream for tests: a raw socket that records what reaches it and answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


@dataclass
class Received:
    """A request as it came. Field names are in lower case; the body is without its framing."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    raw_head: bytes

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.fields if key == name), None)

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]


class Conversation:
    """One connection of the gateway. An answering function reads requests and writes raw bytes."""

    def __init__(self, upstream: RecordingUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._upstream = upstream
        self.reader, self.writer = reader, writer

    async def head(self) -> Received:
        """The next request's head; it is recorded. IncompleteReadError when the gateway closed."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        line, *rest = raw[:-4].split(b"\r\n")
        fields = [(name.lower(), value.strip()) for name, _, value in (part.partition(b":") for part in rest)]
        method, target, _ = line.split(b" ")
        received = Received(method, target, fields, b"", raw)
        self._upstream.add(received)
        return received

    async def request(self) -> Received:
        """The next request with its body."""
        received = await self.head()
        await self.body(received)
        return received

    async def body(self, received: Received) -> None:
        """Reads the body that belongs to a head."""
        if received.get(b"transfer-encoding") == b"chunked":
            while size := int((await self.reader.readuntil(b"\r\n"))[:-2], 16):
                received.body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        else:
            received.body = await self.reader.readexactly(int(received.get(b"content-length") or 0))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Ends the connection by a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def closed(self) -> bytes:
        """What the gateway still sends until it closes."""
        rest = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                rest = await self.reader.read()
        return rest


Answering = Callable[[Conversation], Awaitable[None]]


@dataclass
class RecordingUpstream:
    """`url` for `open_upstream`; `received` are the requests in order; `connections` counts those accepted."""

    url: str = ""
    port: int = 0
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    errors: list[BaseException] = field(default_factory=list)
    _heard: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, received: Received) -> None:
        self.received.append(received)
        self._heard.set()

    async def heard(self, count: int = 1) -> list[Received]:
        """The requests, once so many have come."""
        while len(self.received) < count:
            self._heard.clear()
            await asyncio.wait_for(self._heard.wait(), 10)
        return self.received


def always(response: bytes = OK) -> Answering:
    """Answers every request with these bytes."""

    async def answer(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            conversation.send(response)

    return answer


def once(response: bytes) -> Answering:
    """Answers the first request of a connection, then closes it."""

    async def answer(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(response)
        conversation.close()

    return answer


def by_path(*responses: tuple[str, bytes]) -> Answering:
    """Answers by a pattern of the target; what none matches gets 404."""

    async def answer(conversation: Conversation) -> None:
        while True:
            received = await conversation.request()
            found = (response for pattern, response in responses if re.match(pattern.encode(), received.target))
            conversation.send(next(found, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))

    return answer


@contextlib.asynccontextmanager
async def upstream(answering: Answering | None = None, socket: str = "") -> AsyncIterator[RecordingUpstream]:
    """A listening upstream on a port of its own, or at a unix socket. What an answering function raises fails the
    test."""
    recording = RecordingUpstream()
    answer = answering or always()
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recording.connections += 1
        try:
            await answer(Conversation(recording, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        except BaseException as error:
            recording.errors.append(error)
        finally:
            if not writer.is_closing():
                writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(converse(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if socket:
        server = await asyncio.start_unix_server(accepted, socket)
        recording.url = f"unix:{socket}"
    else:
        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        recording.port = server.sockets[0].getsockname()[1]
        recording.url = f"http://127.0.0.1:{recording.port}"
    try:
        yield recording
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
    if recording.errors:
        raise recording.errors[0]
