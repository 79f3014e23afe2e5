"""An upstream of things that last, in a thread of its own: a WebSocket that echoes, an event stream, long bodies."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol

from gateway.relay.websocket import accept

BLOCK = 1_048_576
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: first\n\n"
_random = os.urandom(BLOCK - 8)


def block(number: int) -> bytes:
    """A megabyte that is like no other."""
    return number.to_bytes(8) + _random


def digest(megabytes: int) -> str:
    sha = hashlib.sha256()
    for number in range(megabytes):
        sha.update(block(number))
    return sha.hexdigest()


class StreamingUpstream:
    """`GET /ws`, `GET /events`, `GET /slow` (answers once `release` is set, or after SECONDS of `/slow/SECONDS`),
    `GET /bytes/MEGABYTES`, `POST /sum`. `closed` lists the paths of the connections that the gateway has ended."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.release = asyncio.Event()
        self.begun: list[str] = []
        self.closed: list[str] = []
        self.url = ""

    async def _serve(self, started: threading.Event) -> None:
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0, limit=2 * BLOCK)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        self._stop = asyncio.Event()
        await self._stop.wait()
        server.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = ""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                path = raw.split(" ")[1]
                self.begun.append(path)
                fields = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in raw.split("\r\n"))
                }
                await self._answer(path, fields, reader, writer)
        self.closed.append(path)
        writer.close()

    async def _answer(
        self, path: str, fields: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        kind, _, argument = path.strip("/").partition("/")
        if kind == "ws":
            proof = accept(fields["sec-websocket-key"].encode()).decode()
            lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
            writer.write("\r\n".join([*lines, f"Sec-WebSocket-Accept: {proof}", "", ""]).encode())
            await self._echo(reader, writer)
        elif kind == "events":
            writer.write(EVENTS)
            await reader.read()
            raise ConnectionError
        elif kind == "slow":
            await (asyncio.sleep(float(argument)) if argument else self.release.wait())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        elif kind == "bytes":
            count = int(argument)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (count * BLOCK))
            for number in range(count):
                writer.write(block(number))
                await writer.drain()
        elif kind == "sum":
            left, sha = int(fields["content-length"]), hashlib.sha256()
            while left:
                data = await reader.read(min(left, BLOCK))
                if not data:
                    raise ConnectionError
                left -= len(data)
                sha.update(data)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + sha.hexdigest().encode())

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The server of a library, on this connection."""
        protocol = Protocol(SERVER, max_size=None)
        while data := await reader.read(BLOCK):
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
                    send = protocol.send_text if event.opcode is Opcode.TEXT else protocol.send_binary
                    send(bytes(event.data), event.fin)
                elif isinstance(event, Frame) and event.opcode is Opcode.CONT:
                    protocol.send_continuation(bytes(event.data), event.fin)
            for piece in protocol.data_to_send():
                if piece:
                    writer.write(piece)
            await writer.drain()
            if protocol.close_sent:
                break
        raise ConnectionError

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)

    def let_go(self) -> None:
        self.loop.call_soon_threadsafe(self.release.set)


@contextmanager
def streaming_upstream() -> Iterator[StreamingUpstream]:
    upstream, started = StreamingUpstream(), threading.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: upstream.loop) as runner:
            runner.run(upstream._serve(started))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield upstream
    finally:
        upstream.stop()
        thread.join(10)
